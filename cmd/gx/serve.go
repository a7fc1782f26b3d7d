package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/serve"
	"github.com/gx-dev/gx/remote/local"
	"github.com/gx-dev/gx/sdk"
)

type serveOptions struct {
	refs       []string
	module     bool
	timeout    float64
	timestamps bool
	quiet      bool
	runtime    string
}

func newServeCmd(d deps) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [flags] FILE[::APP]...",
		Short: "Keep apps running, and have them follow their files",
		Long: `Keep the apps of a file running, and have them go on with newer code whenever a
file that they are made of changes: the modules that they import, what their
images take from here, .env files.

Where only the code of functions has changed, it is exchanged in the containers
that run, and what their enter hooks have loaded stays; else containers are
replaced one by one. A file that is not valid, or an image that can't be built,
leaves the old version running; the next save is tried again.

In a terminal, ? shows what keys do. Ctrl-C ends the apps.`,
		Example: `  gx serve app.py
  gx serve app.py::api worker.py
  gx serve -m pkg.app --timeout 3600`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.With(exit.Usage, errorText("gx serve needs a file: gx serve FILE[::APP]"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.refs = args
			return runServe(cmd.Context(), d, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.module, "module", "m", false, "FILE is a module's name, as for python -m")
	flags.Float64Var(&o.timeout, "timeout", 0, "end after this many seconds (default: never)")
	flags.BoolVar(&o.timestamps, "timestamps", false, "begin each line of the functions' output with its time")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print only what the app prints, warnings and errors")
	flags.StringVar(&o.runtime, "runtime", "", "how containers are made, runc or process; restarts an idle host that uses another")
	return cmd
}

func runServe(ctx context.Context, d deps, o serveOptions) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	d.ui.SetQuiet(o.quiet)
	if o.timeout < 0 || o.timeout > maxServe.Seconds() {
		return exit.With(exit.Usage, fmt.Errorf("--timeout %g: from 0 to %.0f seconds", o.timeout, maxServe.Seconds()))
	}

	connecting := connect(ctx, d, hostOptions{runtime: o.runtime})
	defer connecting.close()
	python, dir, err := pythonAndSDK(ctx, d)
	if err != nil {
		return err
	}
	cache, err := d.cacheDir()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	dirs, err := local.Paths(d.env)
	if err != nil {
		return exit.With(exit.Host, err)
	}
	opts := serve.Options{
		UI: d.ui, References: o.refs, Module: o.module,
		Python: func(ctx context.Context, stdout, stderr io.Writer) (*sdk.Process, error) {
			return sdk.StartPython(ctx, sdk.Options{
				Python: python, SDKDir: dir, Args: []string{"-m", "gx._cli", "serve"}, Env: os.Environ(),
				Stdout: stdout, Stderr: stderr, Background: true,
			})
		},
		Connect: func(ctx context.Context) (serve.Host, error) {
			if _, err := connecting.host(ctx); err != nil {
				return nil, err
			}
			return serveHost{sessionHost{connecting.client}}, nil
		},
		Hashes:  filehash.Open(filepath.Join(cache, "hashes")),
		Signals: signals,
		Timeout: time.Duration(o.timeout * float64(time.Second)), Timestamps: o.timestamps,
		LogFile: dirs.LogFile,
		Open:    opener(d.env),
	}
	if terminal := keys(d); terminal != nil {
		defer terminal.Close()
		opts.Keys = terminal.Keys()
	}
	return exit.Silently(serve.Run(ctx, opts))
}

// maxServe is the longest --timeout.
const maxServe = 365 * 24 * time.Hour

// keys reads the keys of the terminal that gx was started in; nil if there is none.
func keys(d deps) *serve.Terminal {
	if !term.IsTerminal(int(d.stdin.Fd())) || !term.IsTerminal(int(d.stderr.Fd())) || d.env("TERM") == "dumb" || !inForeground() {
		return nil
	}
	terminal, err := serve.OpenTerminal(d.stdin)
	if err != nil {
		d.ui.Warn(fmt.Sprintf("keys do nothing: %v", err))
		return nil
	}
	return terminal
}

// opener shows URLs in the desktop's browser; nil if there is no desktop.
func opener(env func(string) string) func(url string) error {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	} else if env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "" {
		return nil
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	return func(url string) error {
		cmd := exec.Command(program, url) //nolint:noctx // the browser goes on by itself
		if err := cmd.Start(); err != nil {
			return err
		}
		return cmd.Process.Release()
	}
}

// serveHost is the API's client as gx serve sees it.
type serveHost struct{ sessionHost }

func (h serveHost) Serve(ctx context.Context, req api.SessionRequest) (serve.App, error) {
	app, err := h.Client.StartSession(ctx, req)
	if err != nil {
		return nil, err
	}
	return app, nil
}
