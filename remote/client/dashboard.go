package client

import (
	"context"
	"net/http"

	"github.com/gx-dev/gx/api"
)

// Dashboard asks where the host's dashboard is, and for a way in.
func (c *Client) Dashboard(ctx context.Context) (reply api.DashboardReply, err error) {
	return reply, c.call(ctx, http.MethodPost, "/v1/dashboard", nil, &reply)
}
