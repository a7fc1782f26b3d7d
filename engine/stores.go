package engine

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
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
	e.environments.Guard(e.quiet)
	e.desk = ask.NewDesk(e.environments)
	return nil
}

// quiet refuses changes to an environment in which apps run.
func (e *Engine) quiet(environment string) error {
	for _, a := range e.Apps() {
		if a.Environment == environment {
			return ask.Refused("app %s (%s) is running in environment %q: stop it first", a.Name, a.ID, environment)
		}
	}
	return nil
}

// closeStores closes them. Nobody may be asking any more.
func (e *Engine) closeStores() error { return e.db.Close() }

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
