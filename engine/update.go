package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gx-dev/gx/api"
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
	a.updating.Lock()
	defer a.updating.Unlock()
	began := a.engine.cfg.Clock.Now()
	if err := check(&req.Manifest, req.Images); err != nil {
		return api.Updated{}, err
	}
	before, ids, err := a.running()
	if err != nil {
		return api.Updated{}, err
	}
	next, err := a.engine.newEdition(ctx, before.number+1, &req.Manifest, req.Images)
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
	if kind == api.UpdateNone && !req.Restart {
		next.release()
		return api.Updated{Version: before.number, Kind: kind, Functions: before.ids, Web: a.Started().Web}, nil
	}
	changes, err := a.prepare(ctx, next, req.Restart)
	if err != nil {
		next.release()
		return api.Updated{}, err
	}
	if err := a.expose(ctx, &req.Manifest); err != nil { // it is as it was before
		abort(changes)
		next.release()
		return api.Updated{}, err
	}
	kind, why := done(kind, req.Restart, changes)
	if err := a.commit(next, changes); err != nil {
		next.release()
		return api.Updated{}, err
	}
	before.release()
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

// change is one pool on its way to another version.
type change struct {
	pool  *function.Function
	old   *function.Version
	next  *function.Version
	code  bool // nothing but the code of functions differs: it is exchanged in containers that go on
	ready *function.Change
	why   string // containers were replaced all the same
	err   error
}

// prepare gets every pool ready for an edition. On an error none changes.
func (a *App) prepare(ctx context.Context, next *edition, restart bool) (map[*definition][]*change, error) {
	changes := map[*definition][]*change{}
	var all []*change
	for _, declared := range next.functions {
		d := a.definition(declared.spec.Name)
		if d == nil {
			continue // it is new
		}
		list, err := d.changes(declared, restart)
		changes[d], all = list, append(all, list...)
		if err != nil {
			for _, c := range all {
				c.next.Pins.Release()
			}
			return nil, err
		}
	}
	var preparing sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range all {
		preparing.Go(func() {
			if c.code {
				c.ready, c.why, c.err = c.pool.Swap(ctx, c.next)
			} else {
				c.ready, c.err = c.pool.Replace(ctx, c.next)
			}
			if c.err != nil {
				cancel() // the others are of no use
			}
		})
	}
	preparing.Wait()
	err := cause(all)
	if err == nil {
		return changes, nil
	}
	abort(changes)
	return nil, err
}

// cause is why preparing has failed: rather what a container said than that
// others were not waited for.
func cause(changes []*change) error {
	var first error
	for _, c := range changes {
		var start *function.StartError
		if errors.As(c.err, &start) {
			return refusal(start)
		}
		if first == nil || errors.Is(first, context.Canceled) {
			first = c.err
		}
	}
	return first
}

// refusal tells a user why a version does not start.
func refusal(e *function.StartError) error {
	told := &api.Error{Code: "start_failed", Message: e.Error() + "; the version before goes on"}
	if e.Raised != nil {
		told.Raised = &api.Raised{Function: e.Function, Type: e.Raised.Type, Message: e.Raised.Message, Traceback: e.Raised.Traceback, File: e.Raised.File, Line: e.Raised.Line}
	}
	return told
}

func abort(changes map[*definition][]*change) {
	for _, list := range changes {
		for _, c := range list {
			if c.ready != nil {
				c.ready.Abort()
			}
		}
	}
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
func (a *App) commit(next *edition, changes map[*definition][]*change) error {
	e := a.engine
	a.mu.Lock()
	if a.stopping {
		a.mu.Unlock()
		abort(changes)
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
			d = newDefinition(a, declared, made[declared.spec.Name])
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
		spec, err := next.variant(f.Params(), f.Options())
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
			if spec, err := d.now.variant(f.Params(), f.Options()); err == nil {
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
