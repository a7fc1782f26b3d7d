package engine

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/schedule"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/wire"
)

// noArguments is the pickle of ((), {}), in protocol 2: what a scheduled function
// is called with.
var noArguments = []byte("\x80\x02)}\x86.")

// nextShown is how many times of a schedule are told.
const nextShown = 5

// openSchedules opens the schedules of deployed apps.
func (e *Engine) openSchedules(ctx context.Context) (err error) {
	e.schedules, err = schedule.Open(ctx, schedule.Config{
		DB: e.db, Clock: e.cfg.Clock, Environments: e.environments, Log: e.cfg.Log, NewID: call.NewID, Spawn: e.spawnTick,
		Alive: func(ctx context.Context, id string) (bool, error) {
			c, err := e.spawned.Find(ctx, id)
			if errors.Is(err, spawned.ErrUnknown) || errors.Is(err, spawned.ErrDropped) {
				return false, nil
			}
			return c.Finished.IsZero(), err
		},
	})
	return err
}

// tickEnded is told how a call that a tick has made has ended.
func tickEnded(tx *sql.Tx, e spawned.Ended) error {
	return schedule.Ended(tx, e.ID, e.At, e.Failure)
}

// setSchedules makes the schedules of a deployed app those of a version; nil =
// it is stopped. It may be called again, which changes nothing.
func (e *Engine) setSchedules(ctx context.Context, in, name string, m *app.Manifest) error {
	specs := map[string]app.Schedule{}
	if m != nil {
		for _, f := range m.Functions {
			if f.Schedule != nil {
				specs[f.Name] = *f.Schedule
			}
		}
	}
	return e.schedules.Set(ctx, in, name, specs)
}

// spawnTick spawns the call of a tick, which is claimed in the same transaction.
// The call waits for its app as one that an earlier host has left.
func (e *Engine) spawnTick(ctx context.Context, name schedule.Name, id string, claim func(*sql.Tx) error) error {
	d, err := e.deployment(ctx, name.Environment+"/"+name.App)
	if err != nil {
		return err
	}
	if d.state().Stopped {
		return fmt.Errorf("app %s is stopped", name.App)
	}
	l := &late{engine: e, waiting: []uint32{0}, meta: spawned.Meta{
		ID: id, Environment: name.Environment, App: name.App, Function: name.Function, Open: wire.OpenBody{Kind: call.KindSpawn}, Scheduled: true, Created: e.cfg.Clock.Now(),
	}}
	running := d.running()
	if running != nil {
		if f := running.definition(name.Function); f != nil {
			l.meta.Module = f.declared().spec.Module
		}
	}
	r, err := e.spawned.Spawn(ctx, l.meta, noArguments, claim)
	if err != nil {
		return err
	}
	l.record = record{r, e}
	l.call = e.registry.Restore(l, call.Restored{ID: id, Created: l.meta.Created, Inputs: 1, Record: l.record})
	e.park(l)
	// If it came between, it has taken the call along already.
	if running = d.running(); running != nil {
		e.resumeSpawned(running)
	}
	return nil
}

// running is the app itself; nil = it does not run.
func (d *deployed) running() *App {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.app
}

// Schedules tells of the schedules of an environment's deployed apps ("" = of
// all), or of one app, which may be one that a session runs.
func (e *Engine) Schedules(ctx context.Context, in, ref string) ([]api.Schedule, error) {
	list := []api.Schedule{}
	if ref == "" {
		infos, err := e.schedules.List(ctx, in, nextShown)
		for _, i := range infos {
			list = append(list, scheduleOf(i))
		}
		return list, err
	}
	name, a := e.scheduledApp(ctx, ref, "")
	if a != nil {
		return a.schedules(), nil
	}
	infos, err := e.schedules.List(ctx, name.Environment, nextShown)
	for _, i := range infos {
		if i.App == name.App {
			list = append(list, scheduleOf(i))
		}
	}
	return list, err
}

// schedules are those of an app that a session runs.
func (a *App) schedules() []api.Schedule {
	list := []api.Schedule{}
	a.mu.Lock()
	functions := slices.Clone(a.functions)
	a.mu.Unlock()
	for _, d := range functions {
		if spec := d.declared().spec.Schedule; spec != nil {
			if s, err := schedule.Parse(*spec); err == nil { // it was checked
				list = append(list, api.Schedule{Environment: a.environment, App: a.name, Function: d.name, When: s.String(), Next: nil, State: "by hand"})
			}
		}
	}
	slices.SortFunc(list, func(a, b api.Schedule) int { return cmp.Compare(a.Function, b.Function) })
	return list
}

// scheduledApp finds whose schedules a reference means: those of a deployed app,
// or of one that a session runs.
func (e *Engine) scheduledApp(ctx context.Context, ref, function string) (schedule.Name, *App) {
	in, name := environment.Split(ref)
	n := schedule.Name{Environment: in, App: name, Function: function}
	if d, err := e.deployment(ctx, ref); err == nil {
		state := d.state()
		n.Environment, n.App = state.Environment, state.Name
		return n, nil
	}
	if a, err := e.App(ref); err == nil {
		return n, a
	}
	return n, nil
}

// ScheduleRuns tells what became of the newest ticks of a schedule.
func (e *Engine) ScheduleRuns(ctx context.Context, ref, function string, most int) ([]api.ScheduleRun, error) {
	name, _ := e.scheduledApp(ctx, ref, function)
	runs, err := e.schedules.Runs(ctx, name, most)
	list := make([]api.ScheduleRun, 0, len(runs))
	for _, r := range runs {
		list = append(list, runOf(r))
	}
	return list, err
}

// RunSchedule calls a scheduled function now, of a deployed app or of one that a
// session runs, and returns the call's id.
func (e *Engine) RunSchedule(ctx context.Context, ref, function string) (string, error) {
	end, err := e.begin()
	if err != nil {
		return "", err
	}
	defer end()
	name, a := e.scheduledApp(ctx, ref, function)
	if a == nil {
		return e.schedules.Fire(ctx, name)
	}
	d := a.definition(function)
	if d == nil || d.declared().spec.Schedule == nil {
		return "", invalid("app %s has no function %q with a schedule", a.name, function)
	}
	target, err := d.resolve(wire.OpenBody{Kind: call.KindSpawn})
	if err != nil {
		return "", err
	}
	c := e.registry.Restore(target, call.Restored{ID: call.NewID("fc"), Created: e.cfg.Clock.Now(), Inputs: 1})
	target.Submit([]*call.Input{{Call: c, Body: noArguments}})
	return c.ID, nil
}

// PauseSchedule pauses a schedule, or has it go on.
func (e *Engine) PauseSchedule(ctx context.Context, ref, function string, paused bool) (api.Schedule, error) {
	name, a := e.scheduledApp(ctx, ref, function)
	if a != nil {
		return api.Schedule{}, invalid("app %s is not deployed: its schedules are fired by hand alone", a.name)
	}
	change := e.schedules.Resume
	if paused {
		change = e.schedules.Pause
	}
	if err := change(ctx, name); err != nil {
		return api.Schedule{}, err
	}
	i, err := e.schedules.Info(ctx, name, nextShown)
	return scheduleOf(i), err
}

func scheduleOf(i schedule.Info) api.Schedule {
	s := api.Schedule{
		Environment: i.Environment, App: i.App, Function: i.Function, When: i.When, Deployed: i.Active, Since: i.Since, Paused: i.Paused,
		Next: i.Next, Running: i.Running, Missed: i.Missed, State: "active",
	}
	switch {
	case !i.Active:
		s.State = "stopped"
	case !i.Paused.IsZero():
		s.State = "paused"
	}
	if i.Last != nil {
		last := runOf(*i.Last)
		s.Last = &last
	}
	return s
}

func runOf(r schedule.Run) api.ScheduleRun {
	run := api.ScheduleRun{Planned: r.Planned, Ticks: r.Ticks, Hand: r.Hand, Fired: r.Fired, Ended: r.Ended, Call: r.Call, Outcome: string(r.Outcome), Failure: r.Failure}
	if r.Ticks > 1 {
		run.Last = r.Last
	}
	return run
}
