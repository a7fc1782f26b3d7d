package engine

import (
	"encoding/binary"
	"fmt"
	"math"
)

// args pickles ((value,), {}), the input of a function with one argument.
func args(value any) []byte {
	b := []byte{0x80, 4}
	switch v := value.(type) {
	case int:
		b = binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(int32(v)))
	case float64:
		b = binary.BigEndian.AppendUint64(append(b, 'G'), math.Float64bits(v))
	case string:
		b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(v)))
		b = append(b, v...)
	case []byte:
		b = binary.LittleEndian.AppendUint32(append(b, 'B'), uint32(len(v)))
		b = append(b, v...)
	default:
		panic(fmt.Sprintf("%T cannot be pickled here", value))
	}
	return append(b, "\x85}\x86."...)
}

// unpickle reads an int, a str or bytes (as its length).
func unpickle(b []byte) any {
	for len(b) > 0 {
		op := b[0]
		b = b[1:]
		switch op {
		case 0x80:
			b = b[1:]
		case 0x95:
			b = b[8:]
		case 0x94:
		case 'K':
			return int(b[0])
		case 'M':
			return int(binary.LittleEndian.Uint16(b))
		case 'J':
			return int(int32(binary.LittleEndian.Uint32(b)))
		case 0x8a:
			n := int(b[0])
			v := 0
			for i := n; i > 0; i-- {
				v = v<<8 | int(b[i])
			}
			return v
		case 0x8c:
			return string(b[1 : 1+b[0]])
		case 'G':
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		case 'N':
			return nil
		case 'B':
			return int(binary.LittleEndian.Uint32(b))
		default:
			return fmt.Sprintf("pickle opcode %#x", op)
		}
	}
	return "nothing"
}
