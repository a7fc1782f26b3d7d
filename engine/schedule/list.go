package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Info is what is told of a schedule.
type Info struct {
	Name
	When    string // the schedule in words
	Since   time.Time
	Active  bool // its app is deployed and has it
	Paused  time.Time
	Next    []time.Time // none while it is paused
	Last    *Run
	Running int // runs that are not done
	Missed  int // ticks in the last seven days
}

// missedIn is how far back Info.Missed goes.
const missedIn = 7 * 24 * time.Hour

// List tells of the schedules of an environment ("" = all), by app and function:
// of each the next n times.
func (r *Runner) List(ctx context.Context, environment string, n int) ([]Info, error) {
	r.mu.Lock()
	var items []item
	for _, i := range r.items {
		if environment == "" || i.name.Environment == environment {
			items = append(items, *i)
		}
	}
	r.mu.Unlock()
	list := make([]Info, 0, len(items))
	for _, i := range items {
		info, err := r.info(ctx, i, n)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.App, b.App), cmp.Compare(a.Function, b.Function))
	})
	return list, nil
}

// Info tells of one schedule.
func (r *Runner) Info(ctx context.Context, name Name, n int) (Info, error) {
	i, err := r.find(name)
	if err != nil {
		return Info{}, err
	}
	return r.info(ctx, *i, n)
}

func (r *Runner) info(ctx context.Context, i item, n int) (Info, error) {
	now := r.cfg.Clock.Now()
	info := Info{Name: i.name, When: i.String(), Since: i.anchor, Active: i.active, Paused: i.paused}
	if i.active && i.paused.IsZero() {
		info.Next = NextN(i.Schedule, i.anchor, now, n)
	}
	err := r.cfg.DB.Read().QueryRowContext(ctx, `SELECT count(CASE WHEN outcome = 'running' THEN 1 END), coalesce(sum(CASE WHEN outcome = 'missed' AND last >= ? THEN ticks END), 0)
		FROM schedule_runs WHERE schedule = ?`, micro(now.Add(-missedIn)), i.key).Scan(&info.Running, &info.Missed)
	if err != nil {
		return info, fmt.Errorf("reading what a schedule has done: %w", err)
	}
	runs, err := r.runs(ctx, i.key, 1)
	if len(runs) > 0 {
		info.Last = &runs[0]
	}
	return info, err
}
