package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/gx-dev/gx/wire"
)

// passage is the way of a request to the user's own server in a container, and of
// its response back. It does not end with the wait of its client: who is sent to
// ask again finds it with the exchange.
type passage struct {
	done chan struct{} // closed once there is a response, or an error
	res  *http.Response
	err  error
}

// errLate is why a client is sent to ask again.
var errLate = errors.New("the response has not begun")

// frameError is what came instead of a connection to the server.
type frameError struct{ frame wire.Frame }

func (e *frameError) Error() string { return "the container gave no connection to the server" }

// awaited is a transport that waits for the response of an exchange's passage,
// which it begins if nobody has.
type awaited struct {
	x    *exchange
	body []byte          // of the request, if it has come: that of RoundTrip's may be closed before it is read
	late <-chan struct{} // closed when the client is to ask again; may be nil
}

// RoundTrip implements http.RoundTripper.
func (a *awaited) RoundTrip(r *http.Request) (*http.Response, error) {
	p := a.x.passage
	if p == nil {
		p = a.x.embark(r, a.body)
	}
	select {
	case <-p.done:
		return p.res, p.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-a.late:
		return nil, errLate
	}
}

// embark sends a request on its way, which ends with the exchange.
func (x *exchange) embark(r *http.Request, body []byte) *passage {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	r = r.WithContext(ctx)
	if body != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	p := &passage{done: make(chan struct{})}
	x.passage = p
	go func() { // ends with ctx
		defer close(p.done)
		p.res, p.err = x.travel(ctx, r) //nolint:bodyclose // by pass
	}()
	x.mu.Lock()
	x.hangup = cancel
	over := x.over
	x.mu.Unlock()
	if over {
		cancel()
	}
	return p
}

// travel gives the server the request, and returns the response. ctx ends both,
// also while the response is being read: the kernel does not remove the network
// of a container to which a socket belongs.
func (x *exchange) travel(ctx context.Context, r *http.Request) (*http.Response, error) {
	conn, err := x.connection(ctx)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	once := make(chan net.Conn, 1)
	once <- conn
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case c := <-once:
				return c, nil
			default:
				return nil, errors.New("the server in the container closed its connection")
			}
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20,
	}
	return transport.RoundTrip(r)
}

// connection is one to the server in the container. The runner is asked for it,
// and hands it over as a descriptor: so the server may listen on the container's
// loopback, of which the host knows nothing.
func (x *exchange) connection(ctx context.Context) (net.Conn, error) {
	for {
		f, got := x.next(ctx, nil)
		if !got {
			return nil, ctx.Err()
		}
		switch f.Type {
		case wire.WebConn:
			conn, err := net.FileConn(f.File)
			closeFile(f)
			return conn, err
		case wire.WebResponse, wire.Result, wire.Error, wire.Fail:
			return nil, &frameError{f}
		}
		closeFile(f)
	}
}
