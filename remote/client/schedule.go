package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gx-dev/gx/api"
)

// Schedules lists the schedules of an environment's deployed apps ("" = of all),
// or those of one app by id or name, which may be one that a session runs.
func (c *Client) Schedules(ctx context.Context, environment, app string) (list []api.Schedule, err error) {
	query := url.Values{"environment": {environment}, "app": {app}}
	return list, c.call(ctx, http.MethodGet, "/v1/schedules?"+query.Encode(), nil, &list)
}

// ScheduleRuns tells what became of the newest n ticks of a schedule, the newest
// first.
func (c *Client) ScheduleRuns(ctx context.Context, app, function string, n int) (list []api.ScheduleRun, err error) {
	return list, c.call(ctx, http.MethodGet, schedulePath(app, function, "runs")+"?tail="+strconv.Itoa(n), nil, &list)
}

// RunSchedule calls a scheduled function now, of a deployed app or of one that a
// session runs, and returns the call's id.
func (c *Client) RunSchedule(ctx context.Context, app, function string) (string, error) {
	var fired api.ScheduleFired
	err := c.call(ctx, http.MethodPost, schedulePath(app, function, "run"), struct{}{}, &fired)
	return fired.Call, err
}

// PauseSchedule has no tick of a schedule fired until ResumeSchedule.
func (c *Client) PauseSchedule(ctx context.Context, app, function string) (s api.Schedule, err error) {
	return s, c.call(ctx, http.MethodPost, schedulePath(app, function, "pause"), struct{}{}, &s)
}

// ResumeSchedule has a schedule that was paused go on with its next tick.
func (c *Client) ResumeSchedule(ctx context.Context, app, function string) (s api.Schedule, err error) {
	return s, c.call(ctx, http.MethodPost, schedulePath(app, function, "resume"), struct{}{}, &s)
}

func schedulePath(app, function, verb string) string {
	return "/v1/schedules/" + url.PathEscape(app) + "/" + url.PathEscape(function) + "/" + verb
}
