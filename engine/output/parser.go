package output

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/gx-dev/gx/redact"
)

// MaxLine is how many bytes a line may have; a longer one is split.
const MaxLine = 64 << 10

const (
	markSize   = 3 + 8 // 00 'g' 'x', and the container's secret
	markerSize = markSize + 8
	noCall     = 0xffffffff
)

// Tag says which input a line belongs to. The zero Tag says that no marker was
// in force.
type Tag struct {
	Set         bool
	Call, Index uint32
}

// Line is one line of output, or a part of one.
type Line struct {
	Stderr  bool
	Tag     Tag
	Text    string // valid UTF-8, without the newline; other bytes as \xNN
	Partial bool   // the line goes on in the next one
}

// parser turns one stream of bytes into lines, taking the markers out.
type parser struct {
	mark   []byte // how a marker begins; empty = there are none
	stderr bool
	mask   *redact.Mask
	held   []byte // the beginning of what may be a marker
	line   []byte // a line without its end
	cut    bool   // line goes on after a part that was emitted
	tag    Tag
}

// feed takes the next bytes; they are not kept.
func (p *parser) feed(data []byte, emit func(Line)) {
	if len(p.held) > 0 {
		data = append(p.held, data...)
		p.held = nil
	}
	for len(p.mark) > 0 {
		i := bytes.Index(data, p.mark)
		if i < 0 {
			break
		}
		p.text(data[:i], emit)
		if len(data)-i < markerSize {
			p.held = bytes.Clone(data[i:])
			return
		}
		p.retag(data[i+markSize:], emit)
		data = data[i+markerSize:]
	}
	for n := min(len(p.mark)-1, len(data)); n > 0; n-- {
		if bytes.Equal(data[len(data)-n:], p.mark[:n]) {
			p.held = bytes.Clone(data[len(data)-n:])
			data = data[:len(data)-n]
			break
		}
	}
	p.text(data, emit)
}

// retag puts another marker in force. What the last one had begun is a line.
func (p *parser) retag(id []byte, emit func(Line)) {
	next := Tag{Set: true, Call: binary.LittleEndian.Uint32(id), Index: binary.LittleEndian.Uint32(id[4:])}
	if next.Call == noCall {
		next = Tag{}
	}
	if next != p.tag {
		p.end(false, emit)
		p.tag = next
	}
}

// text takes bytes without markers.
func (p *parser) text(data []byte, emit func(Line)) {
	for {
		i := bytes.IndexByte(data, '\n')
		rest := data
		if i >= 0 {
			rest = data[:i]
		}
		for len(p.line)+len(rest) > MaxLine {
			n := MaxLine - len(p.line)
			p.line = append(p.line, rest[:n]...)
			rest = rest[n:]
			n = p.cutting()
			p.emit(p.line[:n], true, emit)
			p.line = append(p.line[:0], p.line[n:]...)
		}
		if i < 0 {
			p.line = append(p.line, rest...)
			return
		}
		line := rest
		if len(p.line) > 0 {
			p.line = append(p.line, rest...)
			line = p.line
		}
		p.emit(bytes.TrimSuffix(line, []byte{'\r'}), false, emit)
		p.line = p.line[:0]
		data = data[i+1:]
	}
}

// end emits what is there of a line without its end, if there is something.
func (p *parser) end(partial bool, emit func(Line)) {
	if len(p.line) == 0 {
		if p.cut && !partial {
			p.emit(nil, false, emit)
		}
		return
	}
	n := len(p.line)
	if partial {
		if n = p.cutting(); n == 0 {
			return
		}
	}
	p.emit(p.line[:n], partial, emit)
	p.line = append(p.line[:0], p.line[n:]...)
}

// close emits everything that is left.
func (p *parser) close(emit func(Line)) {
	p.text(p.held, emit)
	p.held = nil
	p.end(false, emit)
	p.line = nil
}

func (p *parser) emit(text []byte, partial bool, emit func(Line)) {
	p.cut = partial
	emit(Line{Stderr: p.stderr, Tag: p.tag, Text: Printable(p.mask.Bytes(text)), Partial: partial})
}

// cutting is where the line can be cut that is there: no character, and nothing
// that is to be hidden, is cut in two.
func (p *parser) cutting() int { return p.mask.Cut(p.line[:runeCut(p.line)]) }

// runeCut is where b can be cut without cutting a character: its length, or a
// few bytes less.
func runeCut(b []byte) int {
	for n := 1; n < utf8.UTFMax && n < len(b); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return len(b) - n
			}
			break
		}
	}
	return len(b)
}

// Printable is b as valid UTF-8: bytes that are none become \xNN.
func Printable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			out = append(out, '\\', 'x', hex[b[0]>>4], hex[b[0]&15])
			b = b[1:]
			continue
		}
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return string(out)
}
