package debian

import (
	"bytes"
	"fmt"
	"strings"
)

// paragraph is one paragraph of a control file, in the order of its fields.
// It refers to the text that it was parsed from.
type paragraph []byte

// field returns a field's value with its continuation lines, which keep their
// leading space. Names are compared without case. A missing field is "".
func (p paragraph) field(name string) string {
	rest := []byte(p)
	for len(rest) > 0 {
		line, tail := cutLine(rest)
		if isField(line, name) {
			end := len(rest) - len(tail)
			for len(tail) > 0 && isContinuation(tail) {
				_, tail = cutLine(tail)
				end = len(rest) - len(tail)
			}
			return strings.TrimSpace(string(rest[len(name)+1 : end]))
		}
		rest = tail
	}
	return ""
}

// isField reports whether line begins with name and a colon.
func isField(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name)
}

func isContinuation(line []byte) bool {
	return line[0] == ' ' || line[0] == '\t'
}

// cutLine splits text after its first line; line has no newline.
func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, nil
}

// eachParagraph calls fn for every paragraph of a control file: blocks of
// lines between blank ones. Lines that begin with # are comments; they may not
// stand inside a field, but in files that people write they do, so those files
// are passed through stripComments first.
func eachParagraph(text []byte, fn func(paragraph) error) error {
	for len(text) > 0 {
		start, size := text, 0
		for len(text) > 0 {
			line, rest := cutLine(text)
			if len(bytes.TrimSpace(line)) == 0 {
				text = rest
				break
			}
			size += len(text) - len(rest)
			text = rest
		}
		if size == 0 {
			continue
		}
		if err := fn(paragraph(start[:size])); err != nil {
			return err
		}
	}
	return nil
}

// parseParagraph returns the first paragraph of text, and an error if it holds
// a line that is neither a field nor a continuation, or nothing at all.
func parseParagraph(text []byte) (paragraph, error) {
	var first paragraph
	_ = eachParagraph(text, func(p paragraph) error {
		if first == nil {
			first = p
		}
		return nil
	})
	if first == nil {
		return nil, fmt.Errorf("empty control file")
	}
	rest := []byte(first)
	for n := 1; len(rest) > 0; n++ {
		var line []byte
		line, rest = cutLine(rest)
		if n > 1 && isContinuation(line) {
			continue
		}
		if i := bytes.IndexByte(line, ':'); i <= 0 || bytes.ContainsAny(line[:i], " \t") {
			return nil, fmt.Errorf("control file, line %d: %.60q is not a field", n, line)
		}
	}
	return first, nil
}

// stripComments removes the lines that begin with #.
func stripComments(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		line, rest := cutLine(text)
		if !bytes.HasPrefix(line, []byte("#")) {
			out = append(append(out, line...), '\n')
		}
		text = rest
	}
	return out
}
