package engine

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/source"
)

// deployed is an app that no session owns. What it is made of is pinned for as
// long as a version is kept; while the app is stopped, its images are not: they
// are the large part, and may be collected like any that nothing uses.
type deployed struct {
	engine      *Engine
	environment int64      // its id
	doing       sync.Mutex // one change at a time
	reviving    sync.Mutex // held while a version of past is started

	mu     sync.Mutex
	abort  context.CancelCauseFunc // of the deployment in progress; nil = there is none
	halts  int                     // who is stopping the app at once: nothing is deployed meanwhile
	record deployment.App          // Key 0 = no version was confirmed yet
	tag    string                  // of the current version
	since  time.Time               // when that was made
	app    *App                    // nil = it is stopped, or failed
	ending *App                    // that was stopped last, which may not have ended yet
	failed error                   // why it could not be started again
	pins   map[int]*pinned
	past   map[int]*App // that run other versions, for those who ask for one
}

// deploymentKey is a deployed app's name, and its environment's id.
type deploymentKey struct {
	environment int64
	name        string
}

// pinned is what a version is made of, kept from collection.
type pinned struct {
	images []build.Image
	trees  []source.Tree
}

func (p *pinned) release() {
	p.releaseImages()
	for _, t := range p.trees {
		t.Release()
	}
}

func (p *pinned) releaseImages() {
	release(p.images)
	p.images = nil
}

// gone reports whether the app was deleted, or its first deployment failed,
// while somebody waited for it.
func (d *deployed) gone() bool {
	d.engine.mu.Lock()
	defer d.engine.mu.Unlock()
	return d.engine.deployed[deploymentKey{d.environment, d.state().Name}] != d
}

// errHalted is why a deployment ends whose app is stopped at once.
var errHalted = errors.New("the app was stopped, by `gx app stop --now`")

// deploying notes that a deployment is in progress, so that it can be aborted:
// its context ends then with the cause errHalted.
func (d *deployed) deploying(ctx context.Context) (_ context.Context, end func()) {
	ctx, abort := context.WithCancelCause(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abort = abort
	if d.halts > 0 {
		abort(errHalted)
	}
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.abort = nil
		abort(nil)
	}
}

// halt aborts a deployment in progress, and those that come until resume is
// called; aborted says that there was one.
func (d *deployed) halt() (resume func(), aborted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halts++
	if aborted = d.abort != nil; aborted {
		d.abort(errHalted)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.halts--
	}, aborted
}

// deployment finds a deployed app by its id, or its name.
func (e *Engine) deployment(ctx context.Context, ref string) (*deployed, error) {
	d, err := e.begun(ctx, ref)
	if err == nil && (d == nil || d.state().Key == 0) {
		_, name := environment.Split(ref)
		err = fmt.Errorf("no app %q is deployed: %w", name, ErrNotFound)
	}
	return d, err
}

// begun finds a deployed app, or one that is being deployed for the first time;
// nil = there is none.
func (e *Engine) begun(ctx context.Context, ref string) (*deployed, error) {
	in, name := environment.Split(ref)
	id, err := e.environments.ID(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.deployed[deploymentKey{id, name}]
	if d != nil {
		d.in(in)
	}
	for _, other := range e.deployed {
		if other.state().ID == name {
			d = other
		}
	}
	return d, nil
}

// in says what the app's environment is called now: it may have been given
// another name while the app was stopped.
func (d *deployed) in(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record.Environment = cmp.Or(name, environment.Main)
}

// state is what is recorded of the app.
func (d *deployed) state() deployment.App {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.record
}

// describe adds what is special about a deployed app.
func (d *deployed) describe(a *api.App) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.State == "running" {
		a.State = "deployed"
	}
	a.Version, a.Tag, a.Deployed, a.Created = d.record.Current, d.tag, d.since, d.record.Created
}

// drop forgets the app if no version of it was ever confirmed.
func (d *deployed) drop() {
	e := d.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := d.state(); r.Key == 0 {
		delete(e.deployed, deploymentKey{d.environment, r.Name})
	}
}

// trim lets go of versions that need not be kept. It is not cut short by the end
// of ctx: who has deployed may be gone.
func (d *deployed) trim(ctx context.Context) {
	e := d.engine
	dropped, err := e.deployments.Trim(context.WithoutCancel(ctx), d.state().Key, e.cfg.Deployments)
	if err != nil {
		e.cfg.Log.Error("old versions are kept", "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range dropped {
		if p := d.pins[n]; p != nil {
			p.release()
			delete(d.pins, n)
		}
	}
}

// DeleteDeployed forgets a deployed app that was stopped, with its versions and
// its history. What they are made of may be collected then.
func (e *Engine) DeleteDeployed(ctx context.Context, ref string) error {
	end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	d, err := e.deployment(ctx, ref)
	if err != nil {
		return err
	}
	d.doing.Lock()
	defer d.doing.Unlock()
	record := d.state()
	if record.Key == 0 {
		return fmt.Errorf("no app %q is deployed: %w", record.Name, ErrNotFound)
	}
	if !record.Stopped {
		return invalid("app %s is deployed: `gx app stop %s` first", record.Name, record.Name)
	}
	if err := e.schedules.Forget(ctx, record.Environment, record.Name, func(tx *sql.Tx) error { return deployment.Delete(tx, record.Key) }); err != nil {
		return fmt.Errorf("deleting app %s: %w", record.Name, err)
	}
	d.mu.Lock()
	d.record.Key = 0
	d.mu.Unlock()
	e.releaseDeployed(func(other *deployed) bool { return other == d })
	return nil
}

// stop ends the app until another version is deployed. With now, a deployment
// that is in progress ends too; else it is waited for.
func (d *deployed) stop(ctx context.Context, who string, now bool) error {
	aborted := false
	if now {
		var resume func()
		resume, aborted = d.halt()
		defer resume()
	}
	d.doing.Lock()
	defer d.doing.Unlock()
	e := d.engine
	record := d.state()
	if record.Key == 0 { // it was to be its first version
		if aborted {
			return nil
		}
		return fmt.Errorf("no app %q is deployed: %w", record.Name, ErrNotFound)
	}
	if record.Stopped {
		return fmt.Errorf("app %q is stopped: %w", record.Name, ErrNotFound)
	}
	if err := e.deployments.Stop(ctx, record.Key, who); err != nil {
		return err
	}
	if err := e.setSchedules(context.WithoutCancel(ctx), record.Environment, record.Name, nil); err != nil {
		e.cfg.Log.Error("the schedules of an app that was stopped are left", "app", record.ID, "name", record.Name, "error", err)
	}
	d.mu.Lock()
	a := d.app
	d.app, d.ending, d.failed, d.record.Stopped = nil, a, nil, true
	for _, p := range d.pins {
		p.releaseImages()
	}
	d.mu.Unlock()
	e.cfg.Log.Info("a deployed app was stopped", "app", record.ID, "name", record.Name, "who", who)
	if a == nil {
		e.giveUpSpawned(e.comesBack)
		return d.stopPast(ctx, now)
	}
	a.stop("the app was stopped", now) // all of it at once
	return errors.Join(d.stopPast(ctx, now), a.Stop(ctx, now))
}

// ended waits until nothing is left of the app that was stopped last: the next
// one has its id, its log and its bill.
func (d *deployed) ended(ctx context.Context) error {
	d.mu.Lock()
	a := d.ending
	d.mu.Unlock()
	if a == nil {
		return nil
	}
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for app %s to end, which was stopped: %w", a.name, ctx.Err())
	}
}

// failure is why the app could not be started again; nil = it was, or is
// stopped.
func (d *deployed) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}
