package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"

	"github.com/gx-dev/gx/engine/container"
)

// executed is a process that was started beside a program.
type executed struct {
	id       string // of the container
	cmd      *exec.Cmd
	terminal *os.File
	done     chan struct{}

	mu    sync.Mutex
	ended bool
	exit  container.Exit
}

// Exec implements container.Execer.
func (c *running) Exec(ctx context.Context, spec container.ExecSpec) (container.Process, error) {
	p, err := c.exec(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("run a command beside %s: %w", c.id, err)
	}
	return p, nil
}

func (c *running) exec(ctx context.Context, spec container.ExecSpec) (*executed, error) {
	if err := errors.Join(ctx.Err(), spec.Validate()); err != nil {
		return nil, err
	}
	env := c.paths.environment(spec.Environment())
	search := searchPath(c.venv, env)
	dir := filepath.Join(c.folder, c.paths.dir)
	if spec.Dir != "" {
		dir = c.paths.path(spec.Dir)
	}
	env = append(env, "PATH="+search, "VIRTUAL_ENV="+c.venv, "PWD="+dir, tokenVariable+"="+c.token)
	args := c.paths.arguments(spec.Args)

	// The container must not end between the look and the start.
	c.starting.Lock()
	defer c.starting.Unlock()
	select {
	case <-c.over:
		return nil, container.ErrEnded
	default:
	}
	program, err := lookUp(args[0], search, dir)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: program, Args: args, Env: env, Dir: dir, Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	p := &executed{id: c.id, cmd: cmd, done: make(chan struct{})}
	if spec.Terminal != nil {
		master, slave, err := pty.Open()
		if err != nil {
			return nil, fmt.Errorf("open a terminal: %w", err)
		}
		defer slave.Close()
		if p.terminal, err = container.OpenTerminal(master); err != nil {
			return nil, err
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true
		if err := container.Resize(p.terminal, *spec.Terminal); err != nil {
			return nil, errors.Join(err, p.terminal.Close())
		}
	}
	started := time.Now()
	if err := c.runtime.fork.start(cmd); err != nil {
		if p.terminal != nil {
			_ = p.terminal.Close()
		}
		return nil, fmt.Errorf("execute %s: %w", spec.Args[0], err)
	}
	go p.wait(started)
	return p, nil
}

// wait waits for the end of the process.
func (p *executed) wait(started time.Time) {
	defer close(p.done)
	awaitExit(p.cmd.Process.Pid)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	_ = p.cmd.Wait() // the status is in ProcessState
	p.exit = container.Exit{Started: started, Finished: time.Now()}
	if state := p.cmd.ProcessState; state != nil {
		if status, ok := state.Sys().(syscall.WaitStatus); ok {
			p.exit.Ended(status)
		}
	}
}

// Terminal implements container.Process.
func (p *executed) Terminal() *os.File { return p.terminal }

// Done implements container.Process.
func (p *executed) Done() <-chan struct{} { return p.done }

// Exit implements container.Process.
func (p *executed) Exit() container.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Signal implements container.Process.
func (p *executed) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended { // and its pid may be another's
		return nil
	}
	if err := syscall.Kill(p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal a command beside %s: %w", p.id, err)
	}
	return nil
}

// Kill implements container.Process.
func (p *executed) Kill() error {
	p.mu.Lock()
	var family []int
	if !p.ended {
		family = descendants(p.cmd.Process.Pid)
	}
	p.mu.Unlock()
	err := p.Signal(syscall.SIGKILL)
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return err
}
