package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/engine/fault"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/remote/local"
	"github.com/gx-dev/gx/sdk"
)

type runOptions struct {
	ref         []string // FILE[::NAME] and what follows it
	module      bool
	detach      bool
	quiet       bool
	resume      bool
	estimate    bool
	timestamps  bool
	writeResult string
	runtime     string
	faults      []string
	faultSeed   uint64
}

func newRunCmd(d deps) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] FILE[::NAME] [the function's own flags]",
		Short: "Run an app's entrypoint, or one of its functions, in containers",
		Long: `Run an app's entrypoint, or one of its functions.

FILE is imported by your own Python. Its local entrypoint, or the function NAME,
is run; functions that are called with .remote(), .map() and the like run in
containers. Flags after FILE are the parameters of what is run: gx run FILE --help
shows them.

Ctrl-C ends the app and lets its exit hooks run; a second one ends it at once.
The exit codes are in ` + "`gx help exit-codes`" + `.`,
		Example: `  gx run hello.py
  gx run hello.py --name Ada
  gx run train.py::Model.fit --epochs 3
  gx run -m pkg.app
  gx run --detach batch.py`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.With(exit.Usage, errorText("gx run needs a file: gx run FILE[::NAME]"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ref = args
			return runRun(cmd.Context(), d, o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&o.module, "module", "m", false, "FILE is a module's name, as for python -m")
	flags.BoolVarP(&o.detach, "detach", "d", false, "leave the app running when the entrypoint has ended")
	flags.BoolVar(&o.resume, "resume", false, "take results of maps from an earlier run of the same code that was cut off")
	flags.BoolVar(&o.estimate, "estimate", false, "count the work on emulated GPUs, and print what it would take and cost on each card")
	flags.StringArrayVar(&o.faults, "fault", nil, "have something go wrong: oom@call=3, gpu-lost:p=0.01, xid=79, preempt, slow-start=20s; may be repeated")
	flags.Uint64Var(&o.faultSeed, "fault-seed", 0, "the same seed has the same faults; default: another one each time")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print only what the app prints, warnings and errors")
	flags.BoolVar(&o.timestamps, "timestamps", false, "begin each line of the functions' output with its time")
	flags.StringVarP(&o.writeResult, "write-result", "w", "", "write what the function returns (str or bytes) to this file")
	flags.StringVar(&o.runtime, "runtime", "", "how containers are made, runc or process; restarts an idle host that uses another")
	return cmd
}

// runRun starts the host and the user's Python at once, conducts the session,
// and ends as Python did, unless gx itself knows better.
func runRun(ctx context.Context, d deps, o runOptions) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	d.ui.SetQuiet(o.quiet)
	if err := planFaults(d, &o); err != nil {
		return err
	}

	connecting := connect(ctx, d, hostOptions{runtime: o.runtime})
	defer connecting.close()
	python, err := startPython(ctx, d, pythonArgs(o))
	if err != nil {
		return err
	}
	opts, err := sessionOptions(d, connecting, python.Control(), signals)
	if err != nil {
		return err
	}
	opts.Python, opts.Terminal = python.Signal, inForeground()
	opts.Detach, opts.Timestamps, opts.Resume = o.detach, o.timestamps, o.resume
	opts.Estimate = o.estimate
	opts.Faults, opts.FaultSeed = o.faults, o.faultSeed
	opts.HoldBill, opts.ShowExceptions = true, true
	outcome := session.Run(ctx, opts)

	code, err := waitPython(python, signals)
	if result := outcome.Exit; result != nil && result.Result != "" {
		d.ui.Println(result.Result)
	}
	return verdict(outcome, code, err)
}

// planFaults checks the faults, and gives those that are left to chance a seed by
// which they can be had again.
func planFaults(d deps, o *runOptions) error {
	if len(o.faults) == 0 {
		return nil
	}
	if _, err := fault.NewPlan(o.faults, 0); err != nil {
		return exit.With(exit.Usage, err)
	}
	if o.faultSeed == 0 {
		o.faultSeed = uint64(rand.Uint32()) + 1
	}
	d.ui.Notice(fmt.Sprintf("faults: %s; --fault-seed %d has the same ones again", strings.Join(o.faults, ", "), o.faultSeed))
	return nil
}

// verdict is the exit code: gx's own, else what Python said, else how it ended.
func verdict(outcome session.Outcome, code int, err error) error {
	switch {
	case outcome.Code != 0:
		return exit.Silently(outcome.Code)
	case outcome.Exit != nil:
		return exit.Silently(outcome.Exit.Code)
	case outcome.Exception != 0:
		return exit.Silently(outcome.Exception)
	case err != nil:
		return exit.With(exit.UserCode, fmt.Errorf("running Python: %w", err))
	case code > 128:
		return exit.With(exit.UserCode, fmt.Errorf("the Python that ran your file was ended from outside: %s", syscall.Signal(code-128)))
	default:
		return exit.Silently(code)
	}
}

// pythonArgs is the command line of the SDK's own program.
func pythonArgs(o runOptions) []string {
	args := []string{"-m", "gx._cli", "run"}
	if o.module {
		args = append(args, "-m")
	}
	if o.writeResult != "" {
		args = append(args, "--write-result", o.writeResult)
	}
	return append(args, o.ref...)
}

// startPython starts the user's Python with the SDK and a control socket.
func startPython(ctx context.Context, d deps, args []string) (*sdk.Process, error) {
	python, dir, err := pythonAndSDK(ctx, d)
	if err != nil {
		return nil, err
	}
	p, err := sdk.StartPython(ctx, sdk.Options{
		Python: python, SDKDir: dir, Args: args, Env: os.Environ(),
		Stdin: d.stdin, Stdout: d.stdout, Stderr: d.stderr,
	})
	return p, exit.With(exit.Usage, err)
}

// pythonAndSDK finds the user's Python and puts the SDK where it can be imported.
func pythonAndSDK(ctx context.Context, d deps) (python, dir string, err error) {
	cache, err := d.cacheDir()
	if err != nil {
		return "", "", exit.With(exit.Usage, err)
	}
	dir, err = sdk.Extract(cache)
	if err != nil {
		return "", "", exit.With(exit.Usage, fmt.Errorf("unpacking the SDK: %w", err))
	}
	python, version, err := sdk.FindPython(ctx, d.env)
	if err != nil {
		return "", "", exit.With(exit.Usage, err)
	}
	if err := sdk.Compile(ctx, dir, python, version); err != nil {
		d.ui.Warn(err.Error()) // slower, and as good
	}
	return python, dir, nil
}

// sessionOptions is what both kinds of sessions need.
func sessionOptions(d deps, c *connection, control session.Control, signals <-chan os.Signal) (session.Options, error) {
	cache, err := d.cacheDir()
	if err != nil {
		return session.Options{}, exit.With(exit.Usage, err)
	}
	dirs, err := local.Paths(d.env)
	if err != nil {
		return session.Options{}, exit.With(exit.Host, err)
	}
	return session.Options{
		UI:      d.ui,
		Control: control,
		Connect: c.host,
		Hashes:  filehash.Open(filepath.Join(cache, "hashes")),
		Signals: signals,
		LogFile: dirs.LogFile,
	}, nil
}

// waitPython waits for the end of Python. It may linger over its own threads
// and exit handlers: a further Ctrl-C ends it.
func waitPython(python *sdk.Process, signals <-chan os.Signal) (code int, err error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code, err = python.Wait()
	}()
	for {
		select {
		case <-ended:
			return code, err
		case <-signals:
			python.Signal(syscall.SIGKILL)
		}
	}
}

// connection is a host that is being connected to, while something else goes on.
type connection struct {
	cancel context.CancelFunc
	ready  chan struct{}
	once   sync.Once

	client *client.Client
	err    error
}

// connect begins to connect to the host, starting it if need be.
func connect(ctx context.Context, d deps, o hostOptions) *connection {
	ctx, cancel := context.WithCancel(ctx)
	c := &connection{cancel: cancel, ready: make(chan struct{})}
	go func() {
		defer close(c.ready)
		c.client, c.err = d.ensure(ctx, o)
	}()
	return c
}

// host waits for the connection.
func (c *connection) host(ctx context.Context) (session.Host, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.err != nil {
		return nil, c.err
	}
	return sessionHost{c.client}, nil
}

func (c *connection) close() {
	c.once.Do(func() {
		c.cancel()
		<-c.ready
		if c.client != nil {
			c.client.Close()
		}
	})
}

// sessionHost is the API's client as a session sees it.
type sessionHost struct{ *client.Client }

func (h sessionHost) Connection(ctx context.Context) (*os.File, func(), error) {
	conn, err := h.Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return conn.File, conn.Close, nil
}

func (h sessionHost) StartSession(ctx context.Context, req api.SessionRequest) (session.App, error) {
	app, err := h.Client.StartSession(ctx, req)
	if err != nil {
		return nil, err
	}
	return app, nil
}
