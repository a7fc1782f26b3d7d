package runc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
)

// executed is a process that was started in a running container.
type executed struct {
	container *running
	pid       int // on the host
	terminal  *os.File
	done      chan struct{}

	mu    sync.Mutex
	pidfd int // -1 = it has ended
	exit  container.Exit
}

// Exec implements container.Execer, by the OCI runtime.
func (c *running) Exec(ctx context.Context, spec container.ExecSpec) (container.Process, error) {
	p, err := c.exec(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("run a command in container %s: %w", c.id, err)
	}
	return p, nil
}

func (c *running) exec(ctx context.Context, spec container.ExecSpec) (_ *executed, err error) {
	if err := errors.Join(ctx.Err(), spec.Validate()); err != nil {
		return nil, err
	}
	if filepath.Base(c.runtime.bestBinary) == "crun" {
		return nil, errors.New("this needs runc, and this host makes its containers with crun")
	}
	// What is mounted anew must not be what the process begins in.
	c.remounting.Lock()
	defer c.remounting.Unlock()
	select {
	case <-c.done:
		return nil, container.ErrEnded
	default:
	}
	dir, err := os.MkdirTemp(c.bundle, "exec-")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = container.ErrEnded
		}
		return nil, err
	}
	defer os.RemoveAll(dir) // it has the secrets of the environment
	root, err := c.ociState(dir)
	if err != nil {
		return nil, err
	}
	if err := writeProcess(filepath.Join(dir, "process.json"), spec); err != nil {
		return nil, err
	}
	p := &executed{container: c, pidfd: -1, done: make(chan struct{})}
	c.cell.begin()
	defer c.cell.end()
	args := []string{
		"--root", root, "--log", filepath.Join(dir, logFile), "--log-format", "json",
		"exec", "--detach", "--process", filepath.Join(dir, "process.json"), "--pid-file", filepath.Join(dir, pidFile),
	}
	var console *consoleSocket
	if spec.Terminal != nil {
		if console, err = listenConsole(filepath.Join(dir, "console")); err != nil {
			return nil, err
		}
		defer console.close()
		args = append(args, "--console-socket", console.path)
	}
	if err := c.execute(ctx, dir, append(args, c.id), spec); err != nil {
		return nil, err
	}
	pid, err := readPid(filepath.Join(dir, pidFile))
	if err != nil {
		return nil, err
	}
	status := c.cell.status(pid)
	p.find(pid)
	go p.wait(status)
	if console != nil {
		p.terminal, err = console.receive(ctx)
		if err == nil {
			err = container.Resize(p.terminal, *spec.Terminal)
		}
		if err != nil {
			err = errors.Join(fmt.Errorf("open its terminal: %w", err), p.Kill())
			<-p.done
			return nil, err
		}
	}
	return p, nil
}

// execute runs the OCI runtime's exec, which ends when the process runs.
func (c *running) execute(ctx context.Context, dir string, args []string, spec container.ExecSpec) error {
	// Cut off in the middle it would leave a process that nobody knows of.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer cancel()
	binary := c.runtime.bestBinary
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if spec.Terminal == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = spec.Stdin, spec.Stdout, spec.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.cell.do(cmd.Start); err != nil {
		return fmt.Errorf("run %s: %w", binary, err)
	}
	err := cmd.Wait()
	if err == nil {
		return nil
	}
	text, _ := os.ReadFile(filepath.Join(dir, logFile))
	if cause := lastError(text); cause != "" {
		cause = strings.TrimPrefix(cause, "exec failed: ")
		return errors.New(strings.TrimPrefix(cause, "unable to start container process: "))
	}
	select {
	case <-c.done:
		return container.ErrEnded
	default:
		return fmt.Errorf("%s: %w", binary, err)
	}
}

// writeProcess writes what the OCI runtime is to run.
func writeProcess(path string, spec container.ExecSpec) error {
	dir := spec.Dir
	if dir == "" {
		dir = "/"
	}
	oom := oomScore
	process := specs.Process{
		Terminal: spec.Terminal != nil, Args: spec.Args, Env: spec.Environment(), Cwd: dir,
		Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true, Rlimits: rlimits(), OOMScoreAdj: &oom,
	}
	if spec.Terminal != nil {
		process.ConsoleSize = &specs.Box{Height: uint(spec.Terminal.Rows), Width: uint(spec.Terminal.Columns)}
	}
	text, err := json.Marshal(process)
	if err != nil {
		return fmt.Errorf("encode the command: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

// find opens the process, whose pid in the cell is known.
func (p *executed) find(pid int) {
	for _, host := range p.container.group.Pids() {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(host), "status"))
		if err != nil || !numbered(string(status), pid) {
			continue
		}
		if fd, err := unix.PidfdOpen(host, 0); err == nil {
			p.pidfd, p.pid = fd, host
		}
		return
	}
}

// numbered says whether a /proc status is that of the process that is pid in the
// cell, whose namespace is just below the host's.
func numbered(status string, pid int) bool {
	for line := range strings.Lines(status) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			return len(f) >= 3 && f[1] == strconv.Itoa(pid)
		}
	}
	return false
}

// wait waits for the end of the process, or of the container.
func (p *executed) wait(status <-chan unix.WaitStatus) {
	defer close(p.done)
	exit := container.Exit{Started: time.Now()}
	select {
	case s := <-status:
		exit.Ended(syscall.WaitStatus(s))
	case <-p.container.done:
		exit.Killed(unix.SIGKILL)
	}
	exit.Finished = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exit = exit
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
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
	if p.pidfd < 0 {
		return nil
	}
	if err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal a command in container %s: %w", p.container.id, err)
	}
	return nil
}

// Kill implements container.Process.
func (p *executed) Kill() error {
	err := p.Signal(unix.SIGKILL)
	if p.pid > 1 {
		for _, pid := range p.container.group.Pids() {
			if sessionOf(pid) == p.pid {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	return err
}

// sessionOf is a process's session, as the host numbers it; 0 = unknown.
func sessionOf(pid int) int {
	sid, err := unix.Getsid(pid)
	if err != nil {
		return 0
	}
	return sid
}

// consoleSocket is where the OCI runtime sends the terminal that it has opened
// in the container.
type consoleSocket struct {
	path     string
	listener *net.UnixListener
}

func listenConsole(path string) (*consoleSocket, error) {
	if len(path) > 100 { // a socket's path has a limit of 107 bytes
		file, err := os.MkdirTemp("", "gx-tty-")
		if err != nil {
			return nil, err
		}
		path = filepath.Join(file, "s")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for a terminal: %w", err)
	}
	return &consoleSocket{path: path, listener: l}, nil
}

func (s *consoleSocket) close() {
	_ = s.listener.Close()
	if strings.HasPrefix(filepath.Base(filepath.Dir(s.path)), "gx-tty-") {
		_ = os.RemoveAll(filepath.Dir(s.path))
	}
}

func (s *consoleSocket) receive(ctx context.Context) (*os.File, error) {
	_ = s.listener.SetDeadline(time.Now().Add(startLimit))
	defer context.AfterFunc(ctx, func() { _ = s.listener.SetDeadline(time.Unix(1, 0)) })()
	conn, err := s.listener.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(startLimit))
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*4))
	_, oob, _, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return nil, err
	}
	files := received(rights[:oob])
	if len(files) == 0 {
		return nil, errors.New("no terminal came")
	}
	for _, f := range files[1:] {
		f.Close()
	}
	return container.OpenTerminal(files[0])
}
