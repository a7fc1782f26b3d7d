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

// otherWait is how long a host that came second waits for the first to answer or to go.
const otherWait = 30 * time.Second

// runHostForeground is the host itself. Whoever started it in the background
// hears over a pipe when it is ready, or why it will not be.
func runHostForeground(ctx context.Context, d deps, o hostOptions) error {
	tell := starter(d.env)
	deadline := time.Now().Add(otherWait)
	for {
		err := foreground(ctx, d, o, func() { tell("ready") })
		if !errors.Is(err, host.ErrRunning) || time.Now().After(deadline) {
			if err != nil {
				tell(strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			return exit.With(exit.Host, err)
		}
		// Another has the state. If it answers, two commands started a host at
		// once, and its is as good; if not, it is starting, or about to be gone.
		if dirs, derr := local.Paths(d.env); derr == nil {
			if c, derr := client.Dial(ctx, "unix://"+dirs.Socket); derr == nil {
				c.Close()
				tell("running")
				return exit.With(exit.Host, err)
			}
		}
		time.Sleep(20 * time.Millisecond) // another process's lock has no event
	}
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
	return host.Run(ctx, host.Config{
		Dirs: dirs, Settings: settings, Runtime: o.runtime, IdleTimeout: o.idle,
		Version: d.version, Build: build, Getenv: d.env, Ready: ready, Signals: signals,
	})
}

// starter returns how to tell the process that started this one, if it
// listens; only the first word counts.
func starter(getenv func(string) string) func(word string) {
	fd, err := strconv.Atoi(getenv(local.ReadyEnv))
	if err != nil || fd != local.ReadyFD {
		return func(string) {}
	}
	_ = os.Unsetenv(local.ReadyEnv) // not for the host's own children
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
	}
}
