package engine

import (
	"cmp"
	"context"
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
// long as a version is kept, whether it runs or not.
type deployed struct {
	engine      *Engine
	environment int64      // its id
	doing       sync.Mutex // one change at a time

	mu     sync.Mutex
	record deployment.App // Key 0 = no version was confirmed yet
	tag    string         // of the current version
	since  time.Time      // when that was made
	app    *App           // nil = it is stopped, or failed
	ending *App           // that was stopped last, which may not have ended yet
	failed error          // why it could not be started again
	pins   map[int]*pinned
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
	release(p.images)
	for _, t := range p.trees {
		t.Release()
	}
}

// gone reports whether the app was deleted, or its first deployment failed,
// while somebody waited for it.
func (d *deployed) gone() bool {
	d.engine.mu.Lock()
	defer d.engine.mu.Unlock()
	return d.engine.deployed[deploymentKey{d.environment, d.state().Name}] != d
}

// deployment finds a deployed app by its id, or its name.
func (e *Engine) deployment(ctx context.Context, ref string) (*deployed, error) {
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
	if d == nil || d.state().Key == 0 {
		return nil, fmt.Errorf("no app %q is deployed: %w", name, ErrNotFound)
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

// trim lets go of versions that need not be kept.
func (d *deployed) trim(ctx context.Context) {
	e := d.engine
	dropped, err := e.deployments.Trim(ctx, d.state().Key, e.cfg.Deployments)
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
	if err := e.deployments.Delete(ctx, record.Key); err != nil {
		return err
	}
	d.mu.Lock()
	d.record.Key = 0
	d.mu.Unlock()
	e.releaseDeployed(func(other *deployed) bool { return other == d })
	return e.schedules.Forget(context.WithoutCancel(ctx), record.Environment, record.Name)
}

// stop ends the app until another version is deployed.
func (d *deployed) stop(ctx context.Context, who string, now bool) error {
	d.doing.Lock()
	defer d.doing.Unlock()
	e := d.engine
	record := d.state()
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
	d.mu.Unlock()
	e.cfg.Log.Info("a deployed app was stopped", "app", record.ID, "name", record.Name, "who", who)
	if a == nil {
		e.giveUpSpawned(e.comesBack)
		return nil
	}
	return a.Stop(ctx, now)
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
