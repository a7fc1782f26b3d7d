package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/cgroup"
	"github.com/gx-dev/gx/engine/container/network"
)

// running is a container, from the beginning of its start to its end.
type running struct {
	id        string
	runtime   *Runtime
	cell      *cell
	bundle    string
	namespace string // where the network namespace is mounted for the OCI runtime
	layers    layers
	group     cgroup.Group
	endpoint  *network.Endpoint // nil without outbound network
	disk      int64
	pid       int    // the first process's on the host; 0 = not known
	template  string // id of the one that it was forked from; "" = the OCI runtime knows it
	ending    func() // called when nothing is left; may be nil
	status    <-chan unix.WaitStatus
	orphaned  <-chan struct{} // closed when its parent process is gone, and it with that
	orphan    error           // the reason to tell then
	started   time.Time

	points     []string   // overlays that are mounted in the cell
	overlaid   int        // overlays that were mounted, ever
	remounting sync.Mutex // held while a mount is being exchanged

	done chan struct{}

	mu     sync.Mutex
	ended  bool
	init   int // pidfd of the first process; -1 = it ended before it was found
	reason string
	exit   container.Exit
	last   container.Stats
}

func (r *Runtime) newRunning(cell *cell, spec container.Spec) *running {
	bundle := filepath.Join(r.cfg.RunDir, spec.ID)
	return &running{
		id:        spec.ID,
		runtime:   r,
		cell:      cell,
		bundle:    bundle,
		namespace: filepath.Join(bundle, namespaceFile),
		layers:    layers{dir: filepath.Join(r.cfg.Dir, "layer-"+spec.ID), target: filepath.Join(bundle, "rootfs"), inRAM: r.inRAM, limit: spec.Disk},
		group:     r.parent.Child(spec.ID),
		orphaned:  cell.dead,
		orphan:    errCellDead,
		disk:      spec.Disk,
		started:   time.Now(),
		done:      make(chan struct{}),
		init:      -1,
	}
}

// findInit opens the first process, whose pid in the cell is known, and returns
// its pid on the host, 0 if it has ended.
func (c *running) findInit(pid int) int {
	for _, p := range c.group.Pids() {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p), "status"))
		if err != nil || !isInit(string(status), pid) {
			continue
		}
		if fd, err := unix.PidfdOpen(p, 0); err == nil {
			c.init = fd
		}
		return p
	}
	return 0
}

// isInit says whether a /proc status is that of the process that is pid in its
// parent's namespace and 1 in its own.
func isInit(status string, pid int) bool {
	for line := range strings.Lines(status) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			return len(f) >= 2 && f[len(f)-1] == "1" && f[len(f)-2] == strconv.Itoa(pid)
		}
	}
	return false
}

// wait sees the container to its end and removes it.
func (c *running) wait(ctx context.Context) {
	var status unix.WaitStatus
	over := make(chan struct{})
	var watch sync.WaitGroup
	if c.disk > 0 && !c.layers.inRAM {
		watch.Go(func() { c.watchDisk(over) })
	}
	killed := false
	select {
	case status = <-c.status:
	case <-c.orphaned:
		select {
		case status = <-c.status: // it had ended before
		default:
			killed = true
		}
	}
	finished := time.Now()
	close(over)
	watch.Wait()
	usage := c.group.Usage()

	c.mu.Lock()
	c.ended = true
	exit := container.Exit{OOMKilled: usage.OOMKills > 0, Reason: c.reason, Peak: usage.Peak, Started: c.started, Finished: finished}
	if killed {
		exit.Killed(unix.SIGKILL)
		exit.Reason, exit.Orphaned = c.orphan.Error(), true
	} else {
		exit.Ended(syscall.WaitStatus(status))
	}
	c.exit, c.last = exit, stats(usage)
	c.mu.Unlock()

	if err := c.clear(ctx); err != nil {
		c.runtime.cfg.Log.Error("a container is not wholly removed", "container", c.id, "error", err)
	}
	c.runtime.forget(c.id)
	close(c.done)
	if c.ending != nil {
		c.ending()
	}
}

// clear kills what runs and removes everything that the container has on the
// host, in the order in which one part holds another.
func (c *running) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	c.mu.Lock()
	if c.init >= 0 {
		unix.Close(c.init)
		c.init = -1
	}
	c.mu.Unlock()
	failed := c.group.Remove(ctx)
	failed = errors.Join(failed, c.cell.do(func() error {
		return errors.Join(c.layers.unmount(), unmount(c.namespace))
	}), func() error {
		c.remounting.Lock()
		defer c.remounting.Unlock()
		return c.hideOverlays()
	}())
	if c.endpoint != nil {
		failed = errors.Join(failed, c.endpoint.Close())
	}
	return errors.Join(failed, c.layers.remove(), os.RemoveAll(filepath.Join(c.runtime.stateDir(), c.id)), os.RemoveAll(c.bundle))
}

// ID implements container.Container.
func (c *running) ID() string { return c.id }

// Done implements container.Container.
func (c *running) Done() <-chan struct{} { return c.done }

// Signal implements container.Container. The first process of a container is
// pid 1 in it, and does not get signals that it has no handler for, save
// SIGKILL.
func (c *running) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.init < 0 {
		return nil
	}
	if err := unix.PidfdSendSignal(c.init, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal container %s: %w", c.id, err)
	}
	return nil
}

// Kill implements container.Container. The end of its first process ends
// every other.
func (c *running) Kill() error { return c.kill("") }

func (c *running) kill(reason string) error {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil
	}
	if c.reason == "" {
		c.reason = reason
	}
	c.mu.Unlock()
	return errors.Join(c.Signal(unix.SIGKILL), c.group.Kill())
}

// Exit implements container.Container.
func (c *running) Exit() container.Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit
}

// Has says whether the container has a process of this id, as it numbers them.
func (c *running) Has(pid int) bool {
	own := strconv.Itoa(pid)
	for _, p := range c.group.Pids() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			continue // it has just ended
		}
		for line := range strings.Lines(string(status)) {
			if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
				f := strings.Fields(list)
				if len(f) > 0 && f[len(f)-1] == own {
					return true
				}
			}
		}
	}
	return false
}

// Stats implements container.Container.
func (c *running) Stats() (container.Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.last = stats(c.group.Usage())
	}
	return c.last, nil
}

func stats(u cgroup.Usage) container.Stats {
	return container.Stats{CPU: u.CPU, Memory: u.Memory, Peak: u.Peak, Pids: u.Pids}
}
