package logs

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/gx-dev/gx/api"
)

// A segment is a sequence of records:
//
//	u32 little-endian  size of what follows the checksum
//	u32 little-endian  CRC-32C of that
//	uvarint            sequence number
//	varint             time, nanoseconds since 1970
//	byte               flags
//	string             function
//	string             container
//	string             call       \ with flagCall
//	uvarint            input      /
//	string             text
//
// where a string is its length as uvarint, and its bytes. The app is known
// from the directory. A record that is cut off, or that its checksum does not
// fit, ends the segment: it was being written when the host or the machine was
// stopped.

const (
	headSize = 4 + 4
	// maxRecord is the most bytes that a record may have.
	maxRecord = 1 << 20
)

const (
	flagStderr = 1 << iota
	flagSystem
	flagPartial
	flagCall
)

// errRecord says that bytes are no record.
var errRecord = errors.New("a log segment is damaged")

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a line as it lies in a segment: its strings are parts of the bytes
// that it was read from.
type record struct {
	seq       uint64
	time      int64
	flags     byte
	function  []byte
	container []byte
	call      []byte
	input     uint32
	text      []byte
}

func (r *record) stream() string {
	switch {
	case r.flags&flagStderr != 0:
		return Stderr
	case r.flags&flagSystem != 0:
		return System
	}
	return Stdout
}

func appendRecord(b []byte, l *api.LogLine) []byte {
	at := len(b)
	b = append(b, make([]byte, headSize)...)
	b = binary.AppendUvarint(b, l.Seq)
	b = binary.AppendVarint(b, l.Time.UnixNano())
	var flags byte
	switch l.Stream {
	case Stderr:
		flags = flagStderr
	case System:
		flags = flagSystem
	}
	if l.Partial {
		flags |= flagPartial
	}
	if l.Call != "" {
		flags |= flagCall
	}
	b = append(b, flags)
	b = appendString(b, l.Function)
	b = appendString(b, l.Container)
	if l.Call != "" {
		b = appendString(b, l.Call)
		b = binary.AppendUvarint(b, uint64(l.Input))
	}
	b = appendString(b, l.Text)
	body := b[at+headSize:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseRecord reads the first record of b and returns the bytes it takes: 0 if
// b is too short for it.
func parseRecord(b []byte, r *record) (int, error) {
	if len(b) < headSize {
		return 0, nil
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size > maxRecord {
		return 0, errRecord
	}
	if len(b) < headSize+size {
		return 0, nil
	}
	body := b[headSize : headSize+size]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, errRecord
	}
	d := decoder{b: body}
	r.seq = d.uvarint()
	r.time = d.varint()
	r.flags = d.byte()
	r.function = d.string()
	r.container = d.string()
	r.call, r.input = nil, 0
	if r.flags&flagCall != 0 {
		r.call = d.string()
		r.input = uint32(d.uvarint())
	}
	r.text = d.string()
	if d.bad || len(d.b) > 0 || r.flags&flagCall != 0 && len(r.call) == 0 {
		return 0, errRecord
	}
	return headSize + size, nil
}

// line is the record as others see it. names keeps one copy of what is the same
// in many lines.
func (r *record) line(app string, names map[string]string) api.LogLine {
	return api.LogLine{
		Seq: r.seq, Time: time.Unix(0, r.time), App: app,
		Function: intern(names, r.function), Container: intern(names, r.container), Call: intern(names, r.call), Input: r.input,
		Stream: r.stream(), Text: string(r.text), Partial: r.flags&flagPartial != 0,
	}
}

func intern(names map[string]string, b []byte) string {
	if s, ok := names[string(b)]; ok {
		return s
	}
	if len(names) > 1000 {
		clear(names)
	}
	s := string(b)
	names[s] = s
	return s
}

// decoder takes values off b; bad says that one was missing.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) skip(n int) {
	if n <= 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) string() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}
