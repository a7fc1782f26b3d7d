package schedule

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
)

// Which schedules there are: those of deployed apps, as the database has them.

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
