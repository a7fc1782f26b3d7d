package gateway

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/wire"
)

// proxy answers a request by the user's own server in the container, see passage.
func (x *exchange) proxy(w http.ResponseWriter, r *http.Request) {
	// One that becomes another protocol cannot be asked for again, and one whose
	// body is large has to go on as it comes.
	whole := r.Header.Get("Upgrade") == ""
	body, more, ok := x.smallBody(w, r)
	if !ok || !x.begin(w, r, "http", nil, false) {
		return
	}
	x.pass(w, r, body, whole && !more)
}

// pass gives the client the server's response, or, if that takes long and whole,
// the request's body, has come, sends the client to ask for it again.
func (x *exchange) pass(w http.ResponseWriter, r *http.Request, body []byte, whole bool) {
	defer func() {
		if x.parks {
			return
		}
		x.leave()
		if p := x.passage; p != nil {
			if <-p.done; p.res != nil {
				_ = p.res.Body.Close()
			}
		}
	}()
	transport := &awaited{x: x, body: body}
	if whole {
		late := make(chan struct{})
		timer := x.gateway.cfg.Clock.AfterFunc(x.gateway.cfg.Redirect, func() { close(late) })
		defer timer.Stop()
		transport.late = late
	}
	if body == nil && r.ContentLength != 0 {
		r.Body = &serverBody{ReadCloser: r.Body, x: x, control: http.NewResponseController(w)}
	}
	seen := &serverWriter{ResponseWriter: w, x: x}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1"})
			p.Out.URL.Path, p.Out.URL.RawPath = unescaped(x.place.path), x.place.path
			for name := range p.Out.Header {
				if withheld(strings.ToLower(name)) {
					p.Out.Header.Del(name)
				}
			}
			p.SetXForwarded()
			from := x.gateway.origin(p.In, "http")
			p.Out.Host = from.host
			p.Out.Header.Set("X-Forwarded-Host", from.host)
			p.Out.Header.Set("X-Forwarded-Proto", from.scheme)
			if ip, _, err := net.SplitHostPort(from.client); err == nil {
				p.Out.Header.Set("X-Forwarded-For", ip)
			}
			if x.place.root != "" {
				p.Out.Header.Set("X-Forwarded-Prefix", x.place.root)
			}
		},
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(x.gateway.cfg.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { x.noResponse(w, r, err) },
	}
	proxy.ServeHTTP(seen, r)
}

// noResponse answers a request to which the server has not.
func (x *exchange) noResponse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errLate) {
		x.redirect(w, r)
		return
	}
	if large, is := errors.AsType[*http.MaxBytesError](err); is {
		x.status = http.StatusRequestEntityTooLarge
		refuse(w, x.status, "a body of more than %d bytes", large.Limit)
		return
	}
	if r.Context().Err() != nil {
		x.parks = x.token != "" // it may ask again
		x.lost()
	}
	if bad, is := errors.AsType[*bodyError](err); is {
		x.status = http.StatusBadRequest
		refuse(w, x.status, "%v", bad)
		return
	}
	if f, got := x.take(); got && f.Type != wire.Result {
		err = &frameError{f}
	}
	if other, is := errors.AsType[*frameError](err); is {
		switch f := other.frame; f.Type {
		case wire.WebResponse:
			x.answer(w, r, f)
		case wire.Result:
			x.status = http.StatusBadGateway
			refuse(w, x.status, "%s gave no connection", x.route.Function)
		default:
			x.failed(w, f)
		}
		return
	}
	x.say("the server in the container did not answer: " + err.Error())
	x.status = http.StatusBadGateway
	refuse(w, x.status, "%s: the server in the container did not answer", x.route.Function)
}

func unescaped(path string) string {
	if u, err := url.PathUnescape(path); err == nil {
		return u
	}
	return path
}

// serverBody is a request's body on its way to a user's own server, with the
// limits that other endpoints' bodies have.
type serverBody struct {
	io.ReadCloser
	x       *exchange
	control *http.ResponseController
	total   int64
}

// Read implements io.Reader.
func (b *serverBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.x.gateway.stall))
	n, err := b.ReadCloser.Read(p)
	if b.total += int64(n); b.total > maxBody {
		return n, &http.MaxBytesError{Limit: maxBody}
	}
	switch {
	case errors.Is(err, io.EOF):
		_ = b.control.SetReadDeadline(time.Time{})
	case err != nil:
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is why a request's body cannot be read.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "the body of the request cannot be read: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// serverWriter is the response of a user's own server: it notes its status, and
// holds clients to their time.
type serverWriter struct {
	http.ResponseWriter
	x    *exchange
	once sync.Once
}

// WriteHeader implements http.ResponseWriter.
func (w *serverWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.once.Do(func() { w.x.status = status })
	}
	w.x.gateway.hurry(w.ResponseWriter)
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *serverWriter) Write(p []byte) (int, error) {
	w.x.gateway.hurry(w.ResponseWriter)
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *serverWriter) FlushError() error {
	w.x.gateway.hurry(w.ResponseWriter)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker: of what becomes another protocol the client
// has to take something within its time too.
func (w *serverWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &hurried{conn, w.x.gateway.stall}, buffered, nil
}

// hurried is a connection whose other side has to take what is written to it.
type hurried struct {
	net.Conn
	stall time.Duration
}

// Write implements net.Conn.
func (c *hurried) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.stall))
	return c.Conn.Write(p)
}
