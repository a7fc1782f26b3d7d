package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

// sampleEvery is how often memory is looked at.
const sampleEvery = 500 * time.Millisecond

// killLimit is how long killed processes may take to go. One that waits for a
// broken disk can take for ever.
const killLimit = 30 * time.Second

// running is a program from its start to the end of its last descendant.
type running struct {
	id      string
	runtime *Runtime
	folder  string
	token   string
	memory  int64
	paths   paths
	venv    string
	cmd     *exec.Cmd
	started time.Time
	over    chan struct{} // closed when the first process has ended
	done    chan struct{}

	starting sync.Mutex // held while something is started beside it

	mu     sync.Mutex
	ended  bool
	oom    bool
	reason string
	exit   container.Exit
	last   container.Stats
}

// wait sees the program to its end.
func (c *running) wait() {
	var watch sync.WaitGroup
	watch.Go(c.sample)
	awaitExit(c.cmd.Process.Pid)
	finished := time.Now()
	close(c.over)
	watch.Wait()
	c.starting.Lock()
	c.starting.Unlock() //nolint:staticcheck // what was being started is there now
	// The first process is still there, as a zombie, so its pid and session
	// mean nobody else.
	if err := killAll(c.members); err != nil {
		c.runtime.cfg.Log.Error("a process is not wholly ended", "container", c.id, "error", err)
	}
	c.mu.Lock()
	_ = c.cmd.Wait() // the status is in ProcessState
	c.ended = true
	exit := container.Exit{Started: c.started, Finished: finished, OOMKilled: c.oom, Reason: c.reason}
	if state := c.cmd.ProcessState; state != nil {
		if status, ok := state.Sys().(syscall.WaitStatus); ok {
			exit.Ended(status)
		}
		c.last.CPU = max(c.last.CPU, state.UserTime()+state.SystemTime())
		c.last.Peak = max(c.last.Peak, maxResident(state))
	}
	exit.Peak = c.last.Peak
	c.last.Memory, c.last.Pids = 0, 0
	c.exit = exit
	c.mu.Unlock()

	if err := os.RemoveAll(c.folder); err != nil {
		c.runtime.cfg.Log.Error("a private folder is not removed", "container", c.id, "error", err)
	}
	c.runtime.mu.Lock()
	delete(c.runtime.live, c.id)
	c.runtime.mu.Unlock()
	close(c.done)
}

// members lists the program's processes that have not ended.
func (c *running) members() []int {
	return append(descendants(c.cmd.Process.Pid), carrying(c.token)...)
}

// sample looks at the program's memory now and then, and kills it when that is
// over its limit.
func (c *running) sample() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.over:
			return
		case <-tick.C:
		}
		if c.memory <= 0 {
			continue
		}
		if s, err := c.Stats(); err == nil && s.Memory > c.memory {
			c.mu.Lock()
			c.oom = true
			c.reason = fmt.Sprintf("it used %d MiB of memory, where its limit is %d MiB", s.Memory>>20, c.memory>>20)
			c.mu.Unlock()
			_ = c.Kill()
			return
		}
	}
}

// killAll kills what list returns until it returns nothing.
func killAll(list func() []int) error {
	deadline := time.Now().Add(killLimit)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		pids := list()
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", pids)
		}
		time.Sleep(wait)
	}
}

// ID implements container.Container.
func (c *running) ID() string { return c.id }

// Done implements container.Container.
func (c *running) Done() <-chan struct{} { return c.done }

// Signal implements container.Container.
func (c *running) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended { // and its pid may be another's
		return nil
	}
	if err := syscall.Kill(c.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", c.id, err)
	}
	return nil
}

// Kill implements container.Container. The first process goes first; wait
// kills the others.
func (c *running) Kill() error { return c.Signal(syscall.SIGKILL) }

// Exit implements container.Container.
func (c *running) Exit() container.Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit
}

// Stats implements container.Container.
func (c *running) Stats() (container.Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return c.last, nil
	}
	s := usage(c.cmd.Process.Pid)
	s.Peak = max(s.Memory, c.last.Peak)
	s.CPU = max(s.CPU, c.last.CPU)
	c.last = s
	return s, nil
}
