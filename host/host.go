// Package host is a host put together: container runtime, image builder,
// engine and API server, behind one lock. Nothing else composes them.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/gx-dev/gx/build/hostenv"
	"github.com/gx-dev/gx/engine"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/volume"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/host/config"
	"github.com/gx-dev/gx/remote"
	"github.com/gx-dev/gx/remote/dashboard"
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
	// Echo gets the log too; nil = it is in its file alone.
	Echo io.Writer
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

	if err := empty(cfg.Dirs.Temp()); err != nil {
		return err
	}
	logFile, err := openLog(cfg.Dirs.LogFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	var to io.Writer = logFile
	if cfg.Echo != nil {
		to = io.MultiWriter(logFile, cfg.Echo)
	}
	log := slog.New(slog.NewTextHandler(to, nil))
	log.Info("host starting", "version", cfg.Version, "build", cfg.Build, "pid", os.Getpid())
	defer func() { log.Info("host ended", "error", err) }()

	h, err := assemble(ctx, cfg, log, logFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return h.serve()
}

// empty leaves nothing in a folder.
func empty(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing the folder for temporary files: %w", err)
	}
	// A client that starts at the same moment may have made it again.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder for temporary files: %w", err)
	}
	return nil
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

	life  context.Context // ends when the host is to end
	end   context.CancelFunc
	grace context.Context // ends when it is to end at once
	hurry context.CancelFunc

	api       *remote.Server
	dashboard *dashboard.Dashboard
	server    *http.Server
	listen    net.Listener
	used      atomic.Int64 // when a client asked for the host, in Unix nanoseconds
	closed    chan struct{}
	signals   sync.WaitGroup // the one who listens for them
}

// assemble puts a host together. It is the only place that knows all parts.
func assemble(ctx context.Context, cfg Config, log *slog.Logger, file *logFile) (_ *host, err error) {
	h := &host{cfg: cfg, log: log, logFile: file, started: time.Now(), closed: make(chan struct{})}
	h.life, h.end = context.WithCancel(ctx)
	h.grace, h.hurry = context.WithCancel(context.WithoutCancel(ctx))
	h.signals.Go(h.heed)
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
	if h.parts, err = choose(h.life, cfg, h.budget, env, log); err != nil {
		return nil, err
	}
	prices, err := gpu.ListPrices().With(cfg.Settings.GPUPrices)
	if err != nil {
		return nil, err
	}
	if h.parts.gpus, err = chooseGPUs(ctx, cfg, prices, log); err != nil {
		return nil, err
	}
	if index := cfg.Settings.Images.TorchIndex; index != "" && h.parts.gpus != nil && h.parts.gpus.Emulated() {
		h.parts.images = torchIndexed{h.parts.images, index}
	}
	h.engine, err = engine.New(ctx, engine.Config{
		Dir: cfg.Dirs.State, RunDir: cfg.Dirs.Runtime,
		Runtime: h.parts.runtime, Images: h.parts.images, Network: network{env},
		SDK:  func(string) (string, error) { return sdk.Extract(sdkDir(cfg)) },
		GPUs: h.parts.gpus, Prices: prices,
		Budget:  h.budget,
		NoFork:  cfg.Settings.ForkServer == "off",
		DictTTL: time.Duration(cfg.Settings.DictTTL),
		Deployments: deployment.Retention{
			Versions: cfg.Settings.Deploy.KeepVersions, Age: max(0, time.Duration(cfg.Settings.Deploy.KeepFor)),
		},
		Keep: volume.Keep{
			Age: time.Duration(cfg.Settings.Volumes.KeepFor), Versions: cfg.Settings.Volumes.KeepVersions, Bytes: int64(cfg.Settings.Volumes.KeepSize),
		},
		Web: cfg.Settings.Web.Addr, TrustProxy: cfg.Settings.Web.TrustProxy,
		Logs: logs.Options{
			MaxAge: time.Duration(cfg.Settings.Logs.MaxAge), AppBytes: int64(cfg.Settings.Logs.PerApp), MaxBytes: int64(cfg.Settings.Logs.Budget),
		},
		Version: cfg.Version, Log: log,
	})
	if err != nil {
		return nil, err
	}
	h.listen, err = listen(ctx, cfg.Dirs.Socket)
	if err != nil {
		return nil, err
	}
	h.api = remote.NewServer(h.life, &backend{h}, log)
	if h.dashboard, err = openDashboard(cfg.Dirs.State, h.api, log); err != nil {
		return nil, err
	}
	h.engine.Gateway().Page(dashboard.Label, h.dashboard)
	h.server = &http.Server{
		Handler:           h.api,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return h, nil
}

// heed obeys signals until the host is closed.
func (h *host) heed() {
	for ways := []func(){h.end, h.hurry}; len(ways) > 0; ways = ways[1:] {
		select {
		case sig := <-h.cfg.Signals:
			h.log.Info("host ends", "signal", sig)
			ways[0]()
		case <-h.closed:
			return
		}
	}
}

// listen opens the socket, for its user alone: connecting needs the right to
// write, which others have neither by the process's umask nor afterwards. A
// file that is there belongs to a host that is gone: the lock is ours.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a dead host's socket: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), l.Close())
	}
	return l, nil
}

// serve answers until the host is to end.
func (h *host) serve() error {
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(h.listen) }()
	h.log.Info("host ready", "socket", h.cfg.Dirs.Socket, "runtime", h.parts.runtime.Name(), "took", time.Since(h.started).Round(time.Millisecond))
	if h.cfg.Ready != nil {
		h.cfg.Ready()
	}
	idle := time.NewTicker(h.idleCheck())
	defer idle.Stop()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-idle.C:
			if idle, ok := h.idle(); ok && h.cfg.idle() > 0 && idle >= h.cfg.idle() {
				h.log.Info("host ends", "idle", idle.Round(time.Second))
				h.end()
			}
		case <-h.life.Done():
			return nil
		}
	}
}

// idle is for how long nothing has been going on; false = something is. A
// client that has asked for the host is about to use it.
func (h *host) idle() (time.Duration, bool) {
	since, idle := h.engine.IdleSince()
	return min(time.Since(since), time.Since(time.Unix(0, h.used.Load()))), idle
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

// graceMax is how long a host's apps may take to end, their own grace periods
// included.
const graceMax = 40 * time.Second

// close ends everything: the apps, then whoever is connected, having heard how
// theirs ended. The socket goes last, so that its end is the host's.
func (h *host) close() error {
	h.end()
	var errs []error
	ctx, cancel := context.WithTimeout(h.grace, graceMax)
	defer cancel()
	if h.engine != nil {
		errs = append(errs, ignoreCancelled(h.engine.Close(ctx)))
	}
	if h.api != nil {
		hearing, stop := context.WithTimeout(h.grace, 5*time.Second)
		h.api.Close(hearing)
		stop()
	}
	errs = append(errs, h.parts.close())
	if h.server != nil {
		answering, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
		if h.server.Shutdown(answering) != nil {
			_ = h.server.Close()
		}
		stop()
	}
	if h.listen != nil {
		errs = append(errs, ignoreClosed(h.listen.Close()))
	}
	close(h.closed)
	h.signals.Wait()
	h.hurry()
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
