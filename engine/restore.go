package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/source"
)

// restore pins what kept versions are made of, and starts the deployed apps
// that an earlier host has run. One that cannot be started does not keep the
// others from it: it is listed as failed.
func (e *Engine) restore(ctx context.Context) error {
	apps, err := e.deployments.Apps(ctx)
	if err != nil {
		return err
	}
	for _, record := range apps {
		id, err := e.environments.ID(ctx, record.Environment)
		if err != nil {
			return err
		}
		d := &deployed{engine: e, environment: id, record: record, pins: map[int]*pinned{}}
		e.deployed[deploymentKey{id, record.Name}] = d
		if err := d.restore(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.failed = err
			e.cfg.Log.Error("a deployed app cannot be started", "app", record.ID, "name", record.Name, "error", err)
		}
		if d.app != nil {
			e.resumeSpawned(d.app)
		}
	}
	e.giveUpSpawned(e.comesBack)
	return nil
}

// comesBack reports whether an app is deployed and was not stopped. mu is held.
func (e *Engine) comesBack(in, name string) bool {
	for _, d := range e.deployed {
		if r := d.state(); r.Environment == in && r.Name == name {
			return !r.Stopped
		}
	}
	return false
}

// restore pins the app's versions and starts the current one.
func (d *deployed) restore(ctx context.Context) error {
	e := d.engine
	versions, err := e.deployments.Versions(ctx, d.record.Key)
	if err != nil {
		return err
	}
	var failed error
	if d.record.Stopped {
		if err := e.setSchedules(ctx, d.record.Environment, d.record.Name, nil); err != nil {
			return err
		}
	}
	for _, v := range versions {
		if v.Number == d.record.Current {
			d.tag, d.since = v.Tag, v.Created
		}
		if !v.Kept {
			continue
		}
		contents, err := e.deployments.Contents(ctx, d.record.Key, v.Number)
		if err == nil {
			d.pins[v.Number] = &pinned{trees: []source.Tree{e.sources.Pin(contents.Trees)}}
			if !d.record.Stopped {
				err = d.pinImages(ctx, v.Number, contents.Images)
			}
		}
		if v.Number == d.record.Current && !d.record.Stopped {
			if err == nil {
				err = d.resume(ctx, contents)
			}
			failed = err
		} else if err != nil {
			e.cfg.Log.Warn("a version cannot be gone back to", "app", d.record.Name, "version", v.Number, "error", err)
		}
	}
	return failed
}

// pinImages keeps a version's images.
func (d *deployed) pinImages(ctx context.Context, number int, kept []build.Kept) error {
	images, err := d.engine.open(ctx, kept)
	if err != nil {
		return fmt.Errorf("%w; deploy the app again", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pins[number].releaseImages() // those of an app that could not be started were kept
	d.pins[number].images = images
	return nil
}

// pinAgain keeps the images of an app's versions, of those that are still there:
// it was stopped, and runs again.
func (d *deployed) pinAgain(ctx context.Context) {
	e := d.engine
	d.mu.Lock()
	key, current, numbers := d.record.Key, d.record.Current, slices.Sorted(maps.Keys(d.pins))
	d.mu.Unlock()
	for _, number := range numbers {
		if number == current {
			continue
		}
		contents, err := e.deployments.Contents(ctx, key, number)
		if err == nil {
			err = d.pinImages(ctx, number, contents.Images)
		}
		if err != nil {
			e.cfg.Log.Warn("a version cannot be gone back to", "app", d.state().Name, "version", number, "error", err)
		}
	}
}

// resume starts the current version. It was proven when it was deployed.
func (d *deployed) resume(ctx context.Context, c deployment.Contents) error {
	e := d.engine
	c.Manifest.Environment = d.record.Environment // which may have another name by now
	if err := e.setSchedules(ctx, d.record.Environment, d.record.Name, &c.Manifest); err != nil {
		return err
	}
	images, err := e.open(ctx, c.Images)
	if err != nil {
		return err
	}
	d.app, err = e.launch(ctx, &c.Manifest, images, launch{id: d.record.ID, number: d.record.Current, ids: d.record.Functions, created: e.cfg.Clock.Now(), deployed: d})
	return err
}

// releaseDeployed lets go of what versions are made of. All apps have ended.
func (e *Engine) releaseDeployed(which func(*deployed) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, d := range e.deployed {
		if !which(d) {
			continue
		}
		d.mu.Lock()
		for _, p := range d.pins {
			p.release()
		}
		d.pins = map[int]*pinned{}
		d.mu.Unlock()
		delete(e.deployed, key)
	}
}

// idleDeployed lists the deployed apps that do not run, as Apps shows them.
func (e *Engine) idleDeployed() []api.App {
	records, err := e.deployments.Apps(context.Background()) // the names of environments as they are now
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			e.cfg.Log.Error("deployed apps cannot be listed", "error", err)
		}
		return nil
	}
	e.mu.Lock()
	byID := make(map[string]*deployed, len(e.deployed))
	for _, d := range e.deployed {
		byID[d.state().ID] = d
	}
	e.mu.Unlock()
	var list []api.App
	for _, r := range records {
		d := byID[r.ID]
		if d == nil {
			continue
		}
		d.mu.Lock()
		if d.app == nil {
			shown := api.App{ID: r.ID, Name: r.Name, Environment: r.Environment, State: "stopped", Created: r.Created, Version: r.Current, Tag: d.tag, Deployed: d.since}
			if d.failed != nil {
				shown.State, shown.Error = "failed", d.failed.Error()
			}
			list = append(list, shown)
		}
		d.mu.Unlock()
	}
	return list
}

// Deployment tells of a deployed app: its versions, and what was done with it.
func (e *Engine) Deployment(ctx context.Context, ref string) (api.Deployment, error) {
	d, err := e.deployment(ctx, ref)
	if err != nil {
		return api.Deployment{}, err
	}
	d.mu.Lock()
	r, running, failed := d.record, d.app != nil, d.failed
	d.mu.Unlock()
	out := api.Deployment{App: r.ID, Name: r.Name, Environment: r.Environment, State: "deployed", Current: r.Current, Versions: []api.AppVersion{}, History: []api.AppAction{}}
	switch {
	case failed != nil:
		out.State, out.Error = "failed", failed.Error()
	case !running:
		out.State = "stopped"
	}
	versions, err := e.deployments.Versions(ctx, r.Key)
	if err != nil {
		return out, err
	}
	for _, v := range versions {
		shown := api.AppVersion{Number: v.Number, Created: v.Created, Who: v.Who, Tag: v.Tag, Strategy: v.Strategy, Origin: v.Origin, Of: v.Of, Source: v.Source, SDK: v.SDK, Kept: v.Kept}
		if v.Number == r.Current && running {
			shown.State = "current"
		}
		out.Versions = append(out.Versions, shown)
	}
	history, err := e.deployments.History(ctx, r.Key)
	for _, a := range history {
		out.History = append(out.History, api.AppAction(a))
	}
	return out, err
}

// trimDeployed lets go of versions that have become too old.
func (e *Engine) trimDeployed(ctx context.Context) {
	e.mu.Lock()
	all := slices.Collect(maps.Values(e.deployed))
	e.mu.Unlock()
	for _, d := range all {
		if d.state().Key != 0 && d.doing.TryLock() { // else it is trimmed by who changes it
			d.trim(ctx)
			d.doing.Unlock()
		}
	}
}

// diff is what differs between two versions of an app; from 0 is before its
// first one. text decides whether files are compared line by line.
func (e *Engine) diff(ctx context.Context, app deployment.App, from, to int, text bool) (api.Diff, error) {
	out := api.Diff{From: from, To: to}
	if from == 0 {
		return out, nil
	}
	before, err := e.deployments.Contents(ctx, app.Key, from)
	if err != nil {
		return out, err
	}
	after, err := e.deployments.Contents(ctx, app.Key, to)
	if err != nil {
		return out, err
	}
	var compare func(path, before, after string) string
	if text {
		compare = e.textDiff
	}
	d := deployment.Compare(before, after, build.StepName, compare)
	d.From, d.To = from, to
	return d, nil
}

// textDiff compares two contents by their hashes.
func (e *Engine) textDiff(path, before, after string) string {
	var files [2]io.Reader
	for i, sum := range []string{before, after} {
		if sum == "" {
			continue
		}
		f, err := e.blobs.Open(sum)
		if err != nil {
			return "" // it is in the layers of source alone
		}
		defer func() { _ = f.Close() }()
		files[i] = f
	}
	return deployment.Text(path, files[0], files[1])
}

// Diff is what differs between two versions of a deployed app; to 0 is the
// current one.
func (e *Engine) Diff(ctx context.Context, ref string, from, to int) (api.Diff, error) {
	d, err := e.deployment(ctx, ref)
	if err != nil {
		return api.Diff{}, err
	}
	r := d.state()
	if to == 0 {
		to = r.Current
	}
	if from < 1 || to < 1 {
		return api.Diff{}, invalid("versions count from 1")
	}
	diff, err := e.diff(ctx, r, from, to, true)
	if err != nil {
		return diff, fmt.Errorf("app %s: %w", r.Name, err)
	}
	return diff, nil
}
