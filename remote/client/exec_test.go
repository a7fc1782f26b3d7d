//go:build unix

package client

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/remote"
)

// fakeCommand echoes its input, and ends with it.
type fakeCommand struct {
	mu     sync.Mutex
	said   []string
	input  *io.PipeReader
	feed   *io.PipeWriter
	done   chan struct{}
	close  sync.Once
	closed chan struct{}
	stuck  bool // it does not read
}

func newFakeCommand() *fakeCommand {
	r, w := io.Pipe()
	return &fakeCommand{input: r, feed: w, done: make(chan struct{}), closed: make(chan struct{})}
}

func (c *fakeCommand) Started() api.ExecStarted { return api.ExecStarted{Container: "co-1"} }
func (c *fakeCommand) Outputs() int             { return 2 }
func (c *fakeCommand) Copy(stream int, write func([]byte) error) error {
	if stream == 1 {
		return write([]byte("to stderr"))
	}
	if c.stuck {
		<-c.closed
		return nil
	}
	buf := make([]byte, 10_000)
	for {
		n, err := c.input.Read(buf)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			c.end()
			return nil //nolint:nilerr // that is the end of its input
		}
	}
}
func (c *fakeCommand) end() { c.close.Do(func() { close(c.done) }) }
func (c *fakeCommand) Write(data []byte) error {
	_, _ = c.feed.Write(data)
	return nil
}
func (c *fakeCommand) EndInput() error { return c.feed.Close() }
func (c *fakeCommand) say(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, what)
}
func (c *fakeCommand) Resize(s api.TerminalSize) error { c.say("resize"); return nil }
func (c *fakeCommand) Signal(name string) error {
	c.say(name)
	c.end()
	return nil
}
func (c *fakeCommand) Done() <-chan struct{} { return c.done }
func (c *fakeCommand) Exit() api.ExecExit    { return api.ExecExit{Code: 7} }
func (c *fakeCommand) Close() {
	c.end()
	_ = c.input.Close()
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
}

func (b *backend) Exec(_ context.Context, id string, _ api.ExecRequest) (remote.Command, error) {
	if id != "co-1" {
		return nil, &api.Error{Code: "not_found", Message: "no container " + id}
	}
	return b.command, nil
}

func (b *backend) Shell(_ context.Context, _, function string, _ api.ExecRequest, waiting func(string)) (remote.Command, error) {
	waiting("a T4")
	return b.command, nil
}

func TestExecCarriesMuchInputAndOutput(t *testing.T) {
	b, c := serve(t)
	b.command = newFakeCommand()
	in := strings.Repeat("0123456789", 500_000)
	var out, errs bytes.Buffer
	var where string
	exit, err := c.Exec(t.Context(), "co-1", api.ExecRequest{}, ExecStreams{
		Stdin: io.NopCloser(strings.NewReader(in)), Stdout: &out, Stderr: &errs,
		Started: func(s api.ExecStarted) { where = s.Container },
	})
	require.NoError(t, err)
	require.Equal(t, 7, exit.Code)
	require.Equal(t, "co-1", where)
	require.True(t, out.String() == in, "%d bytes came back", out.Len())
	require.Equal(t, "to stderr", errs.String())
	<-b.command.closed
	_, err = c.Exec(t.Context(), "co-2", api.ExecRequest{}, ExecStreams{Stdout: &out, Stderr: &errs})
	require.ErrorContains(t, err, "no container co-2")
}

func TestSignalsDoNotWaitForACommandThatDoesNotRead(t *testing.T) {
	b, c := serve(t)
	b.command = newFakeCommand()
	b.command.stuck = true
	signals, resize := make(chan string, 1), make(chan api.TerminalSize)
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write(make([]byte, 4*api.ExecWindow))
	}()
	go func() {
		resize <- api.TerminalSize{Rows: 1, Columns: 2}
		signals <- "INT"
	}()
	go func() { <-b.command.done; b.command.Close() }()
	var waited string
	exit, err := c.Shell(t.Context(), "app", "f", api.ExecRequest{}, ExecStreams{
		Stdin: r, Stdout: io.Discard, Stderr: io.Discard, Signals: signals, Resize: resize, Waiting: func(s string) { waited = s },
	})
	require.NoError(t, err)
	require.Equal(t, 7, exit.Code)
	require.Equal(t, "a T4", waited)
	require.Equal(t, []string{"resize", "INT"}, b.command.said)
}

func TestCommandEndsWithItsClient(t *testing.T) {
	b, c := serve(t)
	b.command = newFakeCommand()
	b.command.stuck = true
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Exec(ctx, "co-1", api.ExecRequest{}, ExecStreams{
		Stdin: io.NopCloser(bytes.NewReader(make([]byte, 4*api.ExecWindow))), Stdout: io.Discard, Stderr: io.Discard,
		Started: func(api.ExecStarted) { time.AfterFunc(50*time.Millisecond, cancel) },
	})
	require.ErrorIs(t, err, context.Canceled)
	select {
	case <-b.command.closed:
	case <-time.After(time.Minute):
		t.Fatal("the command goes on")
	}
}
