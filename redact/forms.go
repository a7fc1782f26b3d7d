package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"
)

// forms are how a value may be printed, each without what comes around it. A
// password within a URL counts as a value of its own: drivers print it alone.
func forms(value string) []string {
	if len(value) < Shortest {
		return nil
	}
	list := []string{value}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		if password, set := u.User.Password(); set && len(password) >= Shortest {
			list = append(list, password)
			if escaped := written(value); len(escaped) >= Shortest {
				list = append(list, escaped)
			}
		}
	}
	query := url.QueryEscape(value)
	spaced := strings.ReplaceAll(query, "+", "%20")
	list = append(list, query, spaced, strings.ReplaceAll(spaced, "%2F", "/"), escaped(value, false), escaped(value, true))
	list = append(list, strings.ReplaceAll(escaped(value, false), `'`, `\'`), strings.ReplaceAll(escaped(value, true), `"`, `\"`))
	lower := hex.EncodeToString([]byte(value))
	list = append(list, lower, strings.ToUpper(lower))
	return append(list, encoded(value)...)
}

// written is the password of a URL as that has it.
func written(url string) string {
	_, authority, _ := strings.Cut(url, "//")
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority = authority[:end]
	}
	_, password, _ := strings.Cut(authority[:max(0, strings.LastIndex(authority, "@"))], ":")
	return password
}

// escaped is a value as Python's repr has it between its quotes, or with ascii
// set as json.dumps does.
func escaped(value string, ascii bool) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ' || r == 0x7f:
			if ascii {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				fmt.Fprintf(&b, `\x%02x`, r)
			}
		case r > 0xffff && ascii:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		case r > 0x7f && ascii:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// encoded are the characters of base64 that a value alone decides, wherever in
// the encoded bytes it begins: at each of three places within a group.
func encoded(value string) []string {
	const plain = 8 // characters: fewer may be anything
	var list []string
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + value))
			text = text[(before*8+5)/6:]
			if (before+len(value))%3 != 0 {
				text = text[:len(text)-1] // it has bits of what follows
			}
			if len(text) >= plain || before == 0 && len(text) >= Shortest {
				list = append(list, text)
			}
		}
	}
	return list
}
