package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// exchange is one request and its response. Frames of the container come in by
// receive, from the goroutine that reads its connection; the rest is done by the
// goroutine of the client's request, and by one that reads its body.
type exchange struct {
	gateway *Gateway
	route   *route
	place   place
	method  string
	began   time.Time
	target  call.Streams
	in      *call.Input
	status  int      // of the response, once there is one
	token   string   // by which the client asks for the response; "" = it waits for it
	broke   bool     // the response was cut off
	parks   bool     // it waits to be asked for, once this request is over
	passage *passage // of the request to a user's own server; nil = it has not begun

	mu     sync.Mutex
	frames []wire.Frame  // came, and were not looked at
	woken  chan struct{} // room for one: frames, or over
	over   bool          // the last frame has come
	left   bool          // nobody looks at frames any more
	credit int           // bytes that may be sent
	room   chan struct{} // room for one: credit, or over
	hangup func()        // ends the passage: with the last frame, or when nobody waits; may be nil
}

func (g *Gateway) newExchange(to *route, p place, method string) *exchange {
	return &exchange{
		gateway: g, route: to, place: p, method: method, began: g.cfg.Clock.Now(),
		woken: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// submit gives the request to the function. An error says that it takes none.
func (x *exchange) submit(h *wire.WebHead, body []byte, more bool) error {
	target, err := x.route.Target(h.Query)
	if err != nil {
		return err
	}
	x.target = target
	x.in = x.gateway.cfg.Registry.Web(target, h.Request(body, more), again(h.Method) && !more, x.receive)
	target.Submit([]*call.Input{x.in})
	return nil
}

// begin gives the request to the function. It answers the client itself, and
// returns false, if the function takes none.
func (x *exchange) begin(w http.ResponseWriter, r *http.Request, scheme string, body []byte, more bool) bool {
	from := x.gateway.origin(r, scheme)
	err := x.submit(&wire.WebHead{
		Target: x.route.Method, Method: r.Method, Path: x.place.path, Query: r.URL.RawQuery, HTTP: r.Proto[len("HTTP/"):],
		Scheme: from.scheme, Root: x.place.root, Client: from.client, Server: serverOf(r), Headers: headers(r, from.host),
	}, body, more)
	if err != nil {
		x.status = http.StatusServiceUnavailable
		if bad := (BadRequest{}); errors.As(err, &bad) {
			x.status = http.StatusBadRequest
		}
		refuse(w, x.status, "%v", err)
	}
	return err == nil
}

// again reports whether a request may be made twice: if its container dies
// before it has answered, another one gets it.
func again(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

func serverOf(r *http.Request) string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }); ok {
		return addr.String()
	}
	return ""
}

// headers are a request's, as ASGI has them: names in lower case.
func headers(r *http.Request, host string) []wire.WebHeader {
	list := make([]wire.WebHeader, 0, len(r.Header)+2)
	list = append(list, wire.WebHeader{Name: "host", Value: host})
	for name, values := range r.Header {
		if name = strings.ToLower(name); withheld(name) {
			continue
		}
		for _, v := range values {
			list = append(list, wire.WebHeader{Name: name, Value: v})
		}
	}
	if len(r.TransferEncoding) > 0 {
		list = append(list, wire.WebHeader{Name: "transfer-encoding", Value: strings.Join(r.TransferEncoding, ", ")})
	}
	return list
}

// receive takes a frame of the container, or of the function. It does not wait.
func (x *exchange) receive(f wire.Frame) {
	x.mu.Lock()
	switch f.Type {
	case wire.WebCredit:
		n, err := wire.ParseCredit(f.Body)
		if err == nil {
			x.credit += n
		}
		x.mu.Unlock()
		poke(x.room)
		return
	case wire.Result, wire.Error, wire.Fail:
		x.over = true
	}
	hangup := x.hangup
	if x.left {
		closeFile(f)
	} else {
		x.frames = append(x.frames, f)
	}
	over := x.over
	x.mu.Unlock()
	poke(x.woken)
	if over {
		poke(x.room)
		if hangup != nil {
			hangup()
		}
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func closeFile(f wire.Frame) {
	if f.File != nil {
		_ = f.File.Close()
	}
}

// take returns a frame that has come.
func (x *exchange) take() (wire.Frame, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.frames) == 0 {
		return wire.Frame{}, false
	}
	f := x.frames[0]
	x.frames[0] = wire.Frame{}
	if x.frames = x.frames[1:]; len(x.frames) == 0 {
		x.frames = nil
	}
	return f, true
}

// untake puts a frame back that was taken.
func (x *exchange) untake(f wire.Frame) {
	x.mu.Lock()
	x.frames = append([]wire.Frame{f}, x.frames...)
	x.mu.Unlock()
	poke(x.woken)
}

// more reports whether a frame has come that was not looked at.
func (x *exchange) more() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.frames) > 0
}

// next waits for a frame, until ctx ends or late is closed.
func (x *exchange) next(ctx context.Context, late <-chan struct{}) (f wire.Frame, got bool) {
	for {
		if f, got = x.take(); got {
			return f, true
		}
		select {
		case <-x.woken:
		case <-ctx.Done():
			return f, false
		case <-late:
			return f, false
		}
	}
}

// leave says that nobody waits for the response any more.
func (x *exchange) leave() {
	x.mu.Lock()
	x.left = true
	frames, over, hangup := x.frames, x.over, x.hangup
	x.frames = nil
	x.mu.Unlock()
	for _, f := range frames {
		closeFile(f)
	}
	if hangup != nil {
		hangup()
	}
	if !over {
		x.target.HangUp(x.in)
	}
}

// send gives the container frames, if it is still at the request: its end comes
// by receive.
func (x *exchange) send(frames ...wire.Frame) { _ = x.target.Stream(x.in, frames...) }

func frame(t wire.Type, body []byte) wire.Frame {
	return wire.Frame{Header: wire.Header{Type: t}, Body: body}
}

// spend waits until the container has given credit, or takes no more. The
// caller sends then, and says how much by charge.
func (x *exchange) spend(ctx context.Context) bool {
	for {
		x.mu.Lock()
		credit, over := x.credit, x.over || x.left
		x.mu.Unlock()
		switch {
		case over:
			return false
		case credit > 0:
			return true
		}
		select {
		case <-x.room:
		case <-ctx.Done():
			return false
		}
	}
}

func (x *exchange) charge(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.credit -= n
}
