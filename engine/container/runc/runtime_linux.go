package runc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/container/cgroup"
	"github.com/gx-dev/gx/engine/container/network"
)

// Runtime runs containers by an OCI runtime. See the package's documentation.
type Runtime struct {
	cfg     Config
	owner   string // names control groups, bridge and firewall table of this Dir
	cgroups *cgroup.System
	parent  cgroup.Group
	inRAM   bool // writable layers are on a tmpfs each

	mu         sync.Mutex
	closed     bool
	live       map[string]*running // by id; nil while a start is in progress
	starts     sync.WaitGroup
	templates  sync.WaitGroup // that have not ended
	cells      []*cell        // the last one is in use
	network    *network.Network
	bestBinary string
}

// Time limits of the Runtime's own work.
const (
	startLimit   = 30 * time.Second // for one OCI runtime command
	cleanupLimit = 30 * time.Second // for the kernel to let go of a dead container
)

// New makes a Runtime, after removing what an earlier one for the same Dir
// left when it was killed.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("containers by runc need root: run gx as root (sudo), or use the process runtime")
	}
	if cfg.RunDir == "" {
		cfg.RunDir = filepath.Join(cfg.Dir, "run")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Reaper == nil {
		cfg.Reaper = []string{"/proc/self/exe", ReaperCommand}
	}
	r := &Runtime{cfg: cfg, owner: ownerOf(cfg.Dir), live: map[string]*running{}}
	var err error
	if r.cgroups, err = cgroup.Open(); err != nil {
		return nil, err
	}
	r.parent = r.cgroups.Group(r.owner)
	for _, dir := range []string{cfg.Dir, cfg.RunDir} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("the containers' directory must be absolute, not %q", dir)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the containers' directory: %w", err)
		}
	}
	if err := r.sweep(ctx); err != nil {
		return nil, fmt.Errorf("remove what an earlier run left: %w", err)
	}
	if err := os.MkdirAll(r.stateDir(), 0o700); err != nil {
		return nil, err
	}
	c, err := newCell(ctx, cfg.Reaper)
	if err != nil {
		return nil, err
	}
	r.cells = []*cell{c}
	if err := errors.Join(r.chooseLayers(), r.chooseBinary(ctx)); err != nil {
		return nil, errors.Join(err, r.Close()) //nolint:contextcheck // must clean up though ctx may have ended
	}
	return r, nil
}

// ownerOf names what a Runtime makes outside its directories, so that several
// on one machine do not meet.
func ownerOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "gx-" + hex.EncodeToString(sum[:4])
}

// Name is "runc", also where crun does the work.
func (r *Runtime) Name() string { return "runc" }

// Binary is the path of the OCI runtime in use.
func (r *Runtime) Binary() string { return r.bestBinary }

// Isolation is empty: all that a Spec asks for is isolated.
func (r *Runtime) Isolation() []string { return nil }

// stateDir is the OCI runtime's --root.
func (r *Runtime) stateDir() string { return filepath.Join(r.cfg.RunDir, ".state") }

// sweep removes what a killed owner left: processes, if any, control groups,
// directories, and the network.
func (r *Runtime) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	if err := r.parent.Remove(ctx); err != nil {
		return err
	}
	if err := r.removeDirs(); err != nil {
		return err
	}
	return network.Remove(r.owner)
}

// removeDirs empties the Runtime's directories.
func (r *Runtime) removeDirs() error {
	var failed error
	for _, dir := range []string{r.cfg.RunDir, r.cfg.Dir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list the containers' directory: %w", err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				failed = errors.Join(failed, fmt.Errorf("remove a container's directory: %w", err))
			}
		}
	}
	return failed
}

// Close implements container.Runtime. The firewall table, the bridge and all
// control groups are gone when it returns.
func (r *Runtime) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	r.starts.Wait()

	r.mu.Lock()
	var left []*running
	for _, c := range r.live {
		left = append(left, c)
	}
	r.mu.Unlock()
	for _, c := range left {
		_ = c.Kill()
	}
	for _, c := range left {
		<-c.Done()
	}
	r.templates.Wait()
	for _, c := range r.cells {
		c.close()
	}
	var failed error
	if r.network != nil {
		failed = r.network.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
	defer cancel()
	return errors.Join(failed, r.parent.Remove(ctx), r.removeDirs())
}

// reserve claims an id for a start in progress.
func (r *Runtime) reserve(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the container runtime is closed")
	}
	if _, taken := r.live[id]; taken {
		return fmt.Errorf("a container %s exists already", id)
	}
	r.live[id] = nil
	r.starts.Add(1)
	return nil
}

// settle ends what reserve began: with the running container, or with nil if
// the start failed.
func (r *Runtime) settle(id string, c *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c != nil {
		r.live[id] = c
	} else {
		delete(r.live, id)
	}
	r.starts.Done()
}

// forget is called by a container that has ended.
func (r *Runtime) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, id)
}

// cell returns the cell for a new container: the one in use, or a new one if
// somebody killed that.
func (r *Runtime) cell(ctx context.Context) (*cell, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.cells[len(r.cells)-1]
	select {
	case <-last.dead:
	default:
		return last, nil
	}
	c, err := newCell(ctx, r.cfg.Reaper)
	if err != nil {
		return nil, err
	}
	r.cells = append(r.cells, c)
	return c, nil
}

// outbound returns the network, made when the first container needs it.
func (r *Runtime) outbound(ctx context.Context) (*network.Network, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.network == nil {
		n, err := network.Open(ctx, r.owner)
		if err != nil {
			return nil, err
		}
		r.network = n
	}
	return r.network, nil
}

// findBinary looks a program up on PATH and in the directories of system
// programs, which an ordinary user's PATH lacks.
func findBinary(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}
