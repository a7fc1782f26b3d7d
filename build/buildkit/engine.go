//go:build linux

// Package buildkit is the default build.Engine: BuildKit inside this process.
// A recipe becomes a chain of LLB operations, one recipe step after the other,
// so BuildKit's content-addressed cache re-runs only what follows a change. A
// finished image is not exported: the engine holds BuildKit's own reference,
// and its layers are used where they lie.
//
// BuildKit's Go packages promise no compatibility, so all that gx knows of
// them is in here, and the version is pinned.
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/sirupsen/logrus"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/debian"
	"github.com/gx-dev/gx/build/hostenv"
)

// Config says where an engine keeps its things and what it may use.
type Config struct {
	Dir           string                         // the store; owned by one engine at a time
	Bases         debian.Options                 // where bootstrapped bases come from; its Dir must be set
	Host          hostenv.Env                    // what of the machine reaches build steps
	RuntimeBinary string                         // OCI runtime for build steps; "" = runc
	Budget        int64                          // bytes that the store should stay below; 0 = no limit
	Registry      bool                           // try image registries for bases
	SDK           func() (dir string, err error) // the Python packages, for steps that run functions
	Log           *slog.Logger                   // BuildKit's own words; nil = nowhere
	Now           func() time.Time
}

// Engine is a build.Engine. See the package's doc comment.
type Engine struct {
	cfg     Config
	lock    *flock.Flock
	server  *server
	records *records
	cancel  context.CancelFunc

	mu        sync.Mutex
	functions *functions // that run in builds
	volumes   *attachments

	held   map[string]*held       // by image id
	making map[string]*sync.Mutex // by image id: the same recipe is made once
}

var _ build.Engine = (*Engine)(nil)

// New starts an engine and clears what a killed predecessor left in Dir. It
// fails if another process uses Dir.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := mkdirs(cfg.Dir, filepath.Join(cfg.Dir, "contexts"), filepath.Join(cfg.Dir, "records")); err != nil {
		return nil, fmt.Errorf("making the image store: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the image store: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("the image store %s is in use by another gx host", cfg.Dir)
	}
	redirect(cfg.Log)
	cgroup := cgroupName(cfg.Dir)
	sweep(cfg.Dir, cgroup, cfg.Log)
	// The server outlives the call; ctx bounds the start only.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	running := newFunctions(filepath.Join(cfg.Dir, "contexts"))
	volumes := newAttachments()
	server, err := newServer(life, cfg, cgroup, running, volumes)
	if err != nil {
		cancel()
		return nil, errors.Join(err, lock.Unlock())
	}
	return &Engine{
		cfg: cfg, lock: lock, server: server, cancel: cancel, functions: running, volumes: volumes,
		records: &records{dir: filepath.Join(cfg.Dir, "records"), now: cfg.Now},
		held:    make(map[string]*held),
		making:  make(map[string]*sync.Mutex),
	}, nil
}

// redirect sends what BuildKit logs, which is global to it, to log.
func redirect(log *slog.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	logrus.AddHook(slogHook{log})
}

type slogHook struct{ log *slog.Logger }

func (slogHook) Levels() []logrus.Level {
	return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel, logrus.FatalLevel, logrus.PanicLevel}
}

func (h slogHook) Fire(entry *logrus.Entry) error {
	h.log.Debug("buildkit: " + entry.Message)
	return nil
}

// Name is the engine's name.
func (e *Engine) Name() string { return "buildkit" }

// Close releases what is held and ends BuildKit.
func (e *Engine) Close() error {
	e.mu.Lock()
	images := e.held
	e.held = make(map[string]*held)
	e.mu.Unlock()
	for _, h := range images {
		h.drop()
	}
	e.cancel()
	err := e.server.close()
	for _, group := range groups(cgroupName(e.cfg.Dir)) {
		killAll(group, e.cfg.Log)
	}
	return errors.Join(err, e.lock.Unlock())
}

// Build makes an image or finds it.
func (e *Engine) Build(ctx context.Context, req build.Request, events func(build.Event)) (build.Image, error) {
	if events == nil {
		events = func(build.Event) {}
	}
	r, err := newRecipe(req)
	if err != nil {
		return nil, err
	}
	lock := e.makingLock(r.id)
	lock.Lock()
	defer lock.Unlock()
	if req.Recipe.Force < 0 {
		if image := e.pin(r.id); image != nil {
			r.announce(events)
			r.allCached(events)
			return image, e.records.used(r.id)
		}
	}
	image, err := e.make(ctx, r, req, events)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return image, nil
}

func (e *Engine) makingLock(id string) *sync.Mutex {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.making[id] == nil {
		e.making[id] = new(sync.Mutex)
	}
	return e.making[id]
}

// make solves a recipe and holds its result.
func (e *Engine) make(ctx context.Context, r *recipe, req build.Request, events func(build.Event)) (build.Image, error) {
	files, err := e.stage(r, req.Open)
	if err != nil {
		return nil, err
	}
	defer files.close()
	release, err := e.functions.provide(files.functions, e.cfg.SDK)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := release(); err != nil {
			e.cfg.Log.Warn("removing what a function was given", "error", err)
		}
	}()
	detach, err := e.volumes.provide(r, req.Attach)
	if err != nil {
		return nil, err
	}
	defer detach()
	track := newTracker(r, e.records.explain(r), events)
	r.announce(events)
	s := &solve{engine: e, recipe: r, request: req, staged: files, track: track}
	ref, err := e.solve(ctx, s)
	if s.unreachable != nil && ctx.Err() == nil {
		e.noRegistry(s.unreachable)
		s = &solve{engine: e, recipe: r, request: req, staged: files, track: track}
		ref, err = e.solve(ctx, s)
	}
	if err != nil {
		return nil, track.failure(err)
	}
	lower, unmount, err := lowerDirs(ctx, ref)
	if err != nil {
		_ = ref.Release(context.WithoutCancel(ctx))
		return nil, err
	}
	track.finish()
	h := &held{engine: e, id: r.id, ref: ref, unmount: unmount, lower: lower, config: s.config}
	if err := e.records.made(r, s.config, ref.ID()); err != nil {
		h.drop()
		return nil, err
	}
	return e.hold(h), nil
}

// solve carries a recipe through BuildKit and returns what it made.
func (e *Engine) solve(ctx context.Context, s *solve) (cache.ImmutableRef, error) {
	key := fmt.Sprintf("%s-%d", s.recipe.id, e.cfg.Now().UnixNano())
	opt := client.SolveOpt{
		Exports:     []client.ExportEntry{{Type: exporterRef, Attrs: map[string]string{"key": key}}},
		LocalMounts: s.staged.mounts,
		Internal:    true, // no history: it would keep what steps print, secrets among it
		Session:     []session.Attachable{secretsprovider.NewSecretProvider(s.recipe)},
	}
	registry, err := authOf(s.recipe.steps[0])
	if err != nil {
		return nil, err
	}
	if registry != nil {
		opt.Session = append(opt.Session, registry)
	}
	if err := s.base(ctx, &opt); err != nil {
		return nil, err
	}
	status := make(chan *client.SolveStatus, 64)
	tracked := make(chan struct{})
	go func() {
		defer close(tracked)
		for m := range status {
			s.track.update(m)
		}
	}()
	_, err = e.server.client.Build(ctx, opt, "gx", s.run, status)
	<-tracked
	ref := e.server.refs.take(key)
	if err != nil && s.refused != nil {
		err = s.refused
	}
	if err != nil && registry != nil {
		err = registry.hide(err)
	}
	switch {
	case err != nil && ref != nil:
		_ = ref.Release(context.WithoutCancel(ctx))
		return nil, err
	case err != nil:
		return nil, err
	case ref == nil:
		return nil, errors.New("the image has no files: its recipe adds none to an empty base")
	}
	return ref, nil
}

// explain adds what a user can do about an error.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "no space left on device") {
		return &spaceError{err}
	}
	return err
}

// spaceError is a build that failed because the disk is full.
type spaceError struct{ err error }

func (e *spaceError) Error() string {
	return fmt.Sprintf("the disk is full: %v. `gx image prune` frees what images no longer in use occupy", e.err)
}

func (e *spaceError) Unwrap() []error { return []error{e.err, syscall.ENOSPC} }

// cgroupName is the parent of build steps' control groups: one for each store.
func cgroupName(dir string) string { return "/gx-build-" + shortHash([]byte(dir)) }

func removeAll(path string, log *slog.Logger) {
	if err := os.RemoveAll(path); err != nil {
		log.Warn("removing what a build left", "path", path, "error", err)
	}
}
