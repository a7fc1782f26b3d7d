// Package host is a host put together: container runtime, image builder,
// engine and API server, behind one lock. Nothing else composes them.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/gx-dev/gx/build/hostenv"
	"github.com/gx-dev/gx/engine"
	"github.com/gx-dev/gx/host/config"
	"github.com/gx-dev/gx/remote"
	"github.com/gx-dev/gx/remote/local"
	"github.com/gx-dev/gx/sdk"
)

// defaultIdle is how long a host with nothing to do stays.
const defaultIdle = 15 * time.Minute

// Config says what host to run.
type Config struct {
	Dirs        local.Dirs
	Settings    config.Config
	Runtime     string        // overrides Settings.Runtime
	IdleTimeout time.Duration // overrides Settings.IdleTimeout; negative = stay
	Version     string
	Build       string
	Getenv      func(string) string
	// Ready is told once the host answers; it may be nil.
	Ready func()
	// Signals end the host: the first in order, a second at once.
	Signals <-chan os.Signal
}

// ErrRunning is the error of Run when another host has the state already.
var ErrRunning = errors.New("a host is running already")

// Run runs a host until it is told to end, or is idle for long enough.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.Dirs.Make(); err != nil {
		return err
	}
	lock, err := acquire(cfg.Dirs.Lock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()

	logFile, err := openLog(cfg.Dirs.LogFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	log := slog.New(slog.NewTextHandler(logFile, nil))
	log.Info("host starting", "version", cfg.Version, "build", cfg.Build, "pid", os.Getpid())
	defer func() { log.Info("host ended", "error", err) }()

	h, err := assemble(ctx, cfg, log, logFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return h.serve(ctx)
}

// acquire makes this process the one that owns the state.
func acquire(path string) (*flock.Flock, error) {
	lock := flock.New(path)
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the state folder: %w", err)
	}
	if !got {
		return nil, ErrRunning
	}
	return lock, nil
}

// host is a running host.
type host struct {
	cfg     Config
	log     *slog.Logger
	logFile *logFile
	started time.Time
	parts   parts
	engine  *engine.Engine
	budget  int64

	life   context.Context // ends when the host is to end
	end    context.CancelFunc
	server *http.Server
	listen net.Listener
	now    atomic.Bool // end without grace
}

// assemble puts a host together. It is the only place that knows all parts.
func assemble(ctx context.Context, cfg Config, log *slog.Logger, file *logFile) (_ *host, err error) {
	h := &host{cfg: cfg, log: log, logFile: file, started: time.Now()}
	h.life, h.end = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	raiseFileLimit(log)
	h.budget = budget(cfg)
	env, err := hostenv.Discover(cfg.Getenv, filepath.Join(cfg.Dirs.State, "hostenv"))
	if err != nil {
		return nil, err
	}
	if h.parts, err = choose(ctx, cfg, h.budget, env, log); err != nil {
		return nil, err
	}
	cache := filepath.Join(cfg.Dirs.State, "sdk")
	h.engine, err = engine.New(ctx, engine.Config{
		Dir: cfg.Dirs.State, RunDir: cfg.Dirs.Runtime,
		Runtime: h.parts.runtime, Images: h.parts.images, Network: network{env},
		SDK:     func(string) (string, error) { return sdk.Extract(cache) },
		Budget:  h.budget,
		Version: cfg.Version, Log: log,
	})
	if err != nil {
		return nil, err
	}
	h.listen, err = listen(ctx, cfg.Dirs.Socket)
	if err != nil {
		return nil, err
	}
	h.server = &http.Server{
		Handler:           remote.NewServer(h.life, &backend{h}, log),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return h, nil
}

// listen opens the socket, for its user alone. A file that is there belongs to
// a host that is gone: the lock is ours.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a dead host's socket: %w", err)
	}
	before := syscall.Umask(0o177)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	syscall.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return l, nil
}

// serve answers until the host is to end.
func (h *host) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(h.listen) }()
	h.log.Info("host ready", "socket", h.cfg.Dirs.Socket, "runtime", h.parts.runtime.Name(), "took", time.Since(h.started).Round(time.Millisecond))
	if h.cfg.Ready != nil {
		h.cfg.Ready()
	}
	idle := time.NewTicker(h.idleCheck())
	defer idle.Stop()
	collect := time.NewTicker(time.Minute)
	defer collect.Stop()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case sig := <-h.cfg.Signals:
			h.log.Info("host ends", "signal", sig)
			h.end()
		case <-idle.C:
			if since, idle := h.engine.IdleSince(); idle && h.cfg.idle() > 0 && time.Since(since) >= h.cfg.idle() {
				h.log.Info("host ends", "idle", time.Since(since).Round(time.Second))
				h.end()
			}
		case <-collect.C:
			h.collect(ctx)
		case <-h.life.Done():
			return nil
		}
	}
}

func (c Config) idle() time.Duration {
	switch {
	case c.IdleTimeout != 0:
		return c.IdleTimeout
	case c.Settings.IdleTimeout != 0:
		return time.Duration(c.Settings.IdleTimeout)
	}
	return defaultIdle
}

func (h *host) idleCheck() time.Duration {
	return min(max(h.cfg.idle()/4, 100*time.Millisecond), 10*time.Second)
}

// close ends everything, the server first: whoever is connected learns from
// the engine how their app ended, as long as that takes.
func (h *host) close() error {
	h.end()
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second) // an app's grace period and some
	defer cancel()
	if h.now.Load() {
		cancel()
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-h.cfg.Signals: // a second one: at once
			cancel()
		case <-finished:
		}
	}()
	if h.listen != nil {
		errs = append(errs, ignoreClosed(h.listen.Close()))
	}
	if h.engine != nil {
		errs = append(errs, ignoreCancelled(h.engine.Close(ctx)))
	}
	if h.server != nil {
		closing, stop := context.WithTimeout(context.Background(), 2*time.Second)
		if h.server.Shutdown(closing) != nil {
			_ = h.server.Close()
		}
		stop()
	}
	errs = append(errs, h.parts.close())
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// raiseFileLimit lets the host have as many files open as it may: each
// container has some.
func raiseFileLimit(log *slog.Logger) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	limit.Cur = limit.Max
	if runtime.GOOS == "darwin" {
		limit.Cur = min(limit.Cur, 10240) // what the kernel takes there
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Debug("raising the limit of open files", "error", err)
	}
}
