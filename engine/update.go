package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/function"
)

// Update exchanges what the app runs by a newer manifest of it, whose images
// were built and whose files were uploaded, and returns when new calls get the
// new code. What differs decides how: code is exchanged in containers that go
// on; for anything else other containers are started, which take over when they
// are ready. Either all functions change or, on an error, none: the app goes on
// as it was.
func (a *App) Update(ctx context.Context, req api.UpdateRequest) (api.Updated, error) {
	end, err := a.engine.begin()
	if err != nil {
		return api.Updated{}, err
	}
	defer end()
	if a.deployed != nil || a.past > 0 { // what runs would not be a version of it
		return api.Updated{}, invalid("app %s is deployed: gx deploy makes another version of it", a.name)
	}
	if err := check(&req.Manifest, req.Images); err != nil {
		return api.Updated{}, err
	}
	if err := a.engine.gateway.Check(a.endpoints(&req.Manifest)); err != nil { // before anything is started for it
		return api.Updated{}, invalid("%v", err)
	}
	if err := a.engine.checkSecrets(ctx, &req.Manifest); err != nil {
		return api.Updated{}, err
	}
	images, err := a.engine.images.all(req.Images)
	if err != nil {
		return api.Updated{}, err
	}
	return a.revise(ctx, revision{manifest: &req.Manifest, images: images, restart: req.Restart})
}

// revision is what an app is to go on with.
type revision struct {
	manifest *app.Manifest // that was checked
	images   []build.Image // pins, which are taken over
	restart  bool          // containers are replaced even where nothing differs
	rollout  *rollout      // of a deployed app; nil = of another
}

// rollout is how a deployed app goes on to another version: functions whose
// containers are exchanged show before that those of the version come up.
type rollout struct {
	recreate bool // the old ones end before there are new ones
	// confirm is asked when everything is ready, before anybody notices; an error
	// leaves the app as it was.
	confirm func(next *edition) error
	// unproven are functions that could not be tried, and why.
	unproven map[string]error
}

// revise is Update for manifests from anywhere.
func (a *App) revise(ctx context.Context, r revision) (api.Updated, error) {
	a.updating.Lock()
	defer a.updating.Unlock()
	began := a.engine.cfg.Clock.Now()
	before, ids, err := a.running()
	if err != nil {
		release(r.images)
		return api.Updated{}, err
	}
	next, err := a.engine.newEdition(ctx, before.number+1, r.manifest, r.images)
	if err != nil {
		return api.Updated{}, err
	}
	next.ids = map[string]string{}
	for _, d := range next.functions {
		id := ids[d.spec.Name]
		if id == "" {
			id = call.NewID("fu")
		}
		next.ids[d.spec.Name] = id
	}
	kind := difference(before, next)
	if kind == api.UpdateNone && !r.restart && r.rollout == nil {
		next.release()
		return api.Updated{Version: before.number, Kind: kind, Functions: before.ids, Web: a.Started().Web}, nil
	}
	changes, added, err := a.prepare(ctx, next, r)
	if err != nil {
		next.release()
		return api.Updated{}, err
	}
	defer resume(changes)
	if err := a.confirm(ctx, before, next, r.rollout); err != nil {
		abandon(changes, added, err)
		next.release()
		return api.Updated{}, err
	}
	kind, why := done(kind, r.restart, changes)
	switch err := a.commit(next, changes, added); {
	case err == nil:
		before.release()
	case r.rollout != nil: // the host is ending; the next one has the version, which was confirmed
		next.release()
	default:
		next.release()
		return api.Updated{}, err
	}
	took := a.engine.cfg.Clock.Now().Sub(began)
	return api.Updated{Version: next.number, Kind: kind, Why: why, Took: took.Seconds(), Functions: next.ids, Web: a.Started().Web}, nil
}

// running is the edition that runs, and the ids of all functions that the app
// has ever had: one that comes back is found under the same.
func (a *App) running() (*edition, map[string]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return nil, nil, fmt.Errorf("%w: app %s is ending, it cannot be updated", ErrInvalid, a.id)
	}
	ids := map[string]string{}
	for _, d := range a.former {
		ids[d.name] = d.id
	}
	for _, d := range a.functions {
		ids[d.name] = d.id
	}
	return a.edition, ids, nil
}

// confirm makes the web endpoints those of the next edition, and has whoever
// keeps deployments confirm it. On an error the app is as it was before.
func (a *App) confirm(ctx context.Context, before, next *edition, out *rollout) error {
	if err := a.expose(ctx, next.manifest); err != nil || out == nil {
		return err
	}
	err := out.confirm(next)
	if err != nil {
		err = errors.Join(err, a.expose(context.WithoutCancel(ctx), before.manifest))
	}
	return err
}

// done is the kind of an update as it was prepared, and why it is more than what
// differs asks for.
func done(kind string, restart bool, changes map[*definition][]*change) (_, why string) {
	if restart && ranks[kind] < ranks[api.UpdateContainers] {
		kind = api.UpdateContainers
	}
	for _, list := range changes {
		for _, c := range list {
			if c.why != "" && ranks[kind] < ranks[api.UpdateContainers] {
				kind, why = api.UpdateContainers, c.why
			}
		}
	}
	return kind, why
}

// commit makes the edition the one that runs.
func (a *App) commit(next *edition, changes map[*definition][]*change, ready []*definition) error {
	e := a.engine
	a.mu.Lock()
	if a.stopping {
		a.mu.Unlock()
		abandon(changes, ready, errors.New("its app is ending"))
		return fmt.Errorf("%w: app %s is ending, it cannot be updated", ErrInvalid, a.id)
	}
	made := map[string]int{}
	for _, d := range a.former {
		made[d.name] = d.made
	}
	known := map[string]*definition{}
	for _, d := range a.functions {
		known[d.name] = d
	}
	a.functions = nil
	var added []*definition
	for _, declared := range next.functions {
		d := known[declared.spec.Name]
		delete(known, declared.spec.Name)
		if d == nil {
			if i := slices.IndexFunc(ready, func(r *definition) bool { return r.name == declared.spec.Name }); i >= 0 {
				d = ready[i]
			} else {
				d = newDefinition(a, declared, made[declared.spec.Name])
			}
			added = append(added, d)
		}
		a.functions = append(a.functions, d)
	}
	a.edition = next
	for _, d := range known {
		a.former = append(a.former, d)
	}
	a.mu.Unlock()

	for d, list := range changes {
		d.adopt(next, list)
	}
	e.mu.Lock()
	for _, d := range added {
		e.functions[d.id] = d
	}
	e.mu.Unlock()
	for _, d := range known {
		d.wither(fmt.Sprintf("version %d of the app does not have it any more", next.number))
	}
	return nil
}

// definition finds a function of the edition that runs; nil = it has none of
// this name.
func (a *App) definition(name string) *definition {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.functions {
		if d.name == name {
			return d
		}
	}
	return nil
}

// changes is what an update does to the function's pools; it is the caller's to
// release the versions, whatever is returned.
func (d *definition) changes(next *declared, restart bool) (list []*change, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.same(next) && !restart {
		return nil, nil
	}
	code := !restart && ranks[d.now.kind(next)] <= ranks[api.UpdateCode]
	for _, f := range d.pools {
		spec, err := d.variant(next, f.Params(), f.Options())
		if err != nil {
			return list, err
		}
		old := f.Version()
		list = append(list, &change{pool: f, old: old, next: next.version(d.app.engine, spec, old), code: code})
	}
	return list, nil
}

// adopt makes a declaration the function's, once its pools are ready.
func (d *definition) adopt(next *edition, list []*change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, declared := range next.functions {
		if declared.spec.Name == d.name {
			d.now = declared
		}
	}
	prepared := map[*function.Function]bool{}
	for _, c := range list {
		prepared[c.pool] = true
	}
	if len(list) > 0 {
		for _, f := range d.pools { // of variants that were first called meanwhile
			if prepared[f] {
				continue
			}
			if spec, err := d.variant(d.now, f.Params(), f.Options()); err == nil {
				old := f.Version()
				v := d.now.version(d.app.engine, spec, old)
				list = append(list, &change{pool: f, old: old, next: v, ready: f.Turn(v)})
			}
		}
	}
	for _, c := range list {
		d.meters[c.pool] = append(d.meters[c.pool], c.next.NewMeters(c.old)...)
		c.ready.Commit()
	}
}

// wither takes no more calls; what was asked for is still done.
func (d *definition) wither(reason string) {
	d.mu.Lock()
	d.closed = reason
	d.mu.Unlock()
	for _, f := range d.list() {
		f.Wither()
	}
}
