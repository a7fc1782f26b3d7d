// Package venv is the build engine of machines on which containers are
// impossible: an image is a Python virtual environment made from the machine's
// own Python. It carries out what such an environment can hold (pip_install,
// env, workdir, copy, functions), and says of every other step that it did not.
package venv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// Options configures an Engine.
type Options struct {
	// Dir is the engine's store. It is created; one engine owns it.
	Dir string
	// Python is an interpreter to use for every image; "" finds one by version
	// on the PATH.
	Python string
	// Environ is the environment of pip and of the search for interpreters;
	// nil is this process's own.
	Environ []string
	// SDK is the folder of the Python packages, for steps that run functions;
	// nil = such steps are left out.
	SDK func() (dir string, err error)
}

// Engine is a build.Engine that makes virtual environments.
type Engine struct {
	store   *store
	pythons *pythons
	environ []string
	sdk     func() (dir string, err error)
}

var _ build.Engine = (*Engine)(nil)

// New opens the engine's store, and clears from it what a killed build left.
func New(opts Options) (*Engine, error) {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil || opts.Dir == "" {
		return nil, fmt.Errorf("the folder of virtual environments is %q: %w", opts.Dir, errors.Join(err, os.ErrInvalid))
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store of virtual environments: %w", err)
	}
	return &Engine{
		store:   s,
		pythons: &pythons{explicit: opts.Python, environ: opts.Environ},
		environ: opts.Environ,
		sdk:     opts.SDK,
	}, nil
}

// Name is "venv".
func (e *Engine) Name() string { return "venv" }

// Close releases nothing: the store stays as it is, also for images that are
// still pinned.
func (e *Engine) Close() error { return nil }

// Build makes the image's virtual environment, or finds it. The environment is
// cached as a whole: a changed step makes a new one, for which pip takes from
// its own cache what it had before.
func (e *Engine) Build(ctx context.Context, req build.Request, events func(build.Event)) (build.Image, error) {
	p, err := newPlan(ctx, req, e.pythons, e.environ, e.sdk != nil)
	if err != nil {
		return nil, err
	}
	r := &reporter{plan: p, events: events}
	r.known()
	release, err := e.store.claim(ctx, p.key)
	if err != nil {
		return nil, err
	}
	defer release()
	if found := e.store.pin(p.key); found != nil {
		if !p.forced {
			for i := range p.steps {
				r.skipped(i)
				r.done(i, true, 0)
			}
			return e.image(p, found), nil
		}
		e.store.unpin(found)
	}
	made, err := e.create(ctx, req, p, r)
	if err != nil {
		return nil, err
	}
	return e.image(p, made), nil
}

// create makes a new environment and pins it. On error nothing of it is left.
func (e *Engine) create(ctx context.Context, req build.Request, p *plan, r *reporter) (_ *environmentDir, err error) {
	dir, err := e.store.begin(p.key)
	if err != nil {
		return nil, fmt.Errorf("making a folder for the virtual environment: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	m := &maker{plan: p, dir: dir, environ: e.environ, open: req.Open, sdk: e.sdk}
	for i := range p.steps {
		start := time.Now()
		r.start(i)
		r.skipped(i)
		if err := m.step(ctx, i, func(text string) { r.log(i, text) }); err != nil {
			if ctx.Err() == nil {
				r.failed(i, err, time.Since(start))
			}
			return nil, err
		}
		r.done(i, false, time.Since(start))
	}
	return e.store.finish(dir, p.key, p.id, p.names)
}

// image is a pinned environment seen as a recipe's image.
func (e *Engine) image(p *plan, dir *environmentDir) *image {
	env := environment(p.steps)
	bin := filepath.Join(dir.venv(), "bin")
	search := variable(e.environ, "PATH")
	if own := variable(env, "PATH"); own != "" {
		search = own
	}
	config := build.Config{
		Env:     append(env, "VIRTUAL_ENV="+dir.venv(), "PATH="+strings.TrimSuffix(bin+string(filepath.ListSeparator)+search, string(filepath.ListSeparator))),
		Python:  filepath.Join(bin, "python"),
		Version: p.python.short(),
	}
	notes := append([]string(nil), p.notes...)
	for i, s := range p.steps {
		switch s.Op {
		case app.OpWorkdir:
			config.Workdir = s.Path
		case app.OpCopy:
			notes = append(notes, fmt.Sprintf("%s: there is no file system of its own without containers; the files are below %s", p.names[i], dir.files()))
		case app.OpFunction:
			if p.skipped[i] == "" {
				notes = append(notes, fmt.Sprintf("%s: it ran on this machine itself, as you, in %s", p.names[i], filepath.Join(dir.files(), workdir(p.steps[:i]))))
			}
		}
	}
	e.store.use(dir, p.id, p.names)
	return &image{engine: e, id: p.id, dir: dir, config: config, notes: notes}
}

// image is a build.Image. Its pin is released once, whoever asks how often.
type image struct {
	engine *Engine
	id     string
	dir    *environmentDir
	config build.Config
	notes  []string
	once   sync.Once
}

func (i *image) ID() string           { return i.id }
func (i *image) Root() build.Root     { return build.Root{Venv: i.dir.venv()} }
func (i *image) Config() build.Config { return i.config }
func (i *image) Unhonoured() []string { return append([]string(nil), i.notes...) }

func (i *image) Kept() build.Kept {
	return build.Kept{ID: i.id, Ref: filepath.Base(i.dir.dir), Config: i.config}
}

// Open finds an image by the folder of its environment.
func (e *Engine) Open(_ context.Context, kept build.Kept) (build.Image, error) {
	dir := e.store.pinDir(kept.Ref)
	if dir == nil {
		return nil, fmt.Errorf("opening image %s: %w", kept.ID, build.ErrGone)
	}
	return &image{engine: e, id: kept.ID, dir: dir, config: kept.Config}, nil
}

func (i *image) Retain() build.Image {
	i.engine.store.repin(i.dir)
	return &image{engine: i.engine, id: i.id, dir: i.dir, config: i.config, notes: i.notes}
}

func (i *image) Release() {
	i.once.Do(func() { i.engine.store.unpin(i.dir) })
}

// Usage tells what the environments occupy.
func (e *Engine) Usage(ctx context.Context) (build.Usage, error) {
	return e.store.usage(), ctx.Err()
}

// Prune deletes environments that no image pins, least recently used first,
// until at most keep bytes are left; with all = true every one of them.
func (e *Engine) Prune(ctx context.Context, keep int64, all bool) (build.Usage, error) {
	if all {
		keep = 0
	}
	return e.store.prune(ctx, keep)
}

// reporter turns a build's progress into events.
type reporter struct {
	plan   *plan
	events func(build.Event)
}

func (r *reporter) send(e build.Event) {
	if r.events != nil {
		e.Image = r.plan.id
		r.events(e)
	}
}

func (r *reporter) known() {
	for i, name := range r.plan.names {
		r.send(build.Event{Kind: build.EventStep, Step: i, Name: name, Total: len(r.plan.names)})
	}
}

func (r *reporter) start(step int) {
	reason := "there is no virtual environment for this recipe yet"
	if r.plan.forced {
		reason = "a rebuild was asked for"
	}
	r.send(build.Event{Kind: build.EventStart, Step: step, Reason: reason})
}

// skipped says so of a step that is not carried out.
func (r *reporter) skipped(step int) {
	if reason := r.plan.skipped[step]; reason != "" && step > 0 {
		r.log(step, "not carried out: "+reason+"\n")
	}
}

func (r *reporter) log(step int, text string) {
	r.send(build.Event{Kind: build.EventLog, Step: step, Data: text})
}

func (r *reporter) done(step int, cached bool, took time.Duration) {
	r.send(build.Event{Kind: build.EventDone, Step: step, Cached: cached, Took: took})
}

func (r *reporter) failed(step int, err error, took time.Duration) {
	r.send(build.Event{Kind: build.EventFailed, Step: step, Error: err.Error(), Took: took})
}
