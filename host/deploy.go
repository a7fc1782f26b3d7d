package host

import (
	"context"

	"github.com/gx-dev/gx/api"
)

func (b *backend) Check(ctx context.Context, req api.CheckRequest) error {
	return known(b.h.engine.Check(ctx, req))
}

func (b *backend) Deploy(ctx context.Context, req api.DeployRequest) (api.Deployed, error) {
	done, err := b.h.engine.Deploy(ctx, req)
	return done, known(err)
}

func (b *backend) DeployServed(ctx context.Context, app string, req api.DeployServedRequest) (api.Deployed, error) {
	done, err := b.h.engine.DeployServed(ctx, app, req)
	return done, known(err)
}

func (b *backend) Deployment(ctx context.Context, app string) (api.Deployment, error) {
	d, err := b.h.engine.Deployment(ctx, app)
	return d, known(err)
}

func (b *backend) DeleteDeployed(ctx context.Context, app string) error {
	return known(b.h.engine.DeleteDeployed(ctx, app))
}

func (b *backend) Rollback(ctx context.Context, app string, req api.RollbackRequest) (api.Deployed, error) {
	done, err := b.h.engine.Rollback(ctx, app, req)
	return done, known(err)
}

func (b *backend) Rollover(ctx context.Context, app string, req api.RolloverRequest) (api.Deployed, error) {
	done, err := b.h.engine.Rollover(ctx, app, req)
	return done, known(err)
}

func (b *backend) Diff(ctx context.Context, app string, from, to int) (api.Diff, error) {
	d, err := b.h.engine.Diff(ctx, app, from, to)
	return d, known(err)
}
