package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// # Web requests
//
//	host                                        runner
//	WebRequest call=7 {head, first bytes}
//	                                            WebCredit 1048576      if the body goes on
//	WebData, WebData, WebEnd
//	                                            WebResponse {head, first bytes}
//	                                            WebData, WebEnd        if it goes on
//	WebCredit 262144                                                   as the client takes it
//	WebGone                                                            the client has left
//	                                            Result                 the input is over: background tasks too
//
// A request that was answered whole is a WebResponse and a Result. An exception
// that the user's code lets through is an Error, after the response that was
// made of it, if there was still one to make.
//
// A side sends pieces of a body, or WebSocket messages, while it has credit: a
// piece may be larger than what is left, and then the credit is below zero. The
// runner begins a response with a credit of WebWindow. The host begins with
// none, so that nothing is on its way to a container that is not yet at the
// request.
//
// A WebSocket is a request whose scheme is ws or wss. It is accepted by a
// WebResponse of status 101 and refused by any other; then messages go both
// ways, the last of them of kind MessageClose.

// WebWindow is how many bytes of a body one side may send before the other
// says that it has taken some.
const WebWindow = 1 << 20

// Kinds of a WebMessage, in the first byte of its body.
const (
	MessageText   = 1 // UTF-8
	MessageBinary = 2
	MessageClose  = 8 // then the code, 2 bytes little-endian, and the reason
)

// Limits of what a head says.
const (
	maxWebFields = 1000 // headers, counted with what repeats
	maxWebHead   = 1 << 20
)

// headMore is set in the length of a head if the body goes on in further frames.
const headMore = 1 << 31

// Web reports whether frames of this type are about web requests.
func (t Type) Web() bool { return t >= WebRequest && t <= WebConn }

// WebHead is the head of a web request. Text is as it came, not decoded.
type WebHead struct {
	Target  string // the method of a class that answers; "" = the function
	Method  string // GET
	Path    string // percent-encoded, without Root
	Query   string // without the question mark
	HTTP    string // version: "1.1"
	Scheme  string // "http", "https", "ws", "wss"
	Root    string // what was taken off the path's beginning
	Client  string // "127.0.0.1:50312"
	Server  string // "127.0.0.1:7272"
	Headers []WebHeader
}

// WebHeader is one header; in a request its name is in lower case.
type WebHeader struct{ Name, Value string }

// The head is its texts, and those of its headers, with a newline between each
// two. None of them can have one: so both sides split without a parser.

// Request makes the body of a WebRequest. more says that the body goes on.
func (h *WebHead) Request(body []byte, more bool) []byte {
	size := len(h.Target) + len(h.Method) + len(h.Path) + len(h.Query) + len(h.HTTP) + len(h.Scheme) + len(h.Root) + len(h.Client) + len(h.Server) + 8
	for _, f := range h.Headers {
		size += len(f.Name) + len(f.Value) + 2
	}
	b := beginHead(size, len(body), more)
	for i, text := range [...]string{h.Target, h.Method, h.Path, h.Query, h.HTTP, h.Scheme, h.Root, h.Client, h.Server} {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, text...)
	}
	for _, f := range h.Headers {
		b = append(append(append(append(b, '\n'), f.Name...), '\n'), f.Value...)
	}
	return append(b, body...)
}

func beginHead(size, body int, more bool) []byte {
	n := uint32(size)
	if more {
		n |= headMore
	}
	return binary.LittleEndian.AppendUint32(make([]byte, 0, 4+size+body), n)
}

// splitHead takes the head off the body of a WebRequest or WebResponse.
func splitHead(frame []byte) (head, body []byte, more bool, err error) {
	if len(frame) < 4 {
		return nil, nil, false, fmt.Errorf("%w: the head of a web request or response is missing", ErrProtocol)
	}
	n := binary.LittleEndian.Uint32(frame)
	more, n = n&headMore != 0, n&^uint32(headMore)
	if n > maxWebHead || int(n) > len(frame)-4 {
		return nil, nil, false, fmt.Errorf("%w: the head of a web request or response has %d bytes of %d", ErrProtocol, n, len(frame)-4)
	}
	return frame[4 : 4+n], frame[4+n:], more, nil
}

// WebAnswer is the head of a response, with its first bytes.
type WebAnswer struct {
	Status  int
	Headers []WebHeader
	Body    []byte
	More    bool // the body goes on
}

// ParseWebResponse reads the body of a WebResponse.
func ParseWebResponse(frame []byte) (a WebAnswer, err error) {
	head, body, more, err := splitHead(frame)
	if err != nil {
		return a, err
	}
	a.Body, a.More = body, more
	text := string(head) // one copy for all headers
	status, rest, has := cut(text)
	if a.Status, err = strconv.Atoi(status); err != nil || a.Status < 100 || a.Status > 999 {
		return a, fmt.Errorf("%w: a response of status %.20q", ErrProtocol, status)
	}
	if !has {
		return a, nil
	}
	n := bytes.Count(head, []byte{'\n'})
	if n%2 != 0 || n > 2*maxWebFields {
		return a, fmt.Errorf("%w: a response has %d names and values of headers", ErrProtocol, n)
	}
	a.Headers = make([]WebHeader, 0, n/2)
	for range n / 2 {
		var f WebHeader
		f.Name, rest, _ = cut(rest)
		f.Value, rest, _ = cut(rest)
		a.Headers = append(a.Headers, f)
	}
	return a, nil
}

func cut(s string) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == '\n' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// AppendCredit makes the body of a WebCredit.
func AppendCredit(n int) []byte {
	return binary.LittleEndian.AppendUint32(nil, uint32(n))
}

// ParseCredit reads the body of a WebCredit.
func ParseCredit(body []byte) (int, error) {
	if len(body) != 4 {
		return 0, fmt.Errorf("%w: a web credit of %d bytes", ErrProtocol, len(body))
	}
	return int(min(binary.LittleEndian.Uint32(body), MaxBody)), nil
}
