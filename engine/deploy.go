package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/source"
)

// proposal is a version that does not exist yet.
type proposal struct {
	manifest *app.Manifest
	images   []build.Image // pins, which are taken over
	fresh    bool          // all containers are replaced
	version  deployment.Version
	began    time.Time
}

// Deploy makes a manifest, whose images were built and whose files were
// uploaded, the current version of a deployed app. When it returns, new calls
// get it, and so it stays whatever happens to the host. On an error the app goes
// on as it was.
func (e *Engine) Deploy(ctx context.Context, req api.DeployRequest) (api.Deployed, error) {
	end, err := e.begin()
	if err != nil {
		return api.Deployed{}, err
	}
	defer end()
	if err := check(&req.Manifest, req.Images); err != nil {
		return api.Deployed{}, err
	}
	if err := e.checkSecrets(ctx, &req.Manifest); err != nil {
		return api.Deployed{}, err
	}
	images, err := e.images.all(req.Images)
	if err != nil {
		return api.Deployed{}, err
	}
	return e.propose(ctx, proposal{manifest: &req.Manifest, images: images, version: deployment.Version{
		Origin: "deploy", Tag: req.Tag, Strategy: req.Strategy, Who: req.Who,
	}})
}

// DeployServed makes what a running app is now a version of a deployed one: the
// very images and files.
func (e *Engine) DeployServed(ctx context.Context, ref string, req api.DeployServedRequest) (api.Deployed, error) {
	end, err := e.begin()
	if err != nil {
		return api.Deployed{}, err
	}
	defer end()
	a, err := e.App(ref)
	if err != nil {
		return api.Deployed{}, err
	}
	if a.deployed != nil || a.past > 0 {
		return api.Deployed{}, invalid("app %s is deployed already: `gx app rollover` makes a new version of what it is", a.name)
	}
	manifest, images := a.contents()
	manifest.Name = cmp.Or(req.Name, manifest.Name)
	return e.propose(ctx, proposal{manifest: &manifest, images: images, version: deployment.Version{
		Origin: "serve", Tag: req.Tag, Strategy: req.Strategy, Who: req.Who,
	}})
}

// contents is what the app is made of now, with pins of its images.
func (a *App) contents() (app.Manifest, []build.Image) {
	a.mu.Lock()
	defer a.mu.Unlock()
	images := make([]build.Image, len(a.edition.images))
	for i, image := range a.edition.images {
		images[i] = image.Retain()
	}
	return *a.edition.manifest, images
}

// Rollback makes a version that is as an earlier one, of what was kept of it.
func (e *Engine) Rollback(ctx context.Context, ref string, req api.RollbackRequest) (api.Deployed, error) {
	return e.repeat(ctx, ref, func(ctx context.Context, d *deployed) (int, error) {
		if req.Version < 0 {
			return 0, invalid("there is no version %d", req.Version)
		}
		if req.Version > 0 {
			return req.Version, nil
		}
		return d.previous(ctx)
	}, deployment.Version{Origin: "rollback", Strategy: req.Strategy, Who: req.Who})
}

// Rollover makes a version that is as the current one, with other containers.
func (e *Engine) Rollover(ctx context.Context, ref string, req api.RolloverRequest) (api.Deployed, error) {
	return e.repeat(ctx, ref, func(_ context.Context, d *deployed) (int, error) {
		return d.state().Current, nil
	}, deployment.Version{Origin: "rollover", Strategy: req.Strategy, Who: req.Who})
}

// repeat makes a version of an earlier one.
func (e *Engine) repeat(ctx context.Context, ref string, which func(context.Context, *deployed) (int, error), v deployment.Version) (api.Deployed, error) {
	end, err := e.begin()
	if err != nil {
		return api.Deployed{}, err
	}
	defer end()
	d, err := e.deployment(ctx, ref)
	if err != nil {
		return api.Deployed{}, err
	}
	d.doing.Lock()
	defer d.doing.Unlock()
	if d.state().Key == 0 { // it was deleted meanwhile
		return api.Deployed{}, fmt.Errorf("no app %q is deployed: %w", d.state().Name, ErrNotFound)
	}
	if v.Of, err = which(ctx, d); err != nil {
		return api.Deployed{}, err
	}
	contents, err := e.deployments.Contents(ctx, d.state().Key, v.Of)
	if err != nil {
		return api.Deployed{}, fmt.Errorf("app %s: %w", d.state().Name, err)
	}
	images, err := e.open(ctx, contents.Images)
	switch {
	case errors.Is(err, build.ErrGone):
		return api.Deployed{}, invalid("version %d of app %s cannot run again, as an image of it was removed; `gx deploy` builds it anew", v.Of, d.state().Name)
	case err != nil:
		return api.Deployed{}, fmt.Errorf("version %d of app %s: %w", v.Of, d.state().Name, err)
	}
	contents.Manifest.Environment = d.state().Environment
	return d.deploy(ctx, proposal{manifest: &contents.Manifest, images: images, fresh: v.Origin == "rollover", version: v})
}

// previous is the newest version before the current one that differs from it,
// and is kept.
func (d *deployed) previous(ctx context.Context) (int, error) {
	now := d.state()
	versions, err := d.engine.deployments.Versions(ctx, now.Key)
	if err != nil {
		return 0, err
	}
	root := map[int]int{} // what a version repeats in the end
	for _, v := range slices.Backward(versions) {
		root[v.Number] = v.Number
		if of, ok := root[v.Of]; ok {
			root[v.Number] = of
		}
	}
	current := root[now.Current]
	for _, v := range versions {
		if v.Number < current && root[v.Number] != current && v.Kept {
			return v.Number, nil
		}
	}
	return 0, invalid("app %s has no earlier version that is kept", now.Name)
}

// open pins images that were made earlier.
func (e *Engine) open(ctx context.Context, kept []build.Kept) ([]build.Image, error) {
	var images []build.Image
	for _, k := range kept {
		image, err := e.cfg.Images.Open(ctx, k)
		if err != nil {
			release(images)
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

// propose has the deployed app of the manifest's name go on to a version.
func (e *Engine) propose(ctx context.Context, p proposal) (api.Deployed, error) {
	d, err := e.deploymentOf(ctx, p.manifest)
	if err != nil {
		release(p.images)
		return api.Deployed{}, err
	}
	d.doing.Lock()
	defer d.doing.Unlock()
	if d.gone() {
		release(p.images)
		return api.Deployed{}, fmt.Errorf("app %q was deleted at this moment; deploy it again: %w", d.state().Name, ErrNotFound)
	}
	return d.deploy(ctx, p)
}

// deploymentOf finds or begins the deployed app of a manifest.
func (e *Engine) deploymentOf(ctx context.Context, m *app.Manifest) (*deployed, error) {
	if m.Name == "" {
		return nil, invalid("an app that is to be deployed needs a name: gx.App(\"name\"), or --name")
	}
	if err := app.CheckName("app", m.Name); err != nil {
		return nil, invalid("%v", err)
	}
	id, err := e.environments.ID(ctx, m.Environment)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := deploymentKey{id, m.Name}
	d := e.deployed[key]
	if d == nil {
		d = &deployed{engine: e, environment: id, pins: map[int]*pinned{}, record: deployment.App{
			ID: call.NewID("ap"), Name: m.Name, Functions: map[string]string{},
		}}
		e.deployed[key] = d
	}
	d.in(m.Environment)
	return d, nil
}

// deploy has the app go on to a version. doing is held.
func (d *deployed) deploy(ctx context.Context, p proposal) (_ api.Deployed, err error) {
	e := d.engine
	p.began = e.cfg.Clock.Now()
	ctx, end := d.deploying(ctx)
	defer end()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errHalted) {
			err = invalid("%v; nothing was deployed", errHalted)
		}
	}()
	switch p.version.Strategy = cmp.Or(p.version.Strategy, api.Rolling); {
	case p.version.Strategy != api.Rolling && p.version.Strategy != api.Recreate:
		err = invalid("strategy %.50q: it can be %s or %s", p.version.Strategy, api.Rolling, api.Recreate)
	default:
		if err = deployment.CheckTag(p.version.Tag); err != nil {
			err = invalid("%v", err)
		}
	}
	if err != nil {
		release(p.images)
		return api.Deployed{}, err
	}
	p.version.Source, p.version.SDK = deployment.SourceDigest(*p.manifest), p.manifest.SDK
	d.mu.Lock()
	running, before := d.app, d.record
	d.mu.Unlock()
	out := api.Deployed{App: before.ID, Name: before.Name, Environment: before.Environment, Kind: "start"}
	var unproven map[string]error
	var updated api.Updated
	if running != nil {
		out.Before = before.Current
		roll := &rollout{recreate: p.version.Strategy == api.Recreate}
		roll.confirm = func(next *edition) error { return d.confirm(ctx, running, next, p.version) }
		if updated, err = running.revise(ctx, revision{manifest: p.manifest, images: p.images, restart: p.fresh, rollout: roll}); err != nil {
			return api.Deployed{}, err
		}
		out.Kind, unproven = updated.Kind, roll.unproven
	} else if unproven, err = d.start(ctx, p); err != nil {
		return api.Deployed{}, err
	}
	d.trim(ctx)
	d.mu.Lock()
	running, now := d.app, d.record
	d.mu.Unlock()
	out.Version, out.Functions, out.Web = now.Current, updated.Functions, running.webAddresses()
	if out.Functions == nil {
		out.Functions = running.ids()
	}
	out.Changes, err = e.diff(ctx, now, out.Before, now.Current, false)
	if err != nil { // it is deployed all the same
		e.cfg.Log.Warn("what changed cannot be told", "app", now.Name, "error", err)
	}
	for _, name := range slices.Sorted(maps.Keys(unproven)) {
		out.Notes = append(out.Notes, fmt.Sprintf("%s was not tried: %v", name, unproven[name]))
	}
	out.Took = e.cfg.Clock.Now().Sub(p.began).Seconds()
	e.cfg.Log.Info("an app was deployed", "app", now.ID, "name", now.Name, "environment", now.Environment, "version", now.Current, "kind", out.Kind, "who", p.version.Who)
	return out, nil
}

// start starts the app with its first version, or after it was stopped, and
// confirms it once containers have come up.
func (d *deployed) start(ctx context.Context, p proposal) (unproven map[string]error, err error) {
	e := d.engine
	if err := d.ended(ctx); err != nil {
		release(p.images)
		return nil, err
	}
	record := d.state()
	a, err := e.launch(ctx, p.manifest, p.images, launch{id: record.ID, number: record.Current + 1, ids: record.Functions, created: e.cfg.Clock.Now(), deployed: d, proving: true})
	if err != nil {
		d.drop()
		return nil, err
	}
	unproven, err = a.proved(ctx)
	if err == nil {
		err = d.confirm(ctx, a, a.edition, p.version)
	}
	if err != nil {
		err = errors.Join(err, a.Stop(context.WithoutCancel(ctx), true))
		d.drop()
		return nil, err
	}
	a.found()
	e.resumeSpawned(a)
	d.pinAgain(context.WithoutCancel(ctx))
	return unproven, nil
}

// confirm records a version that is ready to run: from here on it is the one
// that comes back.
func (d *deployed) confirm(ctx context.Context, a *App, next *edition, v deployment.Version) error {
	e := d.engine
	before := d.state()
	record := before
	record.Functions = maps.Clone(record.Functions)
	if record.Functions == nil {
		record.Functions = map[string]string{}
	}
	maps.Copy(record.Functions, next.ids)
	pins := &pinned{}
	contents := deployment.Contents{Manifest: *next.manifest}
	for _, image := range next.images {
		pins.images = append(pins.images, image.Retain())
		contents.Images = append(contents.Images, image.Kept())
	}
	for _, f := range next.functions {
		names := f.tree.Names()
		if len(names) == 0 || slices.ContainsFunc(pins.trees, func(t source.Tree) bool { return slices.Equal(t.Names(), names) }) {
			continue
		}
		pins.trees = append(pins.trees, f.tree.Retain())
		contents.Trees = append(contents.Trees, names...)
	}
	// Who has asked may be gone; what is ready is not thrown away for that.
	record, v, err := e.deployments.Add(context.WithoutCancel(ctx), d.environment, record, v, contents)
	if err != nil {
		pins.release()
		return err
	}
	d.mu.Lock()
	d.record, d.app, d.failed = record, a, nil
	d.tag, d.since = v.Tag, v.Created
	d.pins[v.Number] = pins
	d.mu.Unlock()
	// If it fails, the next host mends it: see restore.
	if err := e.setSchedules(context.WithoutCancel(ctx), record.Environment, record.Name, next.manifest); err != nil {
		e.cfg.Log.Error("the schedules of a deployed app are not those of its version", "app", record.ID, "name", record.Name, "error", err)
	}
	return nil
}
