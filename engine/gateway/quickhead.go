package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/gx-dev/gx/wire"
)

// quickRequest is a request of the plainest form. Its texts are its own.
type quickRequest struct {
	method, path, query, host string
	fields                    []wire.WebHeader // in their order, names in lower case; without those that are withheld
	body                      []byte           // a part of what was read
}

// reading is what the bytes at the beginning of a request are.
type reading int

const (
	unfinished reading = iota // the beginning of a plain request
	other                     // what only net/http reads, to its end or to an error
	special                   // a whole request that net/http has to see to
	plain                     // a whole request
)

// Bytes by what they may be part of: names of headers; paths, percent-encoded;
// queries; values of headers.
var inName, inPath, inQuery, inValue = class("!#$%&'*+-.^_`|~"), class("!$&'()*+,;=:@/-._~"), class(""), class("")

func class(signs string) (in [256]bool) {
	for c := range in {
		in[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(signs, byte(c)) >= 0
	}
	return in
}

func init() {
	for c := range 256 {
		inQuery[c] = c > ' ' && c < 0x7f && c != '#'
		inValue[c] = c >= ' ' && c != 0x7f || c == '\t'
	}
}

// read takes the request at the beginning of data apart, as far as it is one of
// those that small clients make all the time; whatever may be read in two ways
// is other. It makes the names of headers lower case where they lie, which means
// the same to who reads them after it. size is that of a whole request.
func (q *quickRequest) read(data []byte) (what reading, size int) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return q.begins(data), 0
	}
	q.fields = q.fields[:0]
	lower(data[:end])
	text := string(data[:end]) // the one copy, of which all texts are parts
	line, rest, _ := strings.Cut(text, "\r\n")
	if what = q.readLine(line); what == other {
		return other, 0
	}
	size = end + 4
	length, host, sized := 0, false, false
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !found || name == "" || !all(name, &inName) || !all(value, &inValue) || len(q.fields) >= maxQuickFields {
			return other, 0
		}
		switch name {
		case "host":
			if host || value == "" {
				return other, 0
			}
			host, q.host = true, value
		case "content-length":
			n, ok := digits(value)
			if sized || !ok {
				return other, 0
			}
			length, sized = n, true
		case "transfer-encoding", "upgrade", "expect", "trailer":
			return other, 0
		case "connection":
			if !strings.EqualFold(value, "keep-alive") {
				what = special
			}
		}
		if !withheld(name) {
			q.fields = append(q.fields, wire.WebHeader{Name: name, Value: value})
		}
	}
	if !host {
		return other, 0
	}
	if size += length; size > len(data) {
		return unfinished, size
	}
	q.body = data[end+4 : size]
	return what, size
}

// begins says what the bytes are that have come of a head: what can't become a
// plain one is not waited for.
func (q *quickRequest) begins(data []byte) reading {
	if bytes.Count(data, []byte("\n")) != bytes.Count(data, []byte("\r\n")) {
		return other
	}
	if line, _, whole := strings.Cut(string(data), "\r\n"); whole && q.readLine(line) == other || !whole && line != "" && (line[0] < 'A' || line[0] > 'Z') {
		return other
	}
	return unfinished
}

// maxQuickFields is how many headers a request has at most; with more of them
// it is other.
const maxQuickFields = 100

// lower makes the names of the headers behind the first line lower case.
func lower(head []byte) {
	at := bytes.IndexByte(head, '\n') + 1
	if at == 0 {
		return
	}
	for name := true; at < len(head); at++ {
		switch c := head[at]; {
		case c == '\n':
			name = true
		case c == ':':
			name = false
		case name && c >= 'A' && c <= 'Z':
			head[at] = c + 'a' - 'A'
		}
	}
}

// readLine reads a request's first line.
func (q *quickRequest) readLine(line string) reading {
	what := plain
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" || target == "" || target[0] != '/' || strings.HasPrefix(target, "//") {
		return other
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	case http.MethodHead:
		what = special
	default:
		return other
	}
	q.method = method
	q.path, q.query, _ = strings.Cut(target, "?")
	if !all(q.query, &inQuery) {
		return other
	}
	for i := 0; i < len(q.path); i++ {
		switch c := q.path[i]; {
		case inPath[c]:
		case c == '%' && i+2 < len(q.path) && isHex(q.path[i+1]) && isHex(q.path[i+2]):
			i += 2
		default:
			return other
		}
	}
	return what
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func all(text string, in *[256]bool) bool {
	for i := range len(text) {
		if !in[text[i]] {
			return false
		}
	}
	return true
}

// digits reads a number of a few digits.
func digits(text string) (n int, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' || i > 8 {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, text != ""
}

// appendResponse appends a whole response as it goes to the client; false = it
// is none of the plainest form.
func appendResponse(b []byte, a *wire.WebAnswer, date string) ([]byte, bool) {
	reason := http.StatusText(a.Status)
	if a.Status < 200 || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified || reason == "" {
		return b, false
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, ' ')
	b = append(append(b, reason...), "\r\n"...)
	dated, sized := false, false
	for _, f := range a.Headers {
		if f.Name == "" || !all(f.Name, &inName) || !all(f.Value, &inValue) {
			return b, false
		}
		switch {
		case strings.EqualFold(f.Name, "content-length"):
			n, ok := digits(f.Value)
			if sized || !ok || n != len(a.Body) {
				return b, false
			}
			sized = true
		case strings.EqualFold(f.Name, "date"):
			dated = true
		case strings.EqualFold(f.Name, "connection"), strings.EqualFold(f.Name, "transfer-encoding"),
			strings.EqualFold(f.Name, "upgrade"), strings.EqualFold(f.Name, "trailer"):
			return b, false
		}
		b = appendName(b, f.Name)
		b = append(b, ": "...)
		b = append(append(b, strings.Trim(f.Value, " \t")...), "\r\n"...)
	}
	if !dated {
		b = append(append(append(b, "Date: "...), date...), "\r\n"...)
	}
	if !sized {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(a.Body)), 10), "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, a.Body...), true
}

// appendName appends a header's name as net/http writes it: Content-Type.
func appendName(b []byte, name string) []byte {
	upper := true
	for i := range len(name) {
		c := name[i]
		switch {
		case upper && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case !upper && c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		upper = c == '-'
		b = append(b, c)
	}
	return b
}
