package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/remote/local"
)

// deps is what commands are given instead of finding it themselves.
type deps struct {
	ui      *ui.UI
	env     func(string) string
	now     func() time.Time
	version string
	stdin   *os.File
	stdout  *os.File
	stderr  *os.File
}

func newDeps(version string) deps {
	return deps{
		ui:      ui.New(ui.Options{Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv}),
		env:     os.Getenv,
		now:     time.Now,
		version: version,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
	}
}

// problem prints the error that a command ends with.
func (d deps) problem(e *exit.Error) {
	switch e.Code {
	case exit.Host:
		logFile := ""
		if dirs, err := local.Paths(d.env); err == nil {
			logFile = dirs.LogFile
		}
		d.ui.Problem(explain.Host(e.Err, logFile))
	case exit.Usage:
		d.ui.Problem(ui.Problem{What: e.Err.Error(), Do: "gx help"})
	default:
		d.ui.Problem(ui.Problem{What: e.Err.Error()})
	}
}

// build tells two binaries of one version apart: by size and time, because
// reading fifty megabytes would cost more than most commands.
func (d deps) build() (exe, build string, err error) {
	exe, err = os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("finding gx's own binary: %w", err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		return "", "", fmt.Errorf("looking at gx's own binary: %w", err)
	}
	return exe, fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano()), nil
}

// cacheDir is where the client keeps what it can make again.
func (d deps) cacheDir() (string, error) {
	if dir := d.env("GX_CACHE_DIR"); dir != "" {
		return dir, nil
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "gx"), nil
	}
	dirs, err := local.Paths(d.env)
	if err != nil {
		return "", err
	}
	return filepath.Join(dirs.State, "cache"), nil
}

// hostOptions is how a host is started when one is needed.
type hostOptions struct {
	runtime string
	idle    time.Duration
}

// ensure connects to the user's host and starts it if it does not run.
func (d deps) ensure(ctx context.Context, o hostOptions) (*client.Client, error) {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return nil, exit.With(exit.Host, err)
	}
	exe, build, err := d.build()
	if err != nil {
		return nil, exit.With(exit.Host, err)
	}
	c, err := local.Ensure(ctx, local.Options{
		StateDir: dirs.State, RuntimeDir: dirs.Runtime,
		Runtime: o.runtime, IdleTimeout: o.idle,
		Version: d.version, Build: build, Exe: exe,
		Notice: d.ui.Notice,
	})
	return c, exit.With(exit.Host, err)
}

// dial connects to the user's host if it runs.
func (d deps) dial(ctx context.Context) (*client.Client, error) {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return nil, exit.With(exit.Host, err)
	}
	c, err := client.Dial(ctx, "unix://"+dirs.Socket)
	if err != nil && (errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)) {
		return nil, errNoHost
	}
	return c, exit.With(exit.Host, err)
}

const errNoHost = errorText("no host is running; the next command that needs one starts it")

// errorText is an error that is a constant.
type errorText string

func (e errorText) Error() string { return string(e) }

// answer gives a host's error its exit code: what the host refuses is the
// user's to mend, everything else is trouble with the host.
func answer(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code != "internal" {
		return exit.With(exit.UserCode, err)
	}
	return exit.With(exit.Host, err)
}

// refusedAs reports whether the host has refused with this code.
func refusedAs(err error, code string) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == code
}

// interruptible is a context that ends with the first Ctrl-C.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
