package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/fault"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/metering"
)

// App is a running app.
type App struct {
	engine      *Engine
	id, name    string
	environment string // its name
	created     time.Time
	deployed    *deployed // nil = it ends with its session
	past        int       // the version of a deployed app that it is beside that one; 0 = it is not
	log         *logs.Log
	memory      memory
	faults      *fault.Plan // nil = none
	started     api.Started
	events      *events
	done        chan struct{}
	lettingGo   sync.Once
	updating    sync.Mutex // one update at a time

	mu        sync.Mutex
	edition   *edition      // that runs
	functions []*definition // of the edition
	former    []*definition // of earlier ones: what they were given is still being done
	proving   bool          // it is not to be found by its name yet
	stopping  bool
	reason    string
	clients   map[closer]struct{}
	stopped   api.Stopped
	labels    map[string]string // of web endpoints, by function or Class.method
}

// closer ends a client's connection.
type closer interface{ Close() error }

// StartApp starts an app whose images were built and whose files were uploaded.
func (e *Engine) StartApp(ctx context.Context, req api.SessionRequest) (_ *App, err error) {
	end, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if err := check(&req.Manifest, req.Images); err != nil {
		return nil, err
	}
	if _, err := e.environments.ID(ctx, req.Manifest.Environment); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err := e.checkSecrets(ctx, &req.Manifest); err != nil {
		return nil, err
	}
	images, err := e.images.all(req.Images)
	if err != nil {
		return nil, err
	}
	faults, err := fault.NewPlan(req.Faults, req.FaultSeed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return e.launch(ctx, &req.Manifest, images, launch{id: call.NewID("ap"), number: 1, created: e.cfg.Clock.Now(), resume: req.Resume, faults: faults})
}

// launch is who an app is that starts.
type launch struct {
	id       string
	number   int               // of the edition that it starts with
	ids      map[string]string // of functions that it had before, by name
	created  time.Time
	resume   bool
	deployed *deployed // nil = the app ends with its session
	faults   *fault.Plan
	proving  bool // it is not to be found by its name yet
	past     int  // the version of a deployed app, where it is not the current one; 0 = it is no such
}

// launch starts an app from a manifest that was checked. It takes the images
// over.
func (e *Engine) launch(ctx context.Context, m *app.Manifest, images []build.Image, l launch) (_ *App, err error) {
	a := &App{
		engine: e, id: l.id, name: m.Name, environment: cmp.Or(m.Environment, environment.Main), created: l.created, deployed: l.deployed, past: l.past, proving: l.proving,
		done: make(chan struct{}), clients: map[closer]struct{}{}, events: newEvents(),
	}
	a.started = api.Started{App: a.id, Functions: map[string]string{}}
	defer func() {
		if err != nil {
			e.gateway.Unregister(a.id)
			a.letGo()
		}
	}()
	a.memory.resume, a.faults = l.resume, l.faults
	if a.edition, err = e.newEdition(ctx, l.number, m, images); err != nil {
		return nil, err
	}
	begin := e.logs.Create
	if l.deployed != nil {
		begin = e.logs.Resume
	}
	if a.log, err = begin(logs.Info{ID: a.id, Name: a.title(), Environment: a.environment, Created: a.created}); err != nil {
		return nil, err
	}
	for i := range m.Functions {
		name := m.Functions[i].Name
		a.started.Functions[name] = cmp.Or(l.ids[name], call.NewID("fu"))
	}
	a.edition.ids = a.started.Functions
	if a.past == 0 {
		if err := a.expose(ctx, m); err != nil {
			return nil, err
		}
	}
	for _, declared := range a.edition.functions {
		a.functions = append(a.functions, newDefinition(a, declared, 0))
	}
	e.mu.Lock()
	closed := e.closed
	e.apps[a.id] = a
	for _, d := range a.functions {
		e.functions[d.id] = d
	}
	e.mu.Unlock()
	if closed { // Close has not seen the app
		return nil, errors.Join(ErrClosed, a.Stop(context.WithoutCancel(ctx), true))
	}
	return a, nil
}

// proved has a container of each function come up, and returns those for which
// there was no room.
func (a *App) proved(ctx context.Context) (unproven map[string]error, err error) {
	var proving sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	proofs := a.prove(ctx, a.definitions(), &proving, cancel)
	proving.Wait()
	unproven = map[string]error{}
	for _, p := range proofs {
		if p.unproven != nil {
			unproven[p.pool.Name()] = p.unproven
		}
	}
	return unproven, cause(proofs, "; nothing was deployed")
}

func (a *App) isProving() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.proving
}

// found says that the app may be found by its name.
func (a *App) found() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proving = false
}

// ids are those of the app's functions, by name.
func (a *App) ids() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.edition.ids
}

// webAddresses are those of the app's web endpoints.
func (a *App) webAddresses() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started.Web
}

// say puts gx's own words into the app's log.
func (a *App) say(function, text string) {
	if _, err := a.log.Append([]api.LogLine{{Function: function, Stream: logs.System, Text: text}}); err != nil {
		a.engine.cfg.Log.Error("the app's log cannot be written", "app", a.id, "error", err)
	}
}

// pools lists the app's functions, each variant by itself.
func (a *App) pools() []*function.Function {
	var list []*function.Function
	for _, d := range a.definitions() {
		list = append(list, d.list()...)
	}
	return list
}

// definitions lists the app's functions, and those that it had before.
func (a *App) definitions() []*definition {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.functions, a.former)
}

// bill is what the app used until now, by function and kind of card: a function
// that went and came back is one.
func (a *App) bill(now time.Time) []api.Usage {
	byName := map[string][]api.Usage{}
	var names []string
	for _, d := range a.definitions() {
		if _, ok := byName[d.name]; !ok {
			names = append(names, d.name)
		}
		sum := byName[d.name]
		for _, u := range d.usage(now) {
			sum = metering.Add(sum, u)
		}
		byName[d.name] = sum
	}
	usage := []api.Usage{}
	for _, name := range names {
		for _, u := range byName[name] {
			if u.Containers > 0 || u.Inputs > 0 {
				usage = append(usage, u)
			}
		}
	}
	return usage
}

// Usage is the bill until now.
func (a *App) Usage() []api.Usage { return a.bill(a.engine.cfg.Clock.Now()) }

// ID is the app's id.
func (a *App) ID() string { return a.id }

// Started tells the ids of the app and its functions as it was started, and the
// URLs of its web endpoints as they are.
func (a *App) Started() api.Started {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started
}

// Done is closed when the app has ended and nothing of it is left.
func (a *App) Done() <-chan struct{} { return a.done }

// Stopped is the app's bill, after Done.
func (a *App) Stopped() api.Stopped {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopped
}

func (a *App) describe() api.App {
	a.mu.Lock()
	state := "running"
	if a.stopping {
		state = "stopping"
	}
	d := api.App{ID: a.id, Name: a.title(), Environment: a.environment, State: state, Created: a.created}
	if a.deployed != nil {
		a.deployed.describe(&d)
	}
	if a.past > 0 {
		d.Version = a.past
	}
	for _, f := range a.functions {
		d.Functions = append(d.Functions, f.name)
	}
	a.mu.Unlock()
	for _, f := range a.pools() {
		d.Containers += len(f.Containers())
	}
	return d
}

// Stop ends the app: calls are cancelled, containers run their exit hooks
// within a grace period, or with now are killed. It waits until the app has
// ended. It may be called again, to kill.
func (a *App) Stop(ctx context.Context, now bool) error {
	a.stop("the app was stopped", now)
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for app %s to end: %w", a.id, ctx.Err())
	}
}

// stop begins to end the app.
func (a *App) stop(reason string, now bool) {
	a.mu.Lock()
	first := !a.stopping
	a.stopping = true
	if first {
		a.reason = reason
	}
	a.mu.Unlock()
	for _, f := range a.definitions() {
		f.stop(reason, now)
	}
	if first {
		// Close waits for done before it waits for tending.
		a.engine.tending.Go(a.finish)
	}
}

// finish sees a stopped app to its end.
func (a *App) finish() {
	// A client that does not read must not keep a container from ending.
	a.mu.Lock()
	for c := range a.clients {
		_ = c.Close()
	}
	a.mu.Unlock()
	for _, f := range a.pools() {
		f.Wait()
	}
	a.engine.gateway.Unregister(a.id)
	if err := a.engine.volumes.AppEnded(context.Background(), a.id); err != nil {
		a.engine.cfg.Log.Error("an app's ephemeral volumes are left", "app", a.id, "error", err)
	}
	now := a.engine.cfg.Clock.Now()
	usage, estimates := a.bill(now), a.estimates()
	a.mu.Lock()
	a.stopped = api.Stopped{Reason: a.reason, Took: now.Sub(a.created).Seconds(), Usage: usage, Estimates: estimates, Kept: a.memory.kept.Load(), Recalled: a.memory.recalled.Load()}
	a.mu.Unlock()
	a.letGo()
	a.engine.mu.Lock()
	delete(a.engine.apps, a.id)
	for _, d := range a.definitions() {
		delete(a.engine.functions, d.id)
	}
	a.engine.idle = now
	a.engine.mu.Unlock()
	if err := a.engine.bills.Close(context.Background(), a.account(usage)); err != nil {
		a.engine.cfg.Log.Error("an app's last bill is not written down", "app", a.id, "error", err)
	}
	close(a.done)
	a.events.wake()
	if err := a.engine.history.Keep(a.engine.host.Trace.OfApp(a.id), now); err != nil {
		a.engine.cfg.Log.Error("gx why will not know of the app once the host has ended", "app", a.id, "error", err)
	}
}

// letGo gives back what the app holds.
func (a *App) letGo() {
	a.lettingGo.Do(func() {
		if a.log != nil {
			a.engine.mu.Lock()
			returns := a.deployed != nil && a.engine.closed
			a.engine.mu.Unlock()
			if returns { // with the next host: its followers wait for that
				a.log.Suspend()
			} else {
				a.log.End()
			}
		}
		a.edition.release()
	})
}
