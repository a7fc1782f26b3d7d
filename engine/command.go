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
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/redact"
)

// Command is a command that runs in a container, with both ends of what it
// reads and writes.
type Command struct {
	process container.Process
	started api.ExecStarted
	input   *os.File
	outputs []*os.File   // stdout and stderr, or the terminal
	mask    *redact.Mask // of what it writes
	hold    time.Duration
	close   sync.Once
	left    func()

	mu    sync.Mutex // of the deadlines for reading the outputs
	ended bool       // they were woken
}

// Once a command has ended, what it has written is still read; but what other
// processes go on to write, that hold its descriptors, only until they pause.
// What may be the beginning of a secret's value waits for the rest at most holdFor:
// somebody may be typing it.
const (
	holdFor  = 20 * time.Millisecond
	afterEnd = 200 * time.Millisecond
	mostLeft = 4 << 20 // bytes
)

// newCommand starts a command. ended is called when it is closed.
func newCommand(spec container.ExecSpec, start func(container.ExecSpec) (*function.Visit, error), ended func()) (*Command, error) {
	c := &Command{hold: holdFor}
	if spec.Terminal != nil {
		v, err := start(spec)
		if err != nil {
			return nil, err
		}
		terminal := v.Process.Terminal()
		c.process, c.mask, c.input, c.outputs = v.Process, v.Mask.InPlace(), terminal, []*os.File{terminal}
		c.left = func() { v.Leave(); ended() }
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
	v, err := start(spec)
	shut(given)
	if err != nil {
		shut(own)
		return nil, err
	}
	c.process, c.mask, c.input, c.outputs = v.Process, v.Mask, own[0], own[1:]
	c.left = func() { v.Leave(); ended() }
	go c.hurry()
	return c, nil
}

// hurry wakes who reads the outputs when the command has ended.
func (c *Command) hurry() {
	<-c.process.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, f := range c.outputs {
		_ = f.SetReadDeadline(time.Now())
	}
}

// patience sets how long the next reading of an output may take: holds says that
// something waits for its rest. It reports whether the command has ended.
func (c *Command) patience(f *os.File, holds bool) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Time{}
	switch {
	case c.ended:
		deadline = time.Now().Add(afterEnd)
	case holds:
		deadline = time.Now().Add(c.hold)
	}
	_ = f.SetReadDeadline(deadline)
	return c.ended
}

// Started tells where it runs.
func (c *Command) Started() api.ExecStarted { return c.started }

// Outputs is how many streams it writes: one to a terminal, or two.
func (c *Command) Outputs() int { return len(c.outputs) }

// Copy gives what the command writes to a stream, 0 or 1, to write until it
// ends, without the values of the container's secrets. A value that is written in
// pieces, with pauses longer than holdFor, is not recognised.
func (c *Command) Copy(stream int, write func([]byte) error) error {
	f, buf, left, ended := c.outputs[stream], make([]byte, api.ExecChunk), mostLeft, false
	var held []byte // may be the beginning of a value
	for {
		n, err := f.Read(buf)
		text, cut := buf[:n], n
		if len(held) > 0 {
			text = append(held, text...)
			cut = len(text)
		}
		if err == nil {
			cut = c.mask.Cut(text)
		}
		if cut > 0 {
			if err := write(c.mask.Bytes(text[:cut])); err != nil {
				return err
			}
		}
		waits := len(held) > 0
		held = append([]byte(nil), text[cut:]...)
		switch {
		case err == nil && !ended:
			if !waits && len(held) == 0 {
				continue
			}
		case err == nil:
			if left -= n; left <= 0 {
				return nil
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && !ended: // hurry says so, or nothing has come for what was held
		case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return nil
		default:
			return fmt.Errorf("reading what the command writes: %w", err)
		}
		ended = c.patience(f, len(held) > 0)
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
