package engine

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/billing"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/dict"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/queue"
	"github.com/gx-dev/gx/engine/secret"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/engine/volume"
	"github.com/gx-dev/gx/engine/webtoken"
)

// openStores opens what is kept beyond the engine's end, and the desk that
// answers for it.
func (e *Engine) openStores(ctx context.Context) (err error) {
	if e.db, err = store.Open(filepath.Join(e.cfg.Dir, "host.db")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.closeStores())
		}
	}()
	if e.environments, err = environment.Open(ctx, e.db, e.cfg.Clock); err != nil {
		return err
	}
	if e.dicts, err = dict.Open(ctx, dict.Config{DB: e.db, Clock: e.cfg.Clock, Environments: e.environments, NewID: call.NewID, TTL: e.cfg.DictTTL, Log: e.cfg.Log}); err != nil {
		return err
	}
	if e.queues, err = queue.Open(ctx, queue.Config{DB: e.db, Clock: e.cfg.Clock, Environments: e.environments, NewID: call.NewID, Log: e.cfg.Log}); err != nil {
		return err
	}
	if e.volumes, err = volume.Open(ctx, volume.Config{Dir: filepath.Join(e.cfg.Dir, "volumes"), DB: e.db, Environments: e.environments, Clock: e.cfg.Clock, Keep: e.cfg.Keep, Log: e.cfg.Log}); err != nil {
		return err
	}
	if e.secrets, err = secret.Open(ctx, secret.Config{Dir: e.cfg.Dir, DB: e.db, Clock: e.cfg.Clock, Environments: e.environments, NewID: call.NewID}); err != nil {
		return err
	}
	if err = e.openSpawned(ctx); err != nil {
		return err
	}
	if err = e.openSchedules(ctx); err != nil {
		return err
	}
	if e.bills, err = billing.Open(ctx, billing.Config{DB: e.db, Clock: e.cfg.Clock, Running: e.running, Log: e.cfg.Log}); err != nil {
		return err
	}
	if e.deployments, err = deployment.Open(ctx, e.db, e.cfg.Clock, e.secrets.Vault); err != nil {
		return err
	}
	if e.webTokens, err = webtoken.Open(ctx, e.db, e.cfg.Clock); err != nil {
		return err
	}
	e.environments.Guard(e.quiet)
	later := context.WithoutCancel(ctx)
	e.environments.OnDelete(func(id int64) { e.environmentGone(later, id) })
	e.environments.OnRename(func(id int64, from, to string) { e.environmentRenamed(later, id, from, to) })
	e.desk = ask.NewDesk(e.environments, e.dicts, e.queues, e.volumes, e.bills, e.webTokens, e.secrets, pages{e}, logPages{e})
	return nil
}

// quiet refuses changes to an environment in which apps run.
func (e *Engine) quiet(environment string) error {
	for _, a := range e.Apps() {
		if a.Environment == environment && a.State != "stopped" {
			return ask.Refused("app %s (%s) is running in environment %q: stop it first", a.Name, a.ID, environment)
		}
	}
	return nil
}

// environmentGone ends the use of what an environment had that was deleted.
func (e *Engine) environmentGone(ctx context.Context, id int64) {
	e.releaseDeployed(func(d *deployed) bool { return d.environment == id })
	err := errors.Join(e.dicts.EnvironmentGone(ctx), e.queues.EnvironmentGone(ctx), e.schedules.EnvironmentsChanged(ctx))
	if err != nil {
		e.cfg.Log.Warn("after an environment's end", "error", err)
	}
}

// environmentRenamed tells those who know an environment by its name that it has
// another one. No app runs in it.
func (e *Engine) environmentRenamed(ctx context.Context, id int64, from, to string) {
	e.mu.Lock()
	for _, d := range e.deployed {
		if d.environment == id {
			d.in(to)
		}
	}
	e.mu.Unlock()
	if err := errors.Join(e.schedules.EnvironmentsChanged(ctx), e.logs.Move(from, to)); err != nil {
		e.cfg.Log.Warn("after an environment got another name", "error", err)
	}
}

// closeStores closes them. Nobody may be asking any more.
func (e *Engine) closeStores() error {
	if e.spawned != nil {
		e.spawned.Close()
	}
	if e.dicts != nil {
		e.dicts.Close()
	}
	if e.queues != nil {
		e.queues.Close()
	}
	if e.volumes != nil {
		e.volumes.Close()
	}
	return e.db.Close()
}

// Ask answers a question of somebody who is no program of the user: the
// command line.
func (e *Engine) Ask(ctx context.Context, q ask.Query) (ask.Answer, error) {
	end, err := e.begin()
	if err != nil {
		return ask.Answer{}, err
	}
	defer end()
	return directory{e}.Answer(ctx, q)
}

var _ call.Host = directory{}
