package runc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container/thread"
)

// cell is a pid namespace and a mount namespace in which containers are made.
// One thread of this process, and no other, is in the mount namespace and
// forks into the pid namespace: do runs functions on it.
type cell struct {
	work   chan func()
	dead   chan struct{} // closed when the reaper is gone, and with it all processes
	ended  chan struct{} // closed when the thread is gone
	reaper *exec.Cmd
	proc   int      // the host's /proc, which the cell's thread no longer sees
	hold   *os.File // the reaper's standard input: it lives while this is open

	mu       sync.Mutex
	starting int                            // starts in progress
	early    map[int]unix.WaitStatus        // ended before their start was done
	wanted   map[int]chan<- unix.WaitStatus // by pid in the cell
}

// errCellDead means that the first process of the cell was killed, which only
// somebody else can have done.
var errCellDead = errors.New("the containers' parent process was killed from outside, and they with it")

// newCell makes the namespaces and starts the reaper. command is the reaper's
// command line.
func newCell(ctx context.Context, command []string) (*cell, error) {
	c := &cell{
		work:   make(chan func()),
		dead:   make(chan struct{}),
		ended:  make(chan struct{}),
		early:  map[int]unix.WaitStatus{},
		wanted: map[int]chan<- unix.WaitStatus{},
	}
	started := make(chan error)
	thread.Go(func() { c.thread(ctx, command, started) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("make the namespaces that containers live in: %w", err)
	}
	return c, nil
}

// thread is the life of the cell's thread.
func (c *cell) thread(ctx context.Context, command []string, started chan<- error) {
	defer close(c.ended)
	statuses, err := c.enter(ctx, command)
	started <- err
	if err != nil {
		return
	}
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		c.collect(statuses)
	}()
	for f := range c.work {
		f()
	}
	<-collected
	unix.Close(c.proc)
}

// enter moves the calling thread into new namespaces and starts the reaper. It
// returns the pipe on which the reaper reports.
func (c *cell) enter(ctx context.Context, command []string) (statuses io.ReadCloser, err error) {
	if c.proc, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(c.proc)
		}
	}()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare the mount namespace: %w", err)
	}
	unix.Umask(0o022) // this thread's own since the unshare: modes in containers are not the user's habit
	// Mounts that appear on the host later are seen here; the reverse never.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return nil, fmt.Errorf("make the mounts private: %w", err)
	}
	var complaint bytes.Buffer
	c.reaper = exec.CommandContext(context.WithoutCancel(ctx), command[0], command[1:]...)
	c.reaper.Args[0] = os.Args[0] // for whoever reads a process list
	c.reaper.Stderr = &complaint
	c.reaper.Env = []string{"GOMAXPROCS=1", "PATH=" + os.Getenv("PATH")}
	c.reaper.Dir = "/"
	c.reaper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
		Setsid:     true,
	}
	in, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, outw, err := os.Pipe()
	if err != nil {
		in.Close()
		hold.Close()
		return nil, err
	}
	c.hold = hold
	c.reaper.Stdin, c.reaper.Stdout = in, outw
	err = c.reaper.Start()
	in.Close()
	outw.Close()
	if err != nil {
		hold.Close()
		out.Close()
		return nil, fmt.Errorf("start %s: %w", strings.Join(command, " "), err)
	}
	defer func() {
		if err != nil {
			hold.Close()
			out.Close()
			_ = c.reaper.Process.Kill()
			if _ = c.reaper.Wait(); complaint.Len() > 0 {
				err = fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
			}
		}
	}()
	// The namespace file is opened by pid, so before anything waits for it; and
	// in the host's /proc, over which the reaper may have mounted its own.
	ns, err := unix.Openat(c.proc, fmt.Sprintf("%d/ns/pid", c.reaper.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the new pid namespace: %w", err)
	}
	defer unix.Close(ns)
	stop := context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Unix(1, 0)) })
	_ = out.SetReadDeadline(time.Now().Add(10 * time.Second))
	var ready [1]byte
	if _, err := io.ReadFull(out, ready[:]); err != nil || ready[0] != reaperReady {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%q did not become ready; it must call runc.RunReaper: %w", strings.Join(command, " "), err)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	_ = out.SetReadDeadline(time.Time{})
	if err := unix.Setns(ns, unix.CLONE_NEWPID); err != nil {
		return nil, fmt.Errorf("enter the new pid namespace: %w", err)
	}
	return out, nil
}

// collect hands out the reaper's reports until it is gone.
func (c *cell) collect(reports io.ReadCloser) {
	defer reports.Close()
	var report [reportSize]byte
	for {
		if _, err := io.ReadFull(reports, report[:]); err != nil {
			break
		}
		pid := int(binary.LittleEndian.Uint32(report[:]))
		c.report(pid, unix.WaitStatus(binary.LittleEndian.Uint32(report[4:])))
	}
	_ = c.reaper.Wait()
	close(c.dead)
}

// report passes on how a process ended. One that nobody waits for is forgotten
// unless a start is in progress that might be about to learn its pid.
func (c *cell) report(pid int, status unix.WaitStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.wanted[pid]; ok {
		delete(c.wanted, pid)
		ch <- status
	} else if c.starting > 0 {
		c.early[pid] = status
	}
}

// begin announces that a start is in progress; end must follow.
func (c *cell) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting++
}

func (c *cell) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.starting--; c.starting == 0 {
		clear(c.early)
	}
}

// status returns a channel that gets the wait status of the process with the
// given pid in the cell. It must be called between begin and end.
func (c *cell) status(pid int) <-chan unix.WaitStatus {
	ch := make(chan unix.WaitStatus, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if status, ok := c.early[pid]; ok {
		delete(c.early, pid)
		ch <- status
	} else {
		c.wanted[pid] = ch
	}
	return ch
}

// do runs f on the cell's thread: what it mounts is mounted for containers
// alone, and what it forks is in the cell. It must not take long.
func (c *cell) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case c.work <- func() { result <- f() }:
		return <-result
	case <-c.ended:
		return errCellDead
	}
}

// bind mounts an open namespace at a path. It must run on the cell's thread.
func (c *cell) bind(namespace *os.File, path string) error {
	if err := unix.Fchdir(c.proc); err != nil {
		return fmt.Errorf("enter the host's /proc: %w", err)
	}
	err := unix.Mount(fmt.Sprintf("self/fd/%d", namespace.Fd()), path, "", unix.MS_BIND, "")
	if err := errors.Join(err, unix.Chdir("/")); err != nil {
		return fmt.Errorf("mount a network namespace: %w", err)
	}
	return nil
}

// close ends every process in the cell and waits until the namespaces are
// gone. do must not be running or called again.
func (c *cell) close() {
	_ = c.reaper.Process.Kill() // it has nothing to put in order
	c.hold.Close()
	<-c.dead
	close(c.work)
	<-c.ended
}
