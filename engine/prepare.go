package engine

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/function"
)

// change is one pool on its way to another version.
type change struct {
	pool  *function.Function
	old   *function.Version
	next  *function.Version
	code  bool // nothing but the code of functions differs: it is exchanged in containers that go on
	ready *function.Change
	why   string // containers were replaced all the same
	err   error

	resume   func() // nil = the pool was not cleared
	unproven error  // why no container of it was tried
}

// prepare gets every pool ready for an edition, and those of functions that are
// new where they have to show that they come up. On an error none changes.
func (a *App) prepare(ctx context.Context, next *edition, r revision) (map[*definition][]*change, []*definition, error) {
	out := r.rollout
	changes := map[*definition][]*change{}
	var all []*change
	var added []*definition
	for _, declared := range next.functions {
		d := a.definition(declared.spec.Name)
		if d == nil {
			if out != nil {
				added = append(added, newDefinition(a, declared, a.made(declared.spec.Name)))
			}
			continue
		}
		list, err := d.changes(declared, r.restart)
		changes[d], all = list, append(all, list...)
		if err != nil {
			for _, c := range all {
				c.next.Pins.Release()
			}
			abandon(nil, added, err)
			return nil, nil, err
		}
	}
	var preparing sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range all {
		preparing.Go(func() {
			if c.err = c.prepare(ctx, out); c.err != nil {
				cancel() // the others are of no use
			}
		})
	}
	proofs := a.prove(ctx, added, &preparing, cancel)
	preparing.Wait()
	err := cause(append(all, proofs...), "; the version before goes on")
	if out != nil && err == nil {
		out.unproven = map[string]error{}
		for _, c := range append(all, proofs...) {
			if c.unproven != nil {
				out.unproven[c.pool.Name()] = c.unproven
			}
		}
	}
	if err == nil {
		return changes, added, nil
	}
	abandon(changes, added, err)
	resume(changes)
	return nil, nil, err
}

// resume has pools that were cleared start containers again.
func resume(changes map[*definition][]*change) {
	for _, list := range changes {
		for _, c := range list {
			if c.resume != nil {
				c.resume()
			}
		}
	}
}

// prepare gets one pool ready.
func (c *change) prepare(ctx context.Context, out *rollout) (err error) {
	if out == nil && c.code {
		c.ready, c.why, err = c.pool.Swap(ctx, c.next)
		return err
	}
	if out == nil {
		if c.turns() {
			c.ready = c.turn()
			return nil
		}
		c.ready, err = c.pool.Replace(ctx, c.next)
		return err
	}
	turns := c.turns()
	if out.recreate {
		if c.resume, err = c.pool.Clear(ctx); err != nil {
			c.next.Pins.Release()
			return err
		}
	}
	if turns {
		c.ready = c.turn()
		return nil
	}
	if c.pool.Params() != nil || c.pool.Options() != nil { // a variant comes up if its function does
		c.ready, err = c.pool.Replace(ctx, c.next)
		return err
	}
	c.ready, c.unproven, err = c.pool.ReplaceProven(ctx, c.next)
	return err
}

// turns reports whether the version need not come up with what the pool's
// containers are given. A class's parameters may have become others. And what
// brings up no container as it is may be anything, which a web request's query has:
// nobody is to keep versions off by asking for that.
func (c *change) turns() bool {
	params := c.pool.Params()
	if params == nil {
		return c.next.Spec.Parametrized
	}
	same := slices.EqualFunc(c.old.Spec.Parameters, c.next.Spec.Parameters, func(a, b app.Parameter) bool { return a.Name == b.Name && a.Type == b.Type })
	return !same || !c.pool.Ready()
}

// turn is Turn; without parameters that the version needs no container comes up.
func (c *change) turn() *function.Change {
	if c.pool.Params() == nil {
		c.next.Spec.Scaling.Min, c.next.Spec.Scaling.Buffer = 0, 0
	}
	return c.pool.Turn(c.next)
}

// prove has a container of each function come up, in goroutines that it adds to
// a group; an error is told by failed. What it returns is filled in when they
// have ended.
func (a *App) prove(ctx context.Context, added []*definition, group *sync.WaitGroup, failed func()) []*change {
	var proofs []*change
	for _, d := range added {
		for _, f := range d.list() {
			c := &change{pool: f}
			proofs = append(proofs, c)
			group.Go(func() {
				err := f.Prove(ctx)
				if errors.Is(err, function.ErrNoRoom) {
					c.unproven, err = err, nil
				}
				if c.err = err; err != nil {
					failed()
				}
			})
		}
	}
	return proofs
}

// made is how many pools functions of a name had.
func (a *App) made(name string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.former {
		if d.name == name {
			n = d.made
		}
	}
	return n
}

// abandon forgets a version: changes of pools that there are, and functions
// that were started for it.
func abandon(changes map[*definition][]*change, added []*definition, why error) {
	abort(changes)
	for _, d := range added {
		d.stop(why.Error(), true)
		for _, f := range d.list() {
			f.Wait()
		}
	}
}

// cause is why preparing has failed: rather what a container said than that
// others were not waited for. then is what becomes of the app.
func cause(changes []*change, then string) error {
	var first error
	for _, c := range changes {
		var start *function.StartError
		if errors.As(c.err, &start) {
			return refusal(start, then)
		}
		if first == nil || errors.Is(first, context.Canceled) {
			first = c.err
		}
	}
	return first
}

// refusal tells a user why a version does not start.
func refusal(e *function.StartError, then string) error {
	told := &api.Error{Code: "start_failed", Message: e.Error() + then}
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
