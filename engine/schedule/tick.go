package schedule

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/engine/ask"
)

// What is done about ticks: each is fired, skipped or missed, is recorded as
// that, and is decided once.

// tolerance is how late a tick may be fired; it is missed after that.
const tolerance = time.Minute

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
