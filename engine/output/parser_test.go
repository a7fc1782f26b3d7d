package output

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gx-dev/gx/redact"
)

var secret = [8]byte{1, 2, 3, 0, 5, 6, 7, 8}

func mark(call, index uint32) string {
	b := append([]byte{0, 'g', 'x'}, secret[:]...)
	b = binary.LittleEndian.AppendUint32(b, call)
	return string(binary.LittleEndian.AppendUint32(b, index))
}

func newParser() *parser {
	return &parser{mark: append([]byte{0, 'g', 'x'}, secret[:]...)}
}

func show(l Line) string {
	s := l.Text
	if l.Tag.Set {
		s = fmt.Sprintf("%d/%d:%s", l.Tag.Call, l.Tag.Index, s)
	}
	if l.Partial {
		s += "+"
	}
	return s
}

// parse feeds data in pieces of the given size.
func parse(data string, size int) []string {
	p := newParser()
	var got []string
	emit := func(l Line) { got = append(got, show(l)) }
	for b := []byte(data); len(b) > 0; {
		n := min(size, len(b))
		p.feed(b[:n], emit)
		b = b[n:]
	}
	p.close(emit)
	return got
}

func TestParser(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"lines", "a\nb\r\n\nc", []string{"a", "b", "", "c"}},
		{"tagged", mark(1, 0) + "a\nb\n" + mark(noCall, 0) + "c\n" + mark(1, 2) + "d\n", []string{"1/0:a", "1/0:b", "c", "1/2:d"}},
		{"unfinished at a marker", mark(1, 0) + "a" + mark(1, 1) + "b\n", []string{"1/0:a", "1/1:b"}},
		{"same marker again", mark(1, 0) + "a" + mark(1, 0) + "b\n", []string{"1/0:ab"}},
		{"a cut marker is text", "a\x00gx\x01\x02", []string{"a\x00gx\x01\x02"}},
		{"somebody else's marker", "\x00gx12345678aaaabbbb\n", []string{"\x00gx12345678aaaabbbb"}},
		{"bytes", "a\xffb\xc3\n", []string{`a\xffb\xc3`}},
		{"long", long + "y\n" + "z\n", []string{long + "+", "y", "z"}},
		{"just not long", long + "\n", []string{long}},
	} {
		for _, size := range []int{1, 2, 7, 19, 4096, 1 << 20} {
			if got := parse(c.in, size); !slices.Equal(got, c.want) {
				t.Errorf("%s in pieces of %d: %.100q, want %.100q", c.name, size, got, c.want)
			}
		}
	}
}

func TestLongLinesAreCutBetweenCharacters(t *testing.T) {
	in := "a" + strings.Repeat("é", MaxLine)
	got := parse(in+"\n", 1000)
	var whole strings.Builder
	for i, s := range got {
		if i < len(got)-1 && !strings.HasSuffix(s, "+") {
			t.Errorf("part %d does not say that it goes on", i)
		}
		whole.WriteString(strings.TrimSuffix(s, "+"))
	}
	if whole.String() != in {
		t.Error("the parts are not the line")
	}
}

func TestUnfinished(t *testing.T) {
	p := newParser()
	var got []string
	emit := func(l Line) { got = append(got, show(l)) }
	p.feed([]byte("50%"), emit)
	p.end(true, emit)
	p.end(true, emit)
	p.feed([]byte("100%\nnext\n"), emit)
	p.feed([]byte("50%"), emit)
	p.end(true, emit)
	p.end(false, emit)
	if want := []string{"50%+", "100%", "next", "50%+", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("a\nb"), uint8(1))
	f.Add([]byte(mark(1, 0)+"a\n"+mark(noCall, 0)+"b\xff\n"), uint8(3))
	f.Add([]byte(strings.Repeat("é", 3)+mark(7, 7)[:12]), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		whole := parse(string(data), len(data)+1)
		pieces := parse(string(data), int(size)+1)
		if !slices.Equal(whole, pieces) {
			t.Errorf("pieces of %d give %q, all at once %q", int(size)+1, pieces, whole)
		}
		for _, l := range whole {
			if !utf8.ValidString(l) {
				t.Errorf("%q is not UTF-8", l)
			}
		}
	})
}

func TestParserMasks(t *testing.T) {
	mask := redact.New(map[string]string{"TOKEN": "planted-token", "KEY": "first planted line\nsecond planted line\n"})
	long := strings.Repeat("x", MaxLine-5)
	in := "a planted-token b\n" + mark(1, 0) + "planted-\nfirst planted line\nsecond planted line\n\xffplanted-token\n" +
		long + "planted-token end\n" + mark(1, 1) + "planted-tok"
	want := []string{"a [TOKEN] b", "1/0:planted-", "1/0:[KEY]", "1/0:[KEY]", `1/0:\xff[TOKEN]`, "1/0:" + long + "+", "1/0:[TOKEN] end", "1/1:planted-tok"}
	for size := range 40 {
		p := newParser()
		p.mask = mask
		var got []string
		emit := func(l Line) { got = append(got, show(l)) }
		for b := []byte(in); len(b) > 0; {
			n := min(size+1, len(b))
			p.feed(b[:n], emit)
			b = b[n:]
		}
		p.close(emit)
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d bytes: %.200q", size+1, got)
		}
	}
}

// A line is shown before its end, but not the beginning of a value.
func TestParserHoldsValuesBack(t *testing.T) {
	p := newParser()
	p.mask = redact.New(map[string]string{"TOKEN": "planted-token"})
	var got []string
	emit := func(l Line) { got = append(got, show(l)) }
	for _, part := range []string{"the token is plan", "ted-", "token", ", and p", "\n"} {
		p.feed([]byte(part), emit)
		p.end(true, emit)
	}
	if want := []string{"the token is +", "[TOKEN]+", ", and +", "p"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
