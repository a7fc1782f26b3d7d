package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/deployment"
)

// A program may ask for a function of a certain version of a deployed app. While
// that is the current one, it gets the app's own function, and after that one of
// an app which runs that version beside it. Such an app has nothing that there is
// once only: no web endpoints, no schedules, and a log of its own, APP@VERSION.

// pinnedID is the id of a function of one version: it is good for as long as the
// version is kept, whichever is the current one, with later hosts too.
func pinnedID(app string, version int, name string) string {
	return fmt.Sprintf("fu-%s@%d/%s", strings.TrimPrefix(app, "ap-"), version, name)
}

// function finds a function by its id; nil = there is none.
func (e *Engine) function(id string) (*definition, error) {
	app, rest, pinned := strings.Cut(id, "@")
	if !pinned {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.functions[id], nil
	}
	number, name, _ := strings.Cut(rest, "/")
	version, err := strconv.Atoi(number)
	if err != nil {
		return nil, nil //nolint:nilerr // it is no id
	}
	var d *deployed
	e.mu.Lock()
	for _, other := range e.deployed {
		if other.state().ID == "ap-"+strings.TrimPrefix(app, "fu-") {
			d = other
		}
	}
	e.mu.Unlock()
	if d == nil {
		return nil, nil
	}
	a, err := d.at(context.Background(), version)
	if err != nil {
		return nil, err
	}
	return a.definition(name), nil
}

// at is the app as it is in a version; the error is that of a user if there is no
// such version, or it is not kept.
func (d *deployed) at(ctx context.Context, version int) (*App, error) {
	d.reviving.Lock()
	defer d.reviving.Unlock()
	d.mu.Lock()
	record, current, past := d.record, d.app, d.past[version]
	d.mu.Unlock()
	switch {
	case record.Stopped || current == nil:
		return nil, fmt.Errorf("app %s is stopped: %w", record.Name, ErrNotFound)
	case record.Current == version:
		return current, nil
	case past != nil && !past.ending():
		return past, nil
	}
	e := d.engine
	contents, err := e.deployments.Contents(ctx, record.Key, version)
	if err != nil {
		return nil, fmt.Errorf("app %s: %w", record.Name, err)
	}
	a, err := d.revive(ctx, record, version, contents)
	if err != nil {
		return nil, fmt.Errorf("version %d of app %s cannot be started: %w", version, record.Name, err)
	}
	d.mu.Lock()
	stopped := d.record.Stopped
	if !stopped {
		if d.past == nil {
			d.past = map[int]*App{}
		}
		d.past[version] = a
	}
	d.mu.Unlock()
	if stopped {
		a.stop("the app was stopped", true)
		return nil, fmt.Errorf("app %s was stopped: %w", record.Name, ErrNotFound)
	}
	return a, nil
}

// revive starts an app that runs a version which is not the current one. It was
// proven when it was deployed.
func (d *deployed) revive(ctx context.Context, record deployment.App, version int, c deployment.Contents) (*App, error) {
	e := d.engine
	end, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	images, err := e.open(ctx, c.Images)
	if err != nil {
		return nil, err
	}
	c.Manifest.Environment, c.Manifest.Name = record.Environment, record.Name
	for i := range c.Manifest.Functions { // one question must not keep containers for as long as the app is deployed
		c.Manifest.Functions[i].Scaling.Min = 0
	}
	return e.launch(ctx, &c.Manifest, images, launch{id: call.NewID("ap"), number: version, created: e.cfg.Clock.Now(), past: version})
}

// title is the app's name; that of a past version has its number: "app@2".
func (a *App) title() string {
	if a.past > 0 {
		return fmt.Sprintf("%s@%d", a.name, a.past)
	}
	return a.name
}

// ending reports whether the app was stopped.
func (a *App) ending() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopping
}

// stopPast ends what runs of other versions than the current one.
func (d *deployed) stopPast(ctx context.Context, now bool) error {
	d.mu.Lock()
	past := d.past
	d.past = nil
	d.mu.Unlock()
	for _, a := range past {
		a.stop("the app was stopped", now)
	}
	for _, a := range past {
		if err := a.Stop(ctx, now); err != nil {
			return err
		}
	}
	return nil
}
