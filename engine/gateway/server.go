package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/gx-dev/gx/wire"
)

// proxy answers a request by the user's own server in the container. The runner
// is asked for a connection to it, which it hands over as a descriptor: so the
// server may listen on the container's loopback, of which the host knows nothing.
func (x *exchange) proxy(w http.ResponseWriter, r *http.Request) {
	if !x.begin(w, r, "http", nil, false) {
		return
	}
	defer x.leave()
	var conn net.Conn
	for conn == nil {
		f, got := x.next(r.Context(), nil)
		if !got {
			x.status = statusGone
			return
		}
		switch f.Type {
		case wire.WebConn:
			var err error
			conn, err = net.FileConn(f.File)
			closeFile(f)
			if err != nil {
				x.status = http.StatusBadGateway
				refuse(w, x.status, "the connection to the server in the container cannot be used: %v", err)
				return
			}
		case wire.WebResponse:
			x.answer(w, r, f)
			return
		case wire.Result:
			x.status = http.StatusBadGateway
			refuse(w, x.status, "%s gave no connection", x.route.Function)
			return
		case wire.Error, wire.Fail:
			x.failed(w, f)
			return
		}
	}
	defer func() { _ = conn.Close() }()
	// The container's end, or the timeout of its function, ends the response. The
	// kernel does not remove the network of a container to which a socket belongs.
	x.mu.Lock()
	x.hangup = func() { _ = conn.Close() }
	over := x.over
	x.mu.Unlock()
	if over {
		_ = conn.Close()
	}
	x.pass(w, r, conn)
}

// pass lets a connection's other side answer.
func (x *exchange) pass(w http.ResponseWriter, r *http.Request, conn net.Conn) {
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
	defer transport.CloseIdleConnections()
	seen := &statusWriter{ResponseWriter: w, status: &x.status}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1"})
			p.Out.URL.Path, p.Out.URL.RawPath = unescaped(x.place.path), x.place.path
			p.Out.Host = p.In.Host
			p.SetXForwarded()
			if x.place.root != "" {
				p.Out.Header.Set("X-Forwarded-Prefix", x.place.root)
			}
			for name := range p.Out.Header {
				if secretHeader(strings.ToLower(name)) {
					p.Out.Header.Del(name)
				}
			}
		},
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(x.gateway.cfg.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				x.status = statusGone
				return
			}
			if f, got := x.take(); got && f.Type != wire.Result {
				x.failed(w, f)
				return
			}
			x.say("the server in the container did not answer: " + err.Error())
			x.status = http.StatusBadGateway
			refuse(w, x.status, "%s: the server in the container did not answer", x.route.Function)
		},
	}
	proxy.ServeHTTP(seen, r)
}

func unescaped(path string) string {
	if u, err := url.PathUnescape(path); err == nil {
		return u
	}
	return path
}

// statusWriter notes the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status *int
	once   sync.Once
}

func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.once.Do(func() { *w.status = status })
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find what it wraps.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
