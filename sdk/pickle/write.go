package pickle

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// Arguments makes the pickle of a class's arguments, all of them by name, to
// the byte as the SDK makes it (sdk/python/gx/_parameters.py, pickled): equal
// bytes share containers. Values are bool, int64, float64 and string, all
// together of less than 64 KiB.
func Arguments(named map[string]any) []byte {
	body := []byte{')', '}'} // no positional ones; a dict
	if len(named) > 1 {
		body = append(body, '(')
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		body = appendValue(appendValue(body, name), named[name])
	}
	switch len(named) {
	case 0:
	case 1:
		body = append(body, 's')
	default:
		body = append(body, 'u')
	}
	body = append(body, 0x86, '.') // a pair
	out := binary.LittleEndian.AppendUint64([]byte{0x80, 4, 0x95}, uint64(len(body)))
	return append(out, body...)
}

func appendValue(out []byte, value any) []byte {
	switch v := value.(type) {
	case bool:
		if v {
			return append(out, 0x88)
		}
		return append(out, 0x89)
	case int64:
		return appendInt(out, v)
	case float64:
		bits := math.Float64bits(v)
		if math.IsNaN(v) {
			bits = 0x7ff8 << 48 // Python's float("nan"), which is not Go's
		}
		return binary.BigEndian.AppendUint64(append(out, 'G'), bits)
	case string:
		if len(v) <= math.MaxUint8 {
			out = append(out, 0x8c, byte(len(v)))
		} else {
			out = binary.LittleEndian.AppendUint32(append(out, 'X'), uint32(len(v)))
		}
		return append(out, v...)
	}
	panic("pickle: only bool, int64, float64 and string are written")
}

func appendInt(out []byte, v int64) []byte {
	switch {
	case v >= 0 && v <= math.MaxUint8:
		return append(out, 'K', byte(v))
	case v >= 0 && v <= math.MaxUint16:
		return binary.LittleEndian.AppendUint16(append(out, 'M'), uint16(v))
	case v >= math.MinInt32 && v <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(out, 'J'), uint32(v))
	}
	// As few bytes as tell the number and its sign.
	n := 8
	for n > 1 && v>>(8*n-9) == v>>63 {
		n--
	}
	return append(append(out, 0x8a, byte(n)), binary.LittleEndian.AppendUint64(nil, uint64(v))[:n]...)
}
