package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/function"
)

// shellScript is the command where none is asked for: bash if there is one.
const shellScript = `if command -v bash >/dev/null 2>&1; then exec bash -l; else exec sh -l; fi`

// Exec starts a command in a running container. Close what it returns.
func (e *Engine) Exec(ctx context.Context, id string, req api.ExecRequest) (*Command, error) {
	spec, err := execSpec(req)
	if err != nil {
		return nil, err
	}
	end, err := e.begin()
	if err != nil {
		return nil, err
	}
	f := e.functionOf(id)
	if f == nil {
		end()
		return nil, fmt.Errorf("no container %q is running: %w", id, ErrNotFound)
	}
	c, err := newCommand(spec, func(spec container.ExecSpec) (*function.Visit, error) { return f.Exec(ctx, id, spec) }, end)
	if err != nil {
		end()
		return nil, execError(err)
	}
	c.started = api.ExecStarted{Container: id, Function: f.Name(), App: f.App()}
	return c, nil
}

// Shell starts a command in a container of its own, made like those of a
// function of an app that runs; name "" is its only one, or first. When there
// is no room for a container, waiting is told what is short. Close what it
// returns: nothing of the container is left then.
func (e *Engine) Shell(ctx context.Context, appRef, name string, req api.ExecRequest, waiting func(string)) (*Command, error) {
	spec, err := execSpec(req)
	if err != nil {
		return nil, err
	}
	a, err := e.App(appRef)
	if err != nil {
		return nil, err
	}
	d, err := a.definitionOf(name)
	if err != nil {
		return nil, err
	}
	end, err := e.begin()
	if err != nil {
		return nil, err
	}
	f, err := d.pool(nil, nil)
	if err != nil {
		end()
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	release := func() {
		f.Release()
		end()
	}
	shell, err := f.Shell(ctx, waiting)
	if err != nil {
		release()
		return nil, err
	}
	close := func() {
		shell.Close()
		release()
	}
	c, err := newCommand(spec, func(spec container.ExecSpec) (*function.Visit, error) { return shell.Exec(ctx, spec) }, close)
	if err != nil {
		close()
		return nil, execError(err)
	}
	c.started = api.ExecStarted{Container: shell.ID(), Function: d.name, App: a.id}
	return c, nil
}

// EndContainer ends a container and waits for it: within its grace period, or
// now. What it was at is given to another one, as if it had been lost.
func (e *Engine) EndContainer(ctx context.Context, id string, now bool) error {
	f := e.functionOf(id)
	if f != nil {
		if gone := f.End(id, "it was asked to end", now); gone != nil {
			select {
			case <-gone:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return fmt.Errorf("no container %q is running: %w", id, ErrNotFound)
}

// functionOf is the function whose container it is, or nil.
func (e *Engine) functionOf(id string) *function.Function {
	_, id = environment.Split(id)
	for _, f := range e.pools() {
		if f.Has(id) {
			return f
		}
	}
	return nil
}

// definitionOf finds a function of the app by its name.
func (a *App) definitionOf(name string) (*definition, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, d := range a.functions {
		if d.name == name || name == "" {
			return d, nil
		}
		names = append(names, d.name)
	}
	return nil, fmt.Errorf("app %q has no function %q; it has %s: %w", a.name, name, strings.Join(names, ", "), ErrNotFound)
}

// execSpec checks a request.
func execSpec(req api.ExecRequest) (container.ExecSpec, error) {
	spec := container.ExecSpec{Args: req.Args, Dir: req.Dir}
	if len(spec.Args) == 0 {
		spec.Args = []string{"sh", "-c", shellScript}
	}
	size := 0
	for _, arg := range spec.Args {
		size += len(arg) + 1
		if strings.ContainsRune(arg, 0) {
			return spec, fmt.Errorf("%w: an argument has a zero byte in it", ErrInvalid)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(req.Env)) {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(req.Env[k], 0) {
			return spec, fmt.Errorf("%w: %q is no variable of an environment", ErrInvalid, k)
		}
		size += len(k) + len(req.Env[k]) + 2
		spec.Env = append(spec.Env, k+"="+req.Env[k])
	}
	switch {
	case size > api.MaxExecBytes:
		return spec, fmt.Errorf("%w: arguments and environment have %d bytes; %d are allowed", ErrInvalid, size, api.MaxExecBytes)
	case spec.Args[0] == "":
		return spec, fmt.Errorf("%w: the command has no name", ErrInvalid)
	case req.Dir != "" && !strings.HasPrefix(req.Dir, "/"):
		return spec, fmt.Errorf("%w: the working directory %q is not absolute", ErrInvalid, req.Dir)
	}
	if t := req.Terminal; t != nil {
		size, err := terminalSize(*t)
		if err != nil {
			return spec, err
		}
		spec.Terminal = &size
	}
	return spec, nil
}

func terminalSize(t api.TerminalSize) (container.TerminalSize, error) {
	if t.Rows < 0 || t.Columns < 0 || t.Rows > api.MaxTerminalSize || t.Columns > api.MaxTerminalSize {
		return container.TerminalSize{}, fmt.Errorf("%w: a terminal of %d × %d characters", ErrInvalid, t.Columns, t.Rows)
	}
	return container.TerminalSize{Rows: uint16(t.Rows), Columns: uint16(t.Columns)}, nil //nolint:gosec // bounded above
}

// execError tells what the user can mend from what is trouble with the host.
func execError(err error) error {
	switch {
	case errors.Is(err, container.ErrEnded):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, context.Canceled):
		return err
	}
	return &api.Error{Code: "invalid", Message: err.Error()}
}
