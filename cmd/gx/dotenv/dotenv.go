// Package dotenv reads .env files for the command line. The SDK reads them in
// Python (gx/_dotenv.py), by the same grammar and with the same table of cases,
// testdata/cases.json:
//
//	# a comment
//	NAME=value              up to the end of the line, or to a # after a space
//	export NAME = value     as shells have it; blanks around the sign are no part of either
//	NAME="a\nb"             the escapes \\ \' \" \a \b \f \n \r \t \v; it may go on over lines
//	NAME='as it is'         the escapes \\ \'; it may go on over lines
//	NAME=${OTHER}           what an earlier line, or the environment, says of OTHER; not in '...'
//	NAME=${OTHER:-else}     else, where they say nothing
//
// Of two lines for one name the later one counts.
package dotenv

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxFile is the most bytes that a file may have.
const MaxFile = 1 << 20

// Error says what is wrong, and in which line. It shows no value.
type Error struct {
	Line    int // from 1; 0 = of the file as a whole
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Message)
}

var reference = regexp.MustCompile(`\$\{([^}:]*)(?::-([^}]*))?\}`)

// Parse reads a file's text. lookup is the environment, for references. The error
// is an *Error.
func Parse(text string, lookup func(name string) string) (map[string]string, error) {
	if len(text) > MaxFile {
		return nil, &Error{0, fmt.Sprintf("it has %d bytes; at most %d are allowed", len(text), MaxFile)}
	}
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRuneInString(text[at:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return nil, &Error{1 + strings.Count(unified(text[:at]), "\n"), "it has a byte that is no text (UTF-8)"}
		}
		at += n
	}
	p := parser{text: unified(strings.TrimPrefix(text, "\uFEFF")), lookup: lookup, values: map[string]string{}}
	for p.skip("\n \t"); p.at < len(p.text); p.skip("\n \t") {
		if err := p.entry(); err != nil {
			return nil, err
		}
	}
	return p.values, nil
}

// unified has one kind of line ends.
func unified(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

type parser struct {
	text   string
	at     int
	lookup func(string) string
	values map[string]string
}

// entry reads a comment, or a variable.
func (p *parser) entry() error {
	line := 1 + strings.Count(p.text[:p.at], "\n")
	if p.text[p.at] == '#' {
		p.rest()
		return nil
	}
	name := p.word()
	if name == "export" && p.skip(" \t") > 0 && p.at < len(p.text) && p.text[p.at] != '=' {
		name = p.word()
	}
	p.skip(" \t")
	if name == "" || '0' <= name[0] && name[0] <= '9' || p.at == len(p.text) || p.text[p.at] != '=' {
		return &Error{line, "expected NAME=value, with letters, digits and underscores in the name"}
	}
	p.at++
	blank := p.skip(" \t") > 0
	quote := byte(0)
	if p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
		quote = p.text[p.at]
	}
	if quote == 0 {
		p.values[name] = p.expanded(plain(p.rest(), blank))
		return nil
	}
	value, closed := p.quoted(quote)
	if !closed {
		return &Error{line, "the quote of " + name + " is not closed"}
	}
	blank = p.skip(" \t") > 0
	if rest := p.rest(); rest != "" && (!blank || rest[0] != '#') {
		return &Error{line, "something follows the closing quote of " + name}
	}
	if quote == '"' {
		value = p.expanded(value)
	}
	p.values[name] = value
	return nil
}

// skip passes over bytes of a set, and says how many there were.
func (p *parser) skip(set string) int {
	n := len(p.text[p.at:]) - len(strings.TrimLeft(p.text[p.at:], set))
	p.at += n
	return n
}

// word takes what may be a name.
func (p *parser) word() string {
	begin := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			break
		}
		p.at++
	}
	return p.text[begin:p.at]
}

// rest takes what is left of the line, and its end.
func (p *parser) rest() string {
	line, _, _ := strings.Cut(p.text[p.at:], "\n")
	p.at = min(p.at+len(line)+1, len(p.text))
	return line
}

// plain is a value without quotes. blank says that a blank precedes it.
func plain(text string, blank bool) string {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 && blank || i > 0 && (text[i-1] == ' ' || text[i-1] == '\t')) {
			text = text[:i]
			break
		}
	}
	return strings.TrimRight(text, " \t")
}

// escapes are what a letter after a backslash means in double quotes.
var escapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// quoted takes a value with its quotes.
func (p *parser) quoted(quote byte) (value string, closed bool) {
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		switch {
		case c == quote:
			p.at++
			return b.String(), true
		case c == '\\' && p.at+1 < len(p.text):
			next := p.text[p.at+1]
			meant, known := escapes[next]
			if known && (quote == '"' || next == '\\' || next == '\'') {
				b.WriteByte(meant)
				p.at++
				continue
			}
		}
		b.WriteByte(c)
	}
	return "", false
}

// expanded replaces references.
func (p *parser) expanded(value string) string {
	return reference.ReplaceAllStringFunc(value, func(found string) string {
		parts := reference.FindStringSubmatch(found)
		if value := p.values[parts[1]]; value != "" {
			return value
		}
		if value := p.lookup(parts[1]); value != "" {
			return value
		}
		return parts[2]
	})
}
