package pickle

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth is how deep what is shown may be nested: an object may be in itself.
const maxDepth = 100

// Repr is a value as Python's repr shows it, cut after about max bytes.
func Repr(v any, max int) string {
	w := writer{max: max}
	w.value(v, 0)
	if w.out.Len() > max {
		cut := w.out.String()[:max]
		for !utf8.ValidString(cut) && cut != "" {
			cut = cut[:len(cut)-1]
		}
		return cut + "..."
	}
	return w.out.String()
}

type writer struct {
	out strings.Builder
	max int
}

func (w *writer) value(v any, depth int) {
	if w.out.Len() > w.max {
		return
	}
	if depth > maxDepth {
		w.out.WriteString("...")
		return
	}
	switch v := v.(type) {
	case nil:
		w.out.WriteString("None")
	case bool:
		w.out.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		w.out.WriteString(strconv.FormatInt(v, 10))
	case *big.Int:
		w.out.WriteString(v.String())
	case float64:
		w.out.WriteString(float(v))
	case string:
		w.out.WriteString(quoted(v[:min(len(v), w.max+utf8.UTFMax)]))
	case Bytes:
		text := "b" + quotedBytes(v.Data[:min(len(v.Data), w.max+1)])
		if v.Mutable {
			text = "bytearray(" + text + ")"
		}
		w.out.WriteString(text)
	case Tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		w.all("(", v, end, depth)
	case *List:
		w.all("[", v.Items, "]", depth)
	case *Set:
		switch {
		case v.Frozen && len(v.Items) == 0:
			w.out.WriteString("frozenset()")
		case v.Frozen:
			w.all("frozenset({", v.Items, "})", depth)
		case len(v.Items) == 0:
			w.out.WriteString("set()")
		default:
			w.all("{", v.Items, "}", depth)
		}
	case *Dict:
		w.out.WriteByte('{')
		for i := range v.Keys {
			if i > 0 {
				w.out.WriteString(", ")
			}
			w.value(v.Keys[i], depth+1)
			w.out.WriteString(": ")
			w.value(v.Values[i], depth+1)
			if w.out.Len() > w.max {
				return
			}
		}
		w.out.WriteByte('}')
	case Object:
		if v.Itself {
			fmt.Fprintf(&w.out, "<%s>", v.Name)
		} else {
			fmt.Fprintf(&w.out, "<%s object>", v.Name)
		}
	}
}

func (w *writer) all(begin string, items []any, end string, depth int) {
	w.out.WriteString(begin)
	for i, item := range items {
		if i > 0 {
			w.out.WriteString(", ")
		}
		w.value(item, depth+1)
		if w.out.Len() > w.max {
			return
		}
	}
	w.out.WriteString(end)
}

// float is a number with the fewest digits that tell it from others, with an
// exponent where Python has one.
func float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return map[bool]string{true: "inf", false: "-inf"}[f > 0]
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func quoteFor(double, single bool) byte {
	if single && !double {
		return '"'
	}
	return '\''
}

func quoted(s string) string {
	quote := quoteFor(strings.Contains(s, `"`), strings.Contains(s, `'`))
	out := []byte{quote}
	for _, r := range s {
		switch {
		case byte(r) == quote && r < utf8.RuneSelf || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n', r == '\r', r == '\t':
			out = append(out, '\\', map[rune]byte{'\n': 'n', '\r': 'r', '\t': 't'}[r])
		case r < ' ' || r == 0x7f || r > 0x7f && r < 0x100 && !unicode.IsPrint(r):
			out = fmt.Appendf(out, `\x%02x`, r)
		case unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
	}
	return string(append(out, quote))
}

func quotedBytes(b []byte) string {
	quote := quoteFor(strings.Contains(string(b), `"`), strings.Contains(string(b), `'`))
	out := []byte{quote}
	for _, c := range b {
		switch {
		case c == quote || c == '\\':
			out = append(out, '\\', c)
		case c == '\n', c == '\r', c == '\t':
			out = append(out, '\\', map[byte]byte{'\n': 'n', '\r': 'r', '\t': 't'}[c])
		case c < ' ' || c >= 0x7f:
			out = fmt.Appendf(out, `\x%02x`, c)
		default:
			out = append(out, c)
		}
	}
	return string(append(out, quote))
}

// JSON is a value for encoding/json. What JSON does not have, such as bytes or
// an object, is its repr; tuples and sets are lists. A value of more than max
// parts is its repr, cut.
func JSON(v any, max int) any {
	left := max
	if plain, ok := plain(v, 0, &left); ok {
		return plain
	}
	return Repr(v, max)
}

func plain(v any, depth int, left *int) (any, bool) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, false
	}
	list := func(items []any) (any, bool) {
		out := make([]any, len(items))
		for i, item := range items {
			var ok bool
			if out[i], ok = plain(item, depth+1, left); !ok {
				return nil, false
			}
		}
		return out, true
	}
	switch v := v.(type) {
	case nil, bool, int64, *big.Int:
		return v, true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return float(v), true
		}
		return v, true
	case string:
		return v, true
	case Tuple:
		return list(v)
	case *List:
		return list(v.Items)
	case *Set:
		return list(v.Items)
	case *Dict:
		out := make(map[string]any, len(v.Keys))
		for i, k := range v.Keys {
			name, ok := k.(string)
			if !ok {
				name = Repr(k, 1000)
			}
			if out[name], ok = plain(v.Values[i], depth+1, left); !ok {
				return nil, false
			}
		}
		return out, true
	}
	return Repr(v, 10_000), true
}
