package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Options says how a user's Python is started.
type Options struct {
	Python string   // the interpreter
	SDKDir string   // what Extract returned
	Args   []string // Python's arguments: "-m", "gx._cli", "run", ...
	Env    []string // as os.Environ(); nil = that
	Dir    string   // working directory; "" = this process's

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Background keeps the terminal's keys, such as Ctrl-C, from reaching it.
	Background bool
}

// Process is a running Python with a control socket.
type Process struct {
	cmd     *exec.Cmd
	control *Control
}

// outputWait is how long what a Python in the background has started may hold
// its output open after its end.
const outputWait = time.Second

// StartPython starts Python with the SDK on its path and a control socket. It
// is killed when ctx ends. Wait must be called.
func StartPython(ctx context.Context, o Options) (*Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	defer theirs.Close()
	defer ours.Close()
	control, err := newControl(ours)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, o.Python, programArgs(o.Args)...)
	cmd.Dir = o.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Stdout, o.Stderr
	cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	cmd.SysProcAttr = endsWithParent()
	if o.Background {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Setpgid = true
		cmd.WaitDelay = outputWait
	}
	env := o.Env
	if env == nil {
		env = os.Environ()
	}
	cmd.Env = pythonEnv(env, o.SDKDir)
	if err := cmd.Start(); err != nil {
		control.Close()
		return nil, fmt.Errorf("starting %s: %w", o.Python, err)
	}
	return &Process{cmd: cmd, control: control}, nil
}

// runProgram is what `python -m gx._cli` does, but Python's own module runner,
// which takes some milliseconds, is not needed, and nothing is imported from
// the working directory, where a user may have a types.py or a gx folder.
const runProgram = `import sys
if sys.path[0] == "": del sys.path[0]
from gx._cli import main
sys.exit(main(sys.argv[1:]))`

// programArgs replaces "-m gx._cli" by runProgram.
func programArgs(args []string) []string {
	if len(args) < 2 || args[0] != "-m" || args[1] != "gx._cli" {
		return args
	}
	return append([]string{"-c", runProgram}, args[2:]...)
}

// pythonEnv puts the SDK first on the Python path and names the control socket.
func pythonEnv(env []string, sdkDir string) []string {
	path := sdkDir
	out := make([]string, 0, len(env)+2)
	for _, kv := range env {
		switch key, value, _ := strings.Cut(kv, "="); key {
		case "PYTHONPATH":
			if value != "" {
				path = sdkDir + string(os.PathListSeparator) + value
			}
		case ControlEnv:
		default:
			out = append(out, kv)
		}
	}
	return append(out, "PYTHONPATH="+path, ControlEnv+"=3")
}

// Control is gx's end of the control socket.
func (p *Process) Control() *Control { return p.control }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal. A process that has ended is left alone.
func (p *Process) Signal(sig os.Signal) {
	// The only error is that the process has ended, which Wait tells.
	_ = p.cmd.Process.Signal(sig)
}

// Wait waits for the end of Python, closes the control socket and returns the
// exit code: 128 and the signal's number if a signal ended it. The error is
// set only if the code could not be had.
func (p *Process) Wait() (code int, err error) {
	err = p.cmd.Wait()
	_ = p.control.Close()
	state := p.cmd.ProcessState
	if state == nil {
		return 0, fmt.Errorf("waiting for Python: %w", err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return state.ExitCode(), fmt.Errorf("waiting for Python: %w", err)
	}
	return state.ExitCode(), nil
}

// socketPair makes a connected pair of unix sockets that are not inherited.
func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}
