package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/container"
)

// Command is a command that runs in a container, with both ends of what it
// reads and writes.
type Command struct {
	process container.Process
	started api.ExecStarted
	input   *os.File
	outputs []*os.File // stdout and stderr, or the terminal
	close   sync.Once
	left    func()
}

// Once a command has ended, what it has written is still read; but what other
// processes go on to write, that hold its descriptors, only until they pause.
const (
	afterEnd = 200 * time.Millisecond
	mostLeft = 4 << 20 // bytes
)

// newCommand starts a command. ended is called when it is closed.
func newCommand(spec container.ExecSpec, start func(container.ExecSpec) (container.Process, func(), error), ended func()) (*Command, error) {
	c := &Command{}
	if spec.Terminal != nil {
		p, done, err := start(spec)
		if err != nil {
			return nil, err
		}
		c.process, c.input, c.outputs = p, p.Terminal(), []*os.File{p.Terminal()}
		c.left = func() { done(); ended() }
		go c.hurry()
		return c, nil
	}
	var own, given []*os.File // in the order of the descriptors
	shut := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			shut(append(own, given...))
			return nil, fmt.Errorf("a pipe for the command: %w", err)
		}
		if i == 0 {
			own, given = append(own, w), append(given, r)
		} else {
			own, given = append(own, r), append(given, w)
		}
	}
	spec.Stdin, spec.Stdout, spec.Stderr = given[0], given[1], given[2]
	p, done, err := start(spec)
	shut(given)
	if err != nil {
		shut(own)
		return nil, err
	}
	c.process, c.input, c.outputs = p, own[0], own[1:]
	c.left = func() { done(); ended() }
	go c.hurry()
	return c, nil
}

// hurry wakes who reads the outputs when the command has ended.
func (c *Command) hurry() {
	<-c.process.Done()
	for _, f := range c.outputs {
		_ = f.SetReadDeadline(time.Now())
	}
}

// Started tells where it runs.
func (c *Command) Started() api.ExecStarted { return c.started }

// Outputs is how many streams it writes: one to a terminal, or two.
func (c *Command) Outputs() int { return len(c.outputs) }

// Copy gives what the command writes to a stream, 0 or 1, to write until it
// ends.
func (c *Command) Copy(stream int, write func([]byte) error) error {
	f, buf, left, ended := c.outputs[stream], make([]byte, api.ExecChunk), mostLeft, false
	for {
		n, err := f.Read(buf)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil && !ended:
			continue
		case err == nil:
			if left -= n; left <= 0 {
				return nil
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && !ended:
			ended = true // hurry says so
		case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return nil
		default:
			return fmt.Errorf("reading what the command writes: %w", err)
		}
		_ = f.SetReadDeadline(time.Now().Add(afterEnd))
	}
}

// Write gives the command input. It waits for a command that does not read,
// until it is closed.
func (c *Command) Write(data []byte) error {
	_, err := c.input.Write(data)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrClosed) {
		return nil // nobody reads it any more
	}
	return err
}

// EndInput says that there is no more input: to a terminal by its character for
// that.
func (c *Command) EndInput() error {
	if c.process.Terminal() != nil {
		return c.Write([]byte{4})
	}
	return c.input.Close()
}

// Resize changes the size of its terminal, if it has one.
func (c *Command) Resize(size api.TerminalSize) error {
	t := c.process.Terminal()
	if t == nil {
		return nil
	}
	s, err := terminalSize(size)
	if err != nil {
		return err
	}
	return container.Resize(t, s)
}

// Signal sends it a signal, by its name without SIG.
func (c *Command) Signal(name string) error {
	sig, ok := map[string]syscall.Signal{
		"INT": unix.SIGINT, "TERM": unix.SIGTERM, "HUP": unix.SIGHUP, "QUIT": unix.SIGQUIT, "KILL": unix.SIGKILL, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
	}[name]
	if !ok {
		return fmt.Errorf("%w: there is no signal %q to be sent", ErrInvalid, name)
	}
	return c.process.Signal(sig)
}

// Done is closed when the command has ended.
func (c *Command) Done() <-chan struct{} { return c.process.Done() }

// Exit tells how it ended; it is only valid after Done.
func (c *Command) Exit() api.ExecExit {
	exit := c.process.Exit()
	e := api.ExecExit{Code: exit.Code}
	if exit.Signal != 0 {
		e.Signal = unix.SignalName(exit.Signal)
	}
	return e
}

// Close ends the command if it has not, and waits until nothing of it is left.
func (c *Command) Close() {
	c.close.Do(func() {
		_ = c.process.Kill()
		_ = c.input.Close()
		for _, f := range c.outputs {
			_ = f.Close()
		}
		<-c.process.Done()
		_ = c.process.Kill() // what its session has begun meanwhile
		c.left()
	})
}
