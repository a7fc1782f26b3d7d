package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/muesli/cancelreader"
	"golang.org/x/term"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/remote/client"
)

// commandStarter runs a command in a container, as client.Exec does.
type commandStarter func(ctx context.Context, req api.ExecRequest, s client.ExecStreams) (api.ExecExit, error)

// runCommand connects a command in a container with gx's own input and output,
// and ends as it does. With terminal it has one of its own, and gx's is handed
// over to it: every key, Ctrl-C too, is for the command.
func runCommand(ctx context.Context, d deps, req api.ExecRequest, terminal bool, start commandStarter) error {
	streams := client.ExecStreams{
		Stdin: closable(d.stdin), Stdout: d.stdout, Stderr: d.stderr,
		Waiting: func(short string) { d.ui.Notice("waiting for " + short) },
	}
	if terminal {
		defer handOver(d, &req, &streams)()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := passSignals(&streams, terminal, cancel)
	defer stop()
	result, err := start(ctx, req, streams)
	switch {
	case ctx.Err() != nil:
		return exit.Silently(exit.Interrupted)
	case err != nil:
		return answer(err)
	}
	return exit.Silently(result.Code)
}

// wantsTerminal is whether a command gets a terminal: as it was asked for, or
// else if gx has one itself.
func wantsTerminal(d deps, asked bool, value bool) bool {
	if asked {
		return value
	}
	return term.IsTerminal(int(d.stdin.Fd())) && term.IsTerminal(int(d.stdout.Fd()))
}

// handOver makes gx's terminal pass on every key as it is, once the command
// runs, and tells the command of its size. restore makes it what it was.
func handOver(d deps, req *api.ExecRequest, s *client.ExecStreams) (restore func()) {
	req.Terminal = &api.TerminalSize{Rows: 24, Columns: 80}
	if req.Env == nil {
		req.Env = map[string]string{}
	}
	for _, name := range []string{"TERM", "COLORTERM"} {
		if v := d.env(name); v != "" {
			req.Env[name] = v
		}
	}
	in, out := int(d.stdin.Fd()), int(d.stdout.Fd())
	if !term.IsTerminal(in) { // --pty without a terminal: for programs that behave otherwise else
		return func() {}
	}
	size := func() (api.TerminalSize, bool) {
		for _, fd := range []int{out, in} {
			if columns, rows, err := term.GetSize(fd); err == nil && rows > 0 && columns > 0 {
				return api.TerminalSize{Rows: min(rows, api.MaxTerminalSize), Columns: min(columns, api.MaxTerminalSize)}, true
			}
		}
		return api.TerminalSize{}, false
	}
	if now, ok := size(); ok {
		req.Terminal = &now
	}
	var mu sync.Mutex
	var before *term.State
	s.Started = func(api.ExecStarted) {
		d.ui.Flush()
		mu.Lock()
		defer mu.Unlock()
		before, _ = term.MakeRaw(in) // a terminal that has gone is found out by reading it
	}
	resize := make(chan api.TerminalSize)
	s.Resize = resize
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-changed:
			case <-over:
				return
			}
			if now, ok := size(); ok {
				select {
				case resize <- now:
				case <-over:
					return
				}
			}
		}
	})
	return func() {
		signal.Stop(changed)
		close(over)
		watching.Wait()
		mu.Lock()
		defer mu.Unlock()
		if before != nil {
			_ = term.Restore(in, before)
		}
	}
}

// passSignals passes the signals that gx gets on to the command, once it runs.
// Those that mean gx itself end it, and the command with it.
func passSignals(s *client.ExecStreams, terminal bool, end func()) (stop func()) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	names := make(chan string)
	s.Signals = names
	over := make(chan struct{})
	began := make(chan struct{})
	started := s.Started
	s.Started = func(e api.ExecStarted) {
		if started != nil {
			started(e)
		}
		close(began)
	}
	var passing sync.WaitGroup
	passing.Go(func() {
		interrupts := 0
		for {
			var sig os.Signal
			select {
			case sig = <-got:
			case <-over:
				return
			}
			runs := false
			select {
			case <-began:
				runs = true
			default:
			}
			name := map[os.Signal]string{syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGQUIT: "QUIT"}[sig]
			if name == "INT" {
				interrupts++
			}
			// A command that does not mind Ctrl-C is ended by the third one.
			if !runs || name == "" || terminal && name == "TERM" || interrupts > 2 {
				end()
				continue
			}
			select {
			case names <- name:
			case <-over:
				return
			}
		}
	})
	return func() {
		signal.Stop(got)
		close(over)
		passing.Wait()
	}
}

// closable is a file as one whose reading can be ended by closing it.
func closable(f *os.File) io.ReadCloser {
	r, err := cancelreader.NewReader(f)
	if err != nil { // what can't be waited for, such as a file, has nothing to be ended
		return io.NopCloser(f)
	}
	return closingReader{r}
}

type closingReader struct{ cancelreader.CancelReader }

func (r closingReader) Close() error {
	r.Cancel()
	return nil
}
