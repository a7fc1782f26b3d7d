// Package parameter finds what a web request's query gives the class that is to
// answer it: values for the parameters that the class declares. It knows nothing
// of requests but their query, and of classes but their parameters.
package parameter

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/sdk/pickle"
)

// maxSize is how many bytes all values may have, pickled, as Modal has it.
const maxSize = 16 << 10

// Error says what is wrong with a query.
type Error string

func (e Error) Error() string { return string(e) }

// Read makes the pickled arguments of a class from a percent-encoded query, as
// the SDK makes those of a call, so that equal ones share containers: values
// that equal their default are left out, and nil = none are left. Of a name that
// is there twice the last value counts; names that are no parameter's are the
// user's. Its error is an Error.
func Read(declared []app.Parameter, query string) ([]byte, error) {
	values := parseQuery(query)
	given := map[string]any{}
	for _, p := range declared {
		texts := values[p.Name]
		if len(texts) == 0 {
			if p.Default == nil {
				return nil, Error(fmt.Sprintf("the class needs a value for its parameter %s: add %s=... to the query", p.Name, p.Name))
			}
			continue
		}
		value, err := parse(p.Type, texts[len(texts)-1])
		if err != nil {
			return nil, Error(fmt.Sprintf("the parameter %s of the query: %v", p.Name, err))
		}
		if p.Default == nil || !same(value, p.Type, *p.Default) {
			given[p.Name] = value
		}
	}
	if len(given) == 0 {
		return nil, nil
	}
	pickled := pickle.Arguments(given)
	if len(pickled) > maxSize {
		return nil, Error(fmt.Sprintf("the parameters in the query have %d bytes; at most %d are allowed", len(pickled), maxSize))
	}
	return pickled, nil
}

// parseQuery reads a query as Python's applications do, which see the same one
// (urllib.parse.parse_qs): a semicolon and a lone percent sign stand for
// themselves. net/url leaves out whatever has one.
func parseQuery(query string) map[string][]string {
	values := map[string][]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		values[name] = append(values[name], unescape(value))
	}
	return values
}

// unescape is the text that a part of a query stands for.
func unescape(part string) string {
	part = strings.ReplaceAll(part, "+", " ")
	if whole, err := url.PathUnescape(part); err == nil {
		return whole
	}
	out := make([]byte, 0, len(part))
	for i := 0; i < len(part); i++ {
		if part[i] == '%' && i+2 < len(part) {
			if c, err := hex.DecodeString(part[i+1 : i+3]); err == nil {
				out = append(out, c...)
				i += 2
				continue
			}
		}
		out = append(out, part[i])
	}
	return string(out)
}

// same reports whether a value is the default, which text is.
func same(value any, kind, text string) bool {
	other, err := parse(kind, text)
	if err != nil {
		return false
	}
	one := map[string]any{"": value}
	return bytes.Equal(pickle.Arguments(one), pickle.Arguments(map[string]any{"": other}))
}

// parse reads a value of one of Python's types.
func parse(kind, text string) (any, error) {
	switch kind {
	case "str":
		return strings.ToValidUTF8(text, "\ufffd"), nil
	case "int":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		return nil, fmt.Errorf("%.100q is not a whole number of at most 64 bits", text)
	case "float":
		if x, err := strconv.ParseFloat(text, 64); err == nil && !strings.ContainsAny(text, "xX") { // Python has no such form
			return x, nil
		}
		return nil, fmt.Errorf("%.100q is not a number", text)
	case "bool":
		switch strings.ToLower(text) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%.100q is neither true nor false", text)
	}
	return nil, fmt.Errorf("a query cannot give a value of the type %s", kind)
}

// Check says what is wrong with declared parameters.
func Check(declared []app.Parameter) error {
	const most = 100
	if len(declared) > most {
		return fmt.Errorf("it has %d parameters; at most %d are allowed", len(declared), most)
	}
	seen := map[string]bool{}
	for _, p := range declared {
		switch p.Type {
		case "str", "int", "float", "bool":
		default:
			return fmt.Errorf("the parameter %.100q has the type %.100q, which a query cannot give", p.Name, p.Type)
		}
		if p.Name == "" || seen[p.Name] {
			return fmt.Errorf("two parameters are called %.100q", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}
