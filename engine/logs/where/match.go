package where

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// Fields is the object of a structured line.
type Fields map[string]any

// Structured returns the fields of a line, and whether it is structured: its
// text, with nothing but space around, is a JSON object.
func Structured(text []byte) (Fields, bool) {
	text = bytes.TrimSpace(text)
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // integers of any size are compared exactly
	var fields Fields
	if decoder.Decode(&fields) != nil || decoder.InputOffset() != int64(len(text)) {
		return nil, false
	}
	return fields, true
}

// Match reports whether the condition holds of a line's fields.
func (c *Condition) Match(fields Fields) bool {
	field, there := c.find(fields)
	switch c.op {
	case exists:
		return there
	case missing:
		return !there
	case equal:
		return there && c.equals(field)
	case unequal:
		return !there || !c.equals(field)
	case matches:
		return there && c.regexp.MatchString(show(field))
	case unlike:
		return !there || !c.regexp.MatchString(show(field))
	}
	order, ok := c.compare(field)
	if !there || !ok {
		return false
	}
	switch c.op {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	default:
		return order >= 0
	}
}

// find follows the path.
func (c *Condition) find(fields Fields) (any, bool) {
	var at any = map[string]any(fields)
	for _, name := range c.path {
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[name]
			if !ok {
				return nil, false
			}
			at = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			at = v[i]
		default:
			return nil, false
		}
	}
	return at, true
}

func (c *Condition) equals(field any) bool {
	switch v := field.(type) {
	case string:
		return v == c.text
	case json.Number:
		if c.number == nil {
			return false
		}
		n := parseNumber(string(v))
		return n != nil && n.compare(c.number) == 0
	}
	return !c.quoted && show(field) == c.text
}

// compare is the order of the field and the value; false = they have none.
func (c *Condition) compare(field any) (int, bool) {
	switch v := field.(type) {
	case string:
		return strings.Compare(v, c.text), c.number == nil
	case json.Number:
		n := parseNumber(string(v))
		if n == nil || c.number == nil {
			return 0, false
		}
		return n.compare(c.number), true
	}
	return 0, false
}

// show is a field's text.
func show(field any) string {
	switch v := field.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	}
	text, err := json.Marshal(field)
	if err != nil {
		return ""
	}
	return string(text)
}

// number is a number of JSON: an integer, however large, or else a float.
type number struct {
	float float64
	whole *big.Int // nil = it is not written as an integer
}

// maxDigits is how long a number is compared digit by digit.
const maxDigits = 100

// parseNumber reads a number as JSON writes it; nil = it is none.
func parseNumber(text string) *number {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') || !json.Valid([]byte(text)) {
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil // it is out of range
	}
	n := &number{float: f}
	if len(text) > 15 && len(text) <= maxDigits && !strings.ContainsAny(text, ".eE") {
		n.whole, _ = new(big.Int).SetString(text, 10)
	}
	return n
}

func (n *number) compare(o *number) int {
	if n.whole != nil && o.whole != nil {
		return n.whole.Cmp(o.whole)
	}
	switch {
	case n.float < o.float:
		return -1
	case n.float > o.float:
		return 1
	}
	return 0
}
