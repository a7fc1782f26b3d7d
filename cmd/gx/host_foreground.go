package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/host"
	"github.com/gx-dev/gx/host/config"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/remote/local"
)

// otherWait is how long a host that came second waits for the first to answer
// or to go: longer than apps may take to end.
const otherWait = 55 * time.Second

// standByCheck is how often a host that stands by tries to be it.
const standByCheck = 500 * time.Millisecond

// sleep waits, unless it is interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	ctx, stop := interruptible(ctx)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// runHostForeground is the host itself. Whoever started it in the background
// hears over a pipe when it is ready, or why it will not be.
func runHostForeground(ctx context.Context, d deps, o hostOptions, standBy bool) error {
	// What the host makes has the same modes whoever starts it. Its folders are
	// closed to others.
	syscall.Umask(0o022)
	tell, background := starter(d.env)
	if background {
		d.stderr = nil // that is the log already
	}
	deadline := time.Now().Add(otherWait)
	for {
		err := foreground(ctx, d, o, func() { tell("ready") })
		if errors.Is(err, host.ErrRunning) && standBy {
			if !sleep(ctx, standByCheck) {
				return exit.Silently(exit.Interrupted)
			}
			continue
		}
		if !errors.Is(err, host.ErrRunning) || time.Now().After(deadline) {
			if err != nil {
				tell(strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			return exit.With(exit.Host, err)
		}
		// Another has the state. If it answers, two commands started a host at
		// once, and its is as good; if not, it is starting, or about to be gone.
		if pid, answers := other(ctx, d); answers {
			tell("running")
			return exit.With(exit.Host, fmt.Errorf("%w, as process %d", err, pid))
		}
		time.Sleep(20 * time.Millisecond) // another process's lock has no event
	}
}

// other asks the host that is there, if it answers, who it is.
func other(ctx context.Context, d deps) (pid int, answers bool) {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return 0, false
	}
	c, err := client.Dial(ctx, "unix://"+dirs.Socket)
	if err != nil {
		return 0, false
	}
	defer c.Close()
	h, err := c.Host(ctx)
	return h.Pid, err == nil && !h.Ending
}

func foreground(ctx context.Context, d deps, o hostOptions, ready func()) error {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return err
	}
	settings, err := config.Load(dirs.Config, d.env)
	if err != nil {
		return err
	}
	_, build, err := d.build()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	cfg := host.Config{
		Dirs: dirs, Settings: settings, Runtime: o.runtime, IdleTimeout: o.idle,
		Version: d.version, Build: build, Getenv: d.env, Ready: ready, Signals: signals,
	}
	if d.stderr != nil {
		cfg.Echo = d.stderr
	}
	return host.Run(ctx, cfg)
}

// starter returns how to tell the process that started this one in the
// background, if one did and listens; only the first word counts. Descriptors
// that are no pipe are left alone: the variable may have come from elsewhere.
func starter(getenv func(string) string) (tell func(word string), background bool) {
	fd, err := strconv.Atoi(getenv(local.ReadyEnv))
	_ = os.Unsetenv(local.ReadyEnv) // not for the host's own children
	var stat syscall.Stat_t
	if err != nil || fd != local.ReadyFD || syscall.Fstat(fd, &stat) != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return func(string) {}, false
	}
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "ready")
	told := false
	return func(word string) {
		if told {
			return
		}
		told = true
		_, _ = fmt.Fprintln(pipe, word)
		_ = pipe.Close()
	}, true
}
