package host

import (
	"context"

	"github.com/gx-dev/gx/api"
)

func (b *backend) Schedules(ctx context.Context, environment, app string) ([]api.Schedule, error) {
	list, err := b.h.engine.Schedules(ctx, environment, app)
	return list, known(err)
}

func (b *backend) ScheduleRuns(ctx context.Context, app, function string, n int) ([]api.ScheduleRun, error) {
	list, err := b.h.engine.ScheduleRuns(ctx, app, function, n)
	return list, known(err)
}

func (b *backend) RunSchedule(ctx context.Context, app, function string) (string, error) {
	call, err := b.h.engine.RunSchedule(ctx, app, function)
	return call, known(err)
}

func (b *backend) PauseSchedule(ctx context.Context, app, function string, paused bool) (api.Schedule, error) {
	s, err := b.h.engine.PauseSchedule(ctx, app, function, paused)
	return s, known(err)
}
