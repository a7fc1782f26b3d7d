// Package redact hides the values of secrets in text that is going to be kept
// or shown. A value is hidden as it is, and in the forms in which programs
// usually print one: quoted as Python or JSON does, as part of a URL, in base64
// and in hexadecimal. It knows nothing of where values come from, or text goes.
//
// It is a guard against accidents, such as a debugging print or a traceback. Who
// wants to show a value finds a form that is not known here.
package redact

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// Shortest is how many bytes a value has at least that is hidden: shorter ones
	// ("true", "8080", "debug") stand for themselves too often.
	Shortest = 6
	// longest is how many bytes are looked for in one piece. Longer values are
	// hidden piece by piece, so that little text has to be held back for them.
	longest = 1024
	// head is by how many first bytes a pattern is looked up.
	head = 4
)

// Mask hides the values of one set of secrets. It does not change, so it may be
// used by several goroutines. A nil Mask hides nothing.
type Mask struct {
	byHead map[[head]byte][]pattern // the longest first
	begins map[string]bool          // the first bytes of patterns, fewer than head
	first  [256]bool                // bytes that patterns begin with
	most   int                      // bytes of the longest pattern
}

type pattern struct {
	text  []byte
	shown string
}

// New makes a mask of variables and their values: a value is shown as its
// variable's name in brackets.
func New(values map[string]string) *Mask {
	found := map[string]string{} // names by what is hidden
	for name, value := range values {
		for _, form := range forms(value) {
			for _, piece := range pieces(form) {
				if other, known := found[piece]; !known || name < other {
					found[piece] = name
				}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	m := &Mask{byHead: map[[head]byte][]pattern{}, begins: map[string]bool{}}
	for text, name := range found {
		key := [head]byte([]byte(text))
		m.byHead[key] = append(m.byHead[key], pattern{[]byte(text), "[" + name + "]"})
		m.first[text[0]] = true
		for n := 1; n < head; n++ {
			m.begins[text[:n]] = true
		}
		m.most = max(m.most, len(text))
	}
	for _, list := range m.byHead {
		slices.SortFunc(list, func(a, b pattern) int {
			return cmp.Or(cmp.Compare(len(b.text), len(a.text)), bytes.Compare(a.text, b.text))
		})
	}
	return m
}

// InPlace is the mask for a terminal: what it shows takes the room of what it
// hides, because what is behind that on the screen would move otherwise, and
// programs count on where it is.
func (m *Mask) InPlace() *Mask {
	if m == nil {
		return nil
	}
	fitted := *m
	fitted.byHead = make(map[[head]byte][]pattern, len(m.byHead))
	for key, list := range m.byHead {
		for _, p := range list {
			room := utf8.RuneCount(p.text)
			shown := p.shown + strings.Repeat("*", max(0, room-len(p.shown)))
			fitted.byHead[key] = append(fitted.byHead[key], pattern{p.text, shown[:room]})
		}
	}
	return &fitted
}

// pieces are the parts of a form that are looked for: those of its lines that
// are long enough, because output comes in lines, and of longer ones a piece
// after the other.
func pieces(form string) []string {
	var list []string
	for line := range strings.Lines(form) {
		line = strings.TrimSpace(line)
		for len(line) > longest {
			n := min(longest, len(line)-Shortest)
			list = append(list, line[:n])
			line = line[n:]
		}
		if len(line) >= Shortest {
			list = append(list, line)
		}
	}
	return list
}

// Text is a text without the values.
func (m *Mask) Text(text string) string {
	if m == nil {
		return text
	}
	if start, _ := m.find([]byte(text), 0); start < 0 {
		return text
	}
	return string(m.Bytes([]byte(text)))
}

// Bytes is a text without the values. It may be the same slice.
func (m *Mask) Bytes(text []byte) []byte {
	if m == nil {
		return text
	}
	start, p := m.find(text, 0)
	if start < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	at := 0
	for ; start >= 0; start, p = m.find(text, at) {
		out = append(append(out, text[at:start]...), p.shown...)
		at = start + len(p.text)
	}
	return append(out, text[at:]...)
}

// Cut is how many bytes of a text that goes on can be shown already: what is
// behind may be the beginning of a value. A value is never cut in two.
func (m *Mask) Cut(text []byte) int {
	if m == nil {
		return len(text)
	}
	cut := len(text)
	for i := max(0, len(text)-m.most+1); i < len(text); i++ {
		if m.begin(text[i:]) {
			cut = i
			break
		}
	}
	for at := 0; ; {
		start, p := m.find(text, at)
		if start < 0 || start >= cut {
			return cut
		}
		at = start + len(p.text)
		cut = max(cut, at)
	}
}

// find finds the first value at or behind a position; start is -1 if there is
// none. Of several that begin there it is the longest.
func (m *Mask) find(text []byte, from int) (start int, p pattern) {
	for i := from; i+Shortest <= len(text); i++ {
		if !m.first[text[i]] {
			continue
		}
		for _, p := range m.byHead[[head]byte(text[i:i+head])] {
			if bytes.HasPrefix(text[i:], p.text) {
				return i, p
			}
		}
	}
	return -1, pattern{}
}

// begin reports whether a value may begin with a text, and go on.
func (m *Mask) begin(text []byte) bool {
	if !m.first[text[0]] {
		return false
	}
	if len(text) < head {
		return m.begins[string(text)]
	}
	for _, p := range m.byHead[[head]byte(text[:head])] {
		if len(p.text) > len(text) && bytes.HasPrefix(p.text, text) {
			return true
		}
	}
	return false
}
