// Package gateway is where web requests come in: a listener on loopback, the
// names of web endpoints, and what becomes of each request between a client and
// a container. A request is an input of its function like a call's: it waits in
// the function's queue, counts for its input concurrency, and has its timeout;
// its body and its response travel as pieces with back-pressure. The package
// speaks HTTP and WebSocket to clients, and frames (package wire) to containers;
// it knows nothing of apps but what an Endpoint says.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
)

// DefaultAddr is where the gateway listens if nothing else is said; if its port
// is taken, on one of the next, or on any.
const DefaultAddr = "127.0.0.1:7272"

// portsTried is how many ports from the default on are tried.
const portsTried = 20

// Limits of what comes from outside.
const (
	maxHeader      = 64 << 10         // bytes of a request's line and headers
	headerPatience = 10 * time.Second // for all of them
	stallFor       = 60 * time.Second // that a client may take nothing, or give nothing, of a body that it has begun
	keepAlive      = 2 * time.Minute  // that an idle connection stays
	maxBody        = 4 << 30          // bytes of a request's body
	maxHeld        = 10_000           // requests of one endpoint at once
)

// Config is what a gateway is made of.
type Config struct {
	Registry *call.Registry
	Clock    clock.Clock
	Log      *slog.Logger
	Addr     string // "" = DefaultAddr, and another port if that is taken
	// Allowed reports whether a proxy-auth token is known.
	Allowed func(ctx context.Context, key, secret string) bool
	// TrustProxy says that requests come through a proxy, whose X-Forwarded-For,
	// -Proto and -Host are believed.
	TrustProxy bool
	// Redirect is how long a response may take until its client is sent to ask
	// for it again; 0 = 150 s, as Modal has it.
	Redirect time.Duration
}

// Endpoint is what a label leads to.
type Endpoint struct {
	Label    string
	App      string // id
	AppName  string
	Function string // name, of a method with its class: "Model.ask"
	Method   string // of a class; "" = a function
	Web      app.Web
	// Target finds the containers that a request with this query is for, and
	// holds them for it. Its error may be a BadRequest.
	Target func(query string) (call.Streams, error)
	// Log takes lines for the app's log.
	Log func([]api.LogLine)
}

// BadRequest is an error that the client has made, which it is told.
type BadRequest struct{ Err error }

func (e BadRequest) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e BadRequest) Unwrap() error { return e.Err }

// Gateway serves the web endpoints of a host. It listens once there is one.
type Gateway struct {
	cfg    Config
	server *http.Server
	done   sync.WaitGroup
	parked parked
	today  today
	stall  time.Duration // stallFor, but for tests

	mu        sync.Mutex
	listeners []net.Listener
	port      int
	routes    map[string][]*route     // by label; of runs of the same app the newest is last, and serves
	pages     map[string]http.Handler // the host's own, by label
	closed    bool
}

// New makes a gateway. Close it.
func New(cfg Config) *Gateway {
	if cfg.Redirect <= 0 {
		cfg.Redirect = 150 * time.Second
	}
	g := &Gateway{cfg: cfg, stall: stallFor, routes: map[string][]*route{}, pages: map[string]http.Handler{}}
	g.parked.init(cfg.Clock)
	g.server = &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       quickContext,
		ConnState:         quickState,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return g
}

// listen begins to listen, unless it has. mu is held.
func (g *Gateway) listen(ctx context.Context) error {
	if len(g.listeners) > 0 {
		return nil
	}
	if g.closed {
		return net.ErrClosed
	}
	l, err := g.open(ctx)
	if err != nil {
		return err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return errors.Join(fmt.Errorf("listening for web requests on %v, which is no TCP address", l.Addr()), l.Close())
	}
	g.port = addr.Port
	g.serve(l)
	// NAME.localhost may mean either of the two.
	if addr.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		if l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(g.port))); err == nil {
			g.serve(l)
		}
	}
	g.cfg.Log.Info("listening for web requests", "addr", addr)
	return nil
}

func (g *Gateway) open(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	if g.cfg.Addr != "" {
		l, err := config.Listen(ctx, "tcp", g.cfg.Addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("the address for web requests, %s, is in use by another program; end that, or configure another (GX_WEB_ADDR, or addr under [web])", g.cfg.Addr)
		}
		if err != nil {
			return nil, fmt.Errorf("listening for web requests: %w", err)
		}
		return l, nil
	}
	host, first, _ := net.SplitHostPort(DefaultAddr)
	port, _ := strconv.Atoi(first)
	var err error
	for i := range portsTried + 1 {
		try := strconv.Itoa(port + i)
		if i == portsTried {
			try = "0"
		}
		var l net.Listener
		if l, err = config.Listen(ctx, "tcp", net.JoinHostPort(host, try)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("listening for web requests: %w", err)
}

// serve answers on a listener until Close. mu is held.
func (g *Gateway) serve(l net.Listener) {
	g.listeners = append(g.listeners, l)
	g.done.Go(func() {
		if err := g.server.Serve(quickListener{l, g}); !errors.Is(err, http.ErrServerClosed) {
			g.cfg.Log.Error("web requests are served no more", "addr", l.Addr(), "error", err)
		}
	})
}

// Close ends every request, at once.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	_ = g.server.Close()
	g.parked.close()
	g.done.Wait()
}
