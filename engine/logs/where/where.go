// Package where decides by their fields which structured lines of a log
// somebody wants. A structured line is one whose text is a JSON object. The
// package knows the language of conditions and JSON, and nothing of logs.
//
//	condition = path operator value | path | "!" path
//	path      = name { "." name }
//	name      = one or more of letters, digits, "_", "-", "@", "$"; or a JSON string
//	operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"
//	value     = a JSON string, or all the rest without the spaces around it
//
// A path leads through objects by name and through arrays by number, counted
// from 0. A path alone asks that the field is there, "!path" that it is not.
//
// "=" compares a number with a number and anything else by its text: status=200
// finds 200 and "200"; status="200", in quotes, only the string. "!=" is what
// "=" is not, also where the field is missing. "<" and its like compare numbers
// where the value is one, and strings otherwise, so that times in ISO 8601 can
// be compared; they never hold between a number and a string, nor where the
// field is missing. "~" asks that a regular expression (RE2) matches somewhere
// in the field's text, and "!~" is what "~" is not.
package where

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a condition.
const (
	MaxText  = 4096 // bytes
	maxDepth = 32   // names of a path
)

// Condition is one condition. It is safe for concurrent use.
type Condition struct {
	path   []string
	op     operator
	text   string         // the value
	quoted bool           // it was a JSON string
	number *number        // the value, if it is one and not quoted
	regexp *regexp.Regexp // of matches and unlike
}

type operator int

const (
	exists operator = iota
	missing
	equal
	unequal
	less
	lessEqual
	greater
	greaterEqual
	matches
	unlike
)

// spellings of the operators, those that begin with others first.
var spellings = []struct {
	text string
	op   operator
}{
	{"!=", unequal}, {"!~", unlike}, {"<=", lessEqual}, {">=", greaterEqual}, {"=", equal}, {"<", less}, {">", greater}, {"~", matches},
}

// Parse reads a condition. Its errors tell what was expected where.
func Parse(text string) (*Condition, error) {
	c, err := parse(text)
	if err != nil {
		if len(text) > 100 {
			text = text[:100] + "..."
		}
		return nil, fmt.Errorf("the condition %q: %w", text, err)
	}
	return c, nil
}

func parse(text string) (*Condition, error) {
	switch {
	case len(text) > MaxText:
		return nil, fmt.Errorf("it has %d bytes; %d are allowed", len(text), MaxText)
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("it is not UTF-8")
	}
	c := &Condition{}
	rest := strings.TrimSpace(text)
	negated := false
	if after, ok := strings.CutPrefix(rest, "!"); ok {
		negated, rest = true, strings.TrimSpace(after)
	}
	for {
		name, after, err := parseName(rest)
		if err != nil {
			return nil, err
		}
		if c.path = append(c.path, name); len(c.path) > maxDepth {
			return nil, fmt.Errorf("its path has more than %d names", maxDepth)
		}
		var more bool
		if rest, more = strings.CutPrefix(after, "."); !more {
			break
		}
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		if negated {
			c.op = missing
		}
		return c, nil
	}
	if negated {
		return nil, fmt.Errorf("after \"!\" and a field nothing can follow, but there is %q; \"is not\" is written field!=value", rest)
	}
	for _, s := range spellings {
		if after, ok := strings.CutPrefix(rest, s.text); ok {
			c.op = s.op
			return c, c.value(strings.TrimSpace(after))
		}
	}
	return nil, fmt.Errorf("after the field %s, %q is none of = != < <= > >= ~ !~", strings.Join(c.path, "."), rest)
}

// parseName takes a name off text.
func parseName(text string) (name, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		return parseString(text)
	}
	i := strings.IndexFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-@$", r)
	})
	if i < 0 {
		i = len(text)
	}
	if i == 0 {
		return "", "", fmt.Errorf("the name of a field is expected, not %q; put other characters into \"quotes\"", text)
	}
	return text[:i], text[i:], nil
}

// parseString takes a JSON string off text.
func parseString(text string) (s, rest string, err error) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			if err := json.Unmarshal([]byte(text[:i+1]), &s); err != nil {
				return "", "", fmt.Errorf("%s is no JSON string", text[:i+1])
			}
			return s, text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("the quotes of %s are not closed", text)
}

// value reads what the field is compared with.
func (c *Condition) value(text string) error {
	c.text = text
	if strings.HasPrefix(text, `"`) {
		s, rest, err := parseString(text)
		if err != nil {
			return err
		}
		if rest != "" {
			return fmt.Errorf("after the value %s there is %q", text[:len(text)-len(rest)], rest)
		}
		c.text, c.quoted = s, true
	}
	switch c.op {
	case matches, unlike:
		var err error
		if c.regexp, err = regexp.Compile(c.text); err != nil {
			return fmt.Errorf("its regular expression: %w", err)
		}
	case less, lessEqual, greater, greaterEqual:
		if c.text == "" && !c.quoted {
			return fmt.Errorf("a value is missing at its end")
		}
	}
	if !c.quoted {
		c.number = parseNumber(c.text)
	}
	return nil
}
