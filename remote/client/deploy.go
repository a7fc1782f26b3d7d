package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gx-dev/gx/api"
)

// Check tells what functions name and the host does not have, before their
// images are built.
func (c *Client) Check(ctx context.Context, req api.CheckRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/check", req, nil)
}

// Deploy makes a new version of a deployed app, or its first one, and returns
// when new calls get it. Its images must be built, and the contents of its files
// uploaded. If it fails, the app goes on as it was.
func (c *Client) Deploy(ctx context.Context, req api.DeployRequest) (done api.Deployed, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/deployments", req, &done)
}

// DeployServed makes what a running app is now, by its id, a version of a
// deployed one: the very images and files.
func (c *Client) DeployServed(ctx context.Context, app string, req api.DeployServedRequest) (done api.Deployed, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/apps/"+url.PathEscape(app)+"/deploy", req, &done)
}

// Deployment tells of a deployed app, by id or name: its versions, and what was
// done with it.
func (c *Client) Deployment(ctx context.Context, app string) (d api.Deployment, err error) {
	return d, c.call(ctx, http.MethodGet, "/v1/deployments/"+url.PathEscape(app), nil, &d)
}

// DeleteDeployed forgets a deployed app that was stopped, with its versions.
func (c *Client) DeleteDeployed(ctx context.Context, app string) error {
	return c.call(ctx, http.MethodDelete, "/v1/deployments/"+url.PathEscape(app), nil, nil)
}

// Rollback makes a version that is as an earlier one.
func (c *Client) Rollback(ctx context.Context, app string, req api.RollbackRequest) (done api.Deployed, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/deployments/"+url.PathEscape(app)+"/rollback", req, &done)
}

// Rollover makes a version that is as the current one, with other containers.
func (c *Client) Rollover(ctx context.Context, app string, req api.RolloverRequest) (done api.Deployed, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/deployments/"+url.PathEscape(app)+"/rollover", req, &done)
}

// Diff is what differs between two versions of a deployed app; to 0 is the
// current one.
func (c *Client) Diff(ctx context.Context, app string, from, to int) (diff api.Diff, err error) {
	query := url.Values{"from": {strconv.Itoa(from)}}
	if to > 0 {
		query.Set("to", strconv.Itoa(to))
	}
	return diff, c.call(ctx, http.MethodGet, "/v1/deployments/"+url.PathEscape(app)+"/diff?"+query.Encode(), nil, &diff)
}
