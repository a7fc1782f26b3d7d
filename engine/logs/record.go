package logs

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/gx-dev/gx/api"
)

// A segment is a sequence of records:
//
//	u32 little-endian  size of what follows
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
// from the directory. A record that is cut off ends the segment: it was being
// written when the host was killed.

// maxRecord is the most bytes that a record may have.
const maxRecord = 1 << 20

const (
	flagStderr = 1 << iota
	flagSystem
	flagPartial
	flagCall
)

// errRecord says that bytes are no record.
var errRecord = errors.New("a log segment is damaged")

func appendRecord(b []byte, l *api.LogLine) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
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
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseRecord reads the first record of b and returns the bytes it takes: 0 if
// b is too short for it.
func parseRecord(b []byte, l *api.LogLine) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size > maxRecord {
		return 0, errRecord
	}
	if len(b) < 4+size {
		return 0, nil
	}
	d := decoder{b: b[4 : 4+size]}
	l.Seq = d.uvarint()
	l.Time = time.Unix(0, d.varint())
	flags := d.byte()
	l.Stream = Stdout
	switch {
	case flags&flagStderr != 0:
		l.Stream = Stderr
	case flags&flagSystem != 0:
		l.Stream = System
	}
	l.Partial = flags&flagPartial != 0
	l.Function = d.string()
	l.Container = d.string()
	l.Call, l.Input = "", 0
	if flags&flagCall != 0 {
		l.Call = d.string()
		l.Input = uint32(d.uvarint())
	}
	l.Text = d.string()
	if d.bad || len(d.b) > 0 || flags&flagCall != 0 && l.Call == "" {
		return 0, errRecord
	}
	return 4 + size, nil
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

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
