package engine

import (
	"context"

	"github.com/gx-dev/gx/api"
)

// Update exchanges what the app runs by a newer manifest of it. If it fails, the
// app goes on as it was.
func (a *App) Update(_ context.Context, _ api.UpdateRequest) (api.Updated, error) {
	return api.Updated{}, &api.Error{Code: "unimplemented", Message: "this host cannot update a running app yet"}
}
