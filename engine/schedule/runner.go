package schedule

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

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

// Runner fires schedules. It is safe for concurrent use. Here is when it looks at
// the clock; what it does about ticks is in tick.go, and which schedules it has
// in registry.go.
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
