package schedule

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

const (
	// lookAgain is how often the runner looks at the clock at least: the machine
	// may have been suspended, or its clock set.
	lookAgain = 30 * time.Second
	// afterFailure is how long it waits when the database could not be written.
	afterFailure = time.Second
	// ahead is how much later than now ticks may be decided. More of them are of a
	// clock that was wrong, and set back since.
	ahead = time.Hour
	// tolerance is how late a tick may be fired; it is missed after that.
	tolerance = time.Minute
	// maxCounted is how many missed ticks are counted one by one.
	maxCounted = 1_000_000
)

// Environments finds an environment's id.
type Environments interface {
	ID(ctx context.Context, name string) (int64, error)
}

// Config is what a Runner is made of.
type Config struct {
	DB           *store.DB // with environments
	Clock        clock.Clock
	Environments Environments
	Log          *slog.Logger
	NewID        func(prefix string) string // of calls that are asked for
	// Spawn spawns a call of a function without arguments, by this id, and has
	// claim written in the transaction that keeps the call; its error is returned,
	// and then there is no call. It is the same if there is a call of this id.
	Spawn func(ctx context.Context, name Name, call string, claim func(*sql.Tx) error) error
	// Alive reports whether a spawned call is not done yet.
	Alive func(ctx context.Context, call string) (bool, error)
}

// item is one schedule.
type item struct {
	Schedule
	key         int64
	environment int64 // its id
	name        Name
	anchor      time.Time
	mark        time.Time // all ticks until then are decided
	active      bool
	paused      time.Time // zero = it is not

	next time.Time // the first tick after mark; zero = there is none
}

func (i *item) plan() {
	i.next = time.Time{}
	if !i.active || !i.paused.IsZero() {
		return
	}
	if next, ok := i.Next(i.anchor, i.mark); ok {
		i.next = next
	}
}

// Runner fires schedules. It is safe for concurrent use.
type Runner struct {
	cfg  Config
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex // held while ticks are fired: one after the other
	items   map[int64]*item
	soonest time.Time // of all; zero = there is none
	timer   clock.Timer
	started bool
	closed  bool
}

// Open opens the host's schedules. Nothing is fired before Start.
func Open(ctx context.Context, cfg Config) (*Runner, error) {
	if err := cfg.DB.Migrate(ctx, "schedules", schema); err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg}
	r.life, r.end = context.WithCancel(context.Background())
	var err error
	r.items, err = r.load(ctx)
	return r, err
}

// Start records what was missed until now, and fires what comes.
func (r *Runner) Start(ctx context.Context) error {
	if err := r.reconcile(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Now()
	if err := r.rewind(ctx, now); err != nil {
		return err
	}
	for _, i := range r.items {
		i.plan()
		for ticks, first, last := i.due(now); ticks > 0; ticks, first, last = i.due(now) {
			if err := r.miss(ctx, i, ticks, first, last, "the host was down"); err != nil {
				return err
			}
		}
	}
	r.started = true
	r.arm(now, 0)
	return nil
}

// Close ends the runner: when it returns, nothing is fired any more.
func (r *Runner) Close() {
	r.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// arm has the runner look again when the next tick is due, but not before least
// has passed. mu is held.
func (r *Runner) arm(now time.Time, least time.Duration) {
	if !r.started || r.closed {
		return
	}
	r.soonest = time.Time{}
	for _, i := range r.items {
		if !i.next.IsZero() && (r.soonest.IsZero() || i.next.Before(r.soonest)) {
			r.soonest = i.next
		}
	}
	r.wait(now, least)
}

// wait has the runner look again. mu is held.
func (r *Runner) wait(now time.Time, least time.Duration) {
	wait := min(lookAgain, max(r.soonest.Sub(now), least))
	switch {
	case r.soonest.IsZero() && r.timer != nil:
		r.timer.Stop()
	case !r.soonest.IsZero() && r.timer == nil:
		r.timer = r.cfg.Clock.AfterFunc(wait, r.look)
	case !r.soonest.IsZero():
		r.timer.Reset(wait)
	}
}

// look fires what is due. It is called by the clock, in the goroutine that a
// test turns it in, so that a turned clock has seen everything when it stops;
// Close waits for it.
func (r *Runner) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	now := r.cfg.Clock.Now()
	if err := r.rewind(r.life, now); err != nil && r.life.Err() == nil {
		r.cfg.Log.Error("after the clock was set back", "error", err)
	}
	if now.Before(r.soonest) {
		r.wait(now, 0)
		return
	}
	var least time.Duration
	if !r.decide(now, func(*item) bool { return true }) {
		least = afterFailure
	}
	r.arm(r.cfg.Clock.Now(), least)
}

// decide decides the ticks of some schedules that are due; false = not all could
// be recorded. mu is held.
func (r *Runner) decide(now time.Time, which func(*item) bool) (all bool) {
	var due []*item
	for _, i := range r.items {
		if which(i) && !i.next.IsZero() && !i.next.After(now) {
			due = append(due, i)
		}
	}
	slices.SortFunc(due, func(a, b *item) int { return cmp.Or(a.next.Compare(b.next), cmp.Compare(a.key, b.key)) })
	all = true
	for _, i := range due {
		if err := r.tick(r.life, i, now); err != nil && r.life.Err() == nil {
			r.cfg.Log.Error("a schedule's tick cannot be recorded", "app", i.name.App, "function", i.name.Function, "error", err)
			all = false
		}
	}
	return all
}

// rewind has schedules go on from now that were decided far ahead of it, by a
// clock that was wrong. What they have fired is recorded, and not fired again.
// mu is held.
func (r *Runner) rewind(ctx context.Context, now time.Time) error {
	for _, i := range r.items {
		if !i.mark.After(now.Add(ahead)) {
			continue
		}
		if err := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE schedules SET mark = ?1, anchor = min(anchor, ?1) WHERE key = ?2`, micro(now), i.key)
			return err
		}); err != nil {
			return fmt.Errorf("setting a schedule back: %w", err)
		}
		r.cfg.Log.Warn("a schedule goes on from now: the clock was set back", "app", i.name.App, "function", i.name.Function, "from", i.mark)
		if i.mark = now; i.anchor.After(now) {
			i.anchor = now
		}
		i.plan()
		if !i.next.IsZero() && (r.soonest.IsZero() || i.next.Before(r.soonest)) {
			r.soonest = i.next
		}
	}
	return nil
}

// due counts the ticks until now that are not decided.
func (i *item) due(now time.Time) (ticks int, first, last time.Time) {
	for t := i.next; !t.IsZero() && !t.After(now); ticks++ {
		if first.IsZero() {
			first = t
		}
		last = t
		next, ok := i.Next(i.anchor, t)
		if !ok || ticks == maxCounted {
			break
		}
		t = next
	}
	return ticks, first, last
}

// tick decides the ticks of a schedule that are due. mu is held.
func (r *Runner) tick(ctx context.Context, i *item, now time.Time) error {
	ticks, first, last := i.due(now)
	if now.Sub(last) > tolerance {
		return r.miss(ctx, i, ticks, first, last, "the machine was suspended, or its clock was set")
	}
	if ticks > 1 { // of those before last, the last
		before := first
		for t := first; t.Before(last); {
			before = t
			t, _ = i.Next(i.anchor, t)
		}
		if err := r.miss(ctx, i, ticks-1, first, before, "the host was too slow"); err != nil {
			return err
		}
	}
	return r.fire(ctx, i, last, now)
}

// miss records ticks that nobody fired.
func (r *Runner) miss(ctx context.Context, i *item, ticks int, first, last time.Time, why string) error {
	err := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		if err := advance(tx, i.key, last); err != nil {
			return err
		}
		err := insert(tx, i.key, Run{Planned: first, Last: last, Ticks: ticks, Outcome: Missed, Failure: why})
		if errors.Is(err, errFired) {
			err = nil
		}
		return err
	})
	if err != nil && !errors.Is(err, errDecided) {
		return fmt.Errorf("recording missed ticks: %w", err)
	}
	i.mark = last
	i.plan()
	r.cfg.Log.Warn("a schedule was not fired", "app", i.name.App, "function", i.name.Function, "ticks", ticks, "first", first, "last", last, "why", why)
	return nil
}

// fire claims a tick and spawns its call, both in one transaction.
func (r *Runner) fire(ctx context.Context, i *item, planned, now time.Time) error {
	run := Run{Planned: planned, Last: planned, Ticks: 1, Fired: now, Call: callOf(i.name, planned), Outcome: Running}
	err := r.cfg.Spawn(ctx, i.name, run.Call, func(tx *sql.Tx) error {
		if err := busy(tx, i.key); err != nil {
			return err
		}
		if err := advance(tx, i.key, planned); err != nil {
			return err
		}
		return insert(tx, i.key, run)
	})
	if err != nil && !errors.Is(err, errDecided) {
		if ctx.Err() != nil {
			return ctx.Err() // the next host finds that it was missed
		}
		run.Fired, run.Outcome, run.Failure = time.Time{}, Failed, short(err.Error())
		if errors.Is(err, errBusy) {
			run.Outcome, run.Failure = Skipped, errBusy.Error()
		}
		failed := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
			if err := advance(tx, i.key, planned); err != nil {
				return err
			}
			err := insert(tx, i.key, run)
			if errors.Is(err, errFired) {
				err = nil
			}
			return err
		})
		if failed != nil && !errors.Is(failed, errDecided) {
			return fmt.Errorf("recording a tick: %w", failed)
		}
	}
	i.mark = planned
	i.plan()
	return nil
}

// callOf is the id of the call that a tick is.
func callOf(name Name, planned time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "schedule\x00%s\x00%s\x00%s\x00%d", name.Environment, name.App, name.Function, micro(planned)))
	return "fc-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// Fire spawns a call of a scheduled function now, whatever its schedule says and
// whether it is paused, and returns the call's id.
func (r *Runner) Fire(ctx context.Context, name Name) (call string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := r.locate(name)
	if err != nil {
		return "", err
	}
	if !i.active {
		return "", ask.Refused("app %s is stopped, or has no schedule for %s any more: deploy it first", name.App, name.Function)
	}
	now := r.cfg.Clock.Now()
	run := Run{Planned: now, Last: now, Ticks: 1, Hand: true, Fired: now, Call: r.cfg.NewID("fc"), Outcome: Running}
	return run.Call, r.cfg.Spawn(ctx, name, run.Call, func(tx *sql.Tx) error { return insert(tx, i.key, run) })
}

// Set makes the schedules of a deployed app those of a version, by function.
// One that does not change is not shifted. Ticks that are due by now are those of
// the version before, whether or not they have been fired yet.
func (r *Runner) Set(ctx context.Context, environment, appName string, specs map[string]app.Schedule) error {
	id, err := r.cfg.Environments.ID(ctx, environment)
	if err != nil {
		return err
	}
	for function, spec := range specs {
		if _, err := Parse(spec); err != nil {
			return fmt.Errorf("the schedule of %s: %w", function, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Now()
	if r.started && !r.closed {
		r.decide(now, func(i *item) bool { return i.environment == id && i.name.App == appName })
	}
	err = r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		names, err := json.Marshal(slices.AppendSeq([]string{}, maps.Keys(specs)))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE schedules SET active = 0 WHERE environment = ? AND app = ? AND function NOT IN (SELECT value FROM json_each(?))`, id, appName, string(names)); err != nil {
			return err
		}
		for function, spec := range specs {
			text, err := json.Marshal(spec)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO schedules (environment, app, function, spec, anchor, mark, active) VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1)
				ON CONFLICT (environment, app, function) DO UPDATE SET spec = excluded.spec, anchor = excluded.anchor, mark = excluded.mark, active = 1
				WHERE NOT active OR spec != excluded.spec`, id, appName, function, string(text), micro(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording the schedules of app %s: %w", appName, err)
	}
	return r.reload(ctx)
}

// reload reads the schedules again. mu is held.
func (r *Runner) reload(ctx context.Context) error {
	items, err := r.load(ctx)
	if err != nil {
		return err
	}
	for _, i := range items {
		i.plan()
	}
	r.items = items
	r.arm(r.cfg.Clock.Now(), 0)
	return nil
}

// Forget forgets the schedules of an app, and what they did, with what also
// writes in the same transaction.
func (r *Runner) Forget(ctx context.Context, environment, appName string, also func(*sql.Tx) error) error {
	id, err := r.cfg.Environments.ID(ctx, environment)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec(`DELETE FROM schedules WHERE environment = ? AND app = ?`, id, appName); err != nil {
			return err
		}
		return also(tx)
	}); err != nil {
		return fmt.Errorf("forgetting the schedules of app %s: %w", appName, err)
	}
	// It is done, whoever has asked.
	return r.reload(context.WithoutCancel(ctx))
}

// EnvironmentsChanged takes notice of environments that were deleted, or have
// other names.
func (r *Runner) EnvironmentsChanged(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(ctx)
}

// Pause has no tick of a schedule fired until Resume.
func (r *Runner) Pause(ctx context.Context, name Name) error {
	now := micro(r.cfg.Clock.Now())
	return r.change(ctx, name, `UPDATE schedules SET paused = ? WHERE key = ? AND paused IS NULL`, now)
}

// Resume ends a pause: the next tick is fired that comes.
func (r *Runner) Resume(ctx context.Context, name Name) error {
	now := micro(r.cfg.Clock.Now())
	return r.change(ctx, name, `UPDATE schedules SET mark = max(mark, ?), paused = NULL WHERE key = ? AND paused IS NOT NULL`, now)
}

func (r *Runner) change(ctx context.Context, name Name, query string, value any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := r.locate(name)
	if err != nil {
		return err
	}
	if err := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(query, value, i.key)
		return err
	}); err != nil {
		return fmt.Errorf("changing the schedule of %s: %w", name.Function, err)
	}
	return r.reload(ctx)
}

// Has reports whether there is such a schedule.
func (r *Runner) Has(name Name) bool {
	_, err := r.find(name)
	return err == nil
}

func (r *Runner) find(name Name) (*item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locate(name)
}

// locate is find. mu is held.
func (r *Runner) locate(name Name) (*item, error) {
	var others []string
	for _, i := range r.items {
		if i.name == name {
			return i, nil
		}
		if i.name.App == name.App && i.name.Environment == name.Environment && i.active {
			others = append(others, i.name.Function)
		}
	}
	if len(others) == 0 {
		return nil, ask.NotFound("no deployed app %q has a schedule", name.App)
	}
	slices.Sort(others)
	return nil, ask.NotFound("function %q of app %q has no schedule; %s have one", name.Function, name.App, strings.Join(others, ", "))
}
