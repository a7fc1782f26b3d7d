package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/wire"
)

// Spawned calls of deployed apps outlive the host: package spawned has them.
// When a host starts, those that are not done are there at once, for who asks
// for their answers, but nobody is at them: they wait (a late target) until
// their app is there again, and go to its functions' queues then.

const (
	// spawnedKeep is how long answers of spawned calls are kept on disk.
	spawnedKeep = 7 * 24 * time.Hour
	// maxAttempt is the highest number that an attempt of a restored input gets.
	maxAttempt = 60_000
)

// record is a spawned call of a deployed app, as package call sees it.
type record struct {
	*spawned.Record
	engine *Engine
}

// Record implements call.Host.
func (e directory) Record(c *call.Call, open wire.OpenBody) call.Record {
	d, err := e.function(open.Function)
	if err != nil || d == nil || d.app.deployed == nil {
		return nil
	}
	c.ID = call.NewID("fc")
	return record{e.spawned.New(d.meta(c.ID, open, c.Created)), e.Engine}
}

// meta is what is kept of a call of the function.
func (d *definition) meta(id string, open wire.OpenBody, created time.Time) spawned.Meta {
	open.Function, open.Code = "", ""
	return spawned.Meta{
		ID: id, Environment: d.app.environment, App: d.app.name, Function: d.name, Module: d.declared().spec.Module, Open: open, Created: created,
	}
}

// Came implements call.Record.
func (r record) Came(in *call.Input) error {
	p := spawned.Payload{Body: in.Body, Size: in.Size}
	if in.File != nil {
		p.File = in.File
	}
	err := r.Record.Came(in.Index, p)
	if errors.Is(err, spawned.ErrFull) {
		err = fmt.Errorf("%w. Wait until some are done, or give the host more disk (disk_budget)", err)
	}
	return err
}

// Complete implements call.Record.
func (r record) Complete(_ int64, then func(error)) { r.Record.Complete(then) }

// Answer implements call.Record.
func (r record) Answer(index uint32) (wire.Frame, error) {
	f, err := r.Record.Answer(index)
	if errors.Is(err, sql.ErrNoRows) {
		err = call.ErrUnanswered
	}
	return f, err
}

// Returned implements call.Record: what the end of the host has cut off is done
// by the next one.
func (r record) Returned(*call.Input) bool {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	return r.engine.closed
}

// past is a spawned call that has ended.
type past struct{ spawned.Call }

// archive finds spawned calls that have ended.
type archive struct{ e *Engine }

// Past implements call.Archive.
func (a archive) Past(id string) (call.Past, error) {
	c, err := a.e.spawned.Find(context.Background(), id)
	switch {
	case errors.Is(err, spawned.ErrUnknown):
		return nil, call.ErrUnknown
	case errors.Is(err, spawned.ErrDropped):
		return nil, call.ErrExpired
	}
	return past{c}, err
}

// Info implements call.Past.
func (p past) Info() call.CallInfo {
	m := p.Meta()
	return call.CallInfo{
		CallID: m.ID, Function: m.Function, Method: m.Open.Method, Inputs: p.Inputs, Answered: p.Done, Failed: p.Failed,
		Created: float64(m.Created.UnixMicro()) / 1e6, Done: !p.Finished.IsZero(),
	}
}

// Graph implements call.Past: the inputs; which calls they made is not kept.
func (p past) Graph() call.Graph {
	m := p.Meta()
	g := call.Graph{Inputs: []call.Node{}}
	kinds, err := p.Indexes(context.Background())
	if err != nil {
		return g
	}
	const most = 256
	if len(kinds) > most {
		g.More = int64(len(kinds) - most)
		kinds = kinds[:most]
	}
	name := m.Function
	if m.Open.Method != "" {
		name += "." + m.Open.Method
	}
	for i, kind := range kinds {
		status := call.Failure
		if kind == int(wire.Result) {
			status = call.Success
		}
		g.Inputs = append(g.Inputs, call.Node{
			InputID: fmt.Sprintf("in-%s-%d", strings.TrimPrefix(m.ID, "fc-"), i), CallID: m.ID, Status: status, Function: name, Module: m.Module, Children: []call.Node{},
		})
	}
	return g
}

// late is the target of a call whose function is not there yet. It holds the
// inputs back, and when the function is there passes everything on to it.
type late struct {
	engine *Engine
	meta   spawned.Meta
	record record
	hosts  int // that have ended while the call was not done

	call    *call.Call
	arrived atomic.Pointer[call.Target] // nil = it is not there

	mu      sync.Mutex // held while inputs go to the target, so that each is cancelled here or there
	waiting []uint32   // indexes of inputs
}

// target is the function; nil = it is not there.
func (l *late) target() call.Target {
	if t := l.arrived.Load(); t != nil {
		return *t
	}
	return nil
}

// Name implements call.Target.
func (l *late) Name() string { return l.meta.Function }

// Module implements call.Target.
func (l *late) Module() string { return l.meta.Module }

// Release implements call.Target.
func (l *late) Release() {
	if target := l.target(); target != nil {
		target.Release()
	}
}

// Submit implements call.Target. Nothing is submitted but what arrive gives.
func (l *late) Submit(inputs []*call.Input) { l.target().Submit(inputs) }

// Cancel implements call.Target.
func (l *late) Cancel(c *call.Call, index uint32, terminate bool) {
	l.mu.Lock()
	var left, gone []uint32
	for _, i := range l.waiting {
		if index == wire.AllInputs || i == index {
			gone = append(gone, i)
		} else {
			left = append(left, i)
		}
	}
	l.waiting = left
	l.mu.Unlock()
	l.fail(gone, wire.FailBody{Kind: wire.FailCancelled, Message: "the call was cancelled"})
	if target := l.target(); target != nil {
		target.Cancel(c, index, terminate)
	}
}

// fail answers inputs that no function gets.
func (l *late) fail(indexes []uint32, body wire.FailBody) {
	answers := make([]call.Answer, 0, len(indexes))
	for _, i := range indexes {
		answers = append(answers, call.Fail(&call.Input{Call: l.call, Index: i, Done: true}, body))
	}
	call.DeliverNow(answers)
}

// giveUp answers all that waits.
func (l *late) giveUp(kind, message string) {
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	l.fail(waiting, wire.FailBody{Kind: kind, Message: message})
}

// arrive gives the inputs to their function. It ends early if the host does.
func (l *late) arrive(target call.Target) {
	l.arrived.Store(&target)
	for l.give(target) {
		select {
		case <-l.engine.closing:
			return
		default:
		}
	}
}

// give gives some inputs to the function; false = there are no more.
func (l *late) give(target call.Target) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), 64)
	next := l.waiting[:n]
	l.waiting = l.waiting[n:]
	inputs := make([]*call.Input, 0, n)
	for _, i := range next {
		f, err := l.record.Input(i)
		if err != nil {
			l.engine.cfg.Log.Error("an input of a spawned call is lost", "call", l.meta.ID, "input", i, "error", err)
			l.fail([]uint32{i}, wire.FailBody{Kind: wire.FailInternal, Message: err.Error()})
			continue
		}
		inputs = append(inputs, &call.Input{Call: l.call, Index: i, Body: f.Body, File: f.File, Size: f.FileSize, Attempt: uint16(min(l.hosts, maxAttempt))})
	}
	if len(inputs) > 0 {
		target.Submit(inputs)
	}
	return n > 0
}

// appKey names an app for those that wait for it.
func appKey(environment, name string) string { return environment + "/" + name }

// openSpawned opens the ledger of spawned calls.
func (e *Engine) openSpawned(ctx context.Context) (err error) {
	e.spawned, err = spawned.Open(ctx, spawned.Config{
		DB: e.db, Dir: filepath.Join(e.cfg.Dir, "spawned"), Clock: e.cfg.Clock, Budget: min(8<<30, e.cfg.Budget/8), Keep: spawnedKeep, Log: e.cfg.Log, Ended: tickEnded, Vault: e.secrets.Vault,
	})
	return err
}

// restoreSpawned has the calls that an earlier host has not done wait for their
// apps.
func (e *Engine) restoreSpawned(ctx context.Context) error {
	calls, err := e.spawned.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, c := range calls {
		if err := e.restoreCall(ctx, c); err != nil {
			return err
		}
	}
	if len(calls) > 0 {
		e.cfg.Log.Info("spawned calls of an earlier host wait for their apps", "calls", len(calls))
	}
	return nil
}

// restoreCall has one call wait for its app.
func (e *Engine) restoreCall(ctx context.Context, c spawned.Call) error {
	kinds, err := c.Indexes(ctx)
	if err != nil {
		return err
	}
	m := c.Meta()
	l := &late{engine: e, meta: m, record: record{c.Record, e}, hosts: c.Hosts}
	from := call.Restored{ID: m.ID, Method: m.Open.Method, Created: m.Created, Inputs: c.Inputs, Failed: c.Failed, Record: l.record}
	for i, kind := range kinds {
		if kind == 0 {
			l.waiting = append(l.waiting, uint32(i))
		} else {
			from.Answered = append(from.Answered, uint32(i))
		}
	}
	l.call = e.registry.Restore(l, from)
	e.park(l)
	return nil
}

// park has a call wait for its app.
func (e *Engine) park(l *late) {
	key := appKey(l.meta.Environment, l.meta.App)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parked[key] = append(e.parked[key], l)
}

// resumeSpawned gives a deployed app, which has been restored, the spawned calls
// that wait for it.
func (e *Engine) resumeSpawned(a *App) {
	key := appKey(a.environment, a.name)
	e.mu.Lock()
	waiting := e.parked[key]
	delete(e.parked, key)
	if len(waiting) > 0 && !e.closed {
		e.tending.Go(func() {
			for _, l := range waiting {
				l.find(a)
			}
		})
	}
	e.mu.Unlock()
}

// find finds the call's function in an app.
func (l *late) find(a *App) {
	d := a.definition(l.meta.Function)
	if d == nil {
		l.giveUp(wire.FailNotFound, fmt.Sprintf("app %s has no function %s any more", a.name, l.meta.Function))
		return
	}
	target, err := d.resolve(l.meta.Open)
	if err != nil {
		if !l.record.Returned(nil) { // else it waits for the next host
			l.giveUp(wire.FailRefused, err.Error())
		}
		return
	}
	l.arrive(target)
}

// giveUpSpawned answers the calls that wait for apps which will not come:
// deployed says which ones will.
func (e *Engine) giveUpSpawned(deployed func(environment, app string) bool) {
	var gone []*late
	e.mu.Lock()
	for key, list := range e.parked {
		if m := list[0].meta; !deployed(m.Environment, m.App) {
			gone = append(gone, list...)
			delete(e.parked, key)
		}
	}
	e.mu.Unlock()
	for _, l := range gone {
		l.giveUp(wire.FailCancelled, fmt.Sprintf("app %s is not deployed any more", l.meta.App))
	}
}
