package process

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

// tokenVariable is how a process is recognised as a container's wherever it
// went.
const tokenVariable = "GX_CONTAINER_TOKEN"

// Config says where a Runtime keeps its things.
type Config struct {
	// Dir holds the containers' private folders. It belongs to one live Runtime
	// at a time (the caller locks it), and everything in it may be deleted.
	Dir string
	Log *slog.Logger // gets what went wrong in the background; nil = nowhere
}

// Runtime runs programs without isolation. See the package's documentation.
type Runtime struct {
	cfg   Config
	owner string // the beginning of all tokens
	fork  *forker

	mu     sync.Mutex
	closed bool
	live   map[string]*running // nil while a start is in progress
	starts sync.WaitGroup
}

var _ container.Runtime = (*Runtime)(nil)

// New makes a Runtime, after ending what an earlier one for the same Dir left
// when it was killed.
func New(_ context.Context, cfg Config) (*Runtime, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("the containers' directory must be absolute, not %q", cfg.Dir)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the containers' directory: %w", err)
	}
	sum := sha256.Sum256([]byte(cfg.Dir))
	r := &Runtime{cfg: cfg, owner: "gx-" + hex.EncodeToString(sum[:8]), live: map[string]*running{}}
	if err := killAll(func() []int { return carrying(r.owner + "/") }); err != nil {
		return nil, fmt.Errorf("end what an earlier run left: %w", err)
	}
	if err := r.removeFolders(); err != nil {
		return nil, err
	}
	r.fork = newForker()
	return r, nil
}

// Name implements container.Runtime.
func (r *Runtime) Name() string { return "process" }

// Isolation implements container.Runtime.
func (r *Runtime) Isolation() []string {
	return []string{
		"files: functions see and can change every file that you can; only their working directory is a private copy",
		"network: functions use this machine's network, and reach its local services",
		"processes: functions see this machine's processes and can signal yours",
		"memory: a function over its limit is killed up to half a second late; it can slow the machine down until then",
		"CPU, number of processes and disk space are not limited",
	}
}

func (r *Runtime) removeFolders() error {
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list the containers' directory: %w", err)
	}
	var failed error
	for _, e := range entries {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(r.cfg.Dir, e.Name())))
	}
	if failed != nil {
		return fmt.Errorf("remove a container's folder: %w", failed)
	}
	return nil
}

// Close implements container.Runtime.
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
	left := make([]*running, 0, len(r.live))
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
	r.fork.close()
	return r.removeFolders()
}

// Start implements container.Runtime.
func (r *Runtime) Start(ctx context.Context, spec container.Spec) (container.Container, error) {
	c, err := r.start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start %s as a process: %w", spec.ID, err)
	}
	return c, nil
}

func (r *Runtime) start(ctx context.Context, spec container.Spec) (*running, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec, err := spec.Plain()
	if err != nil {
		return nil, err
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(spec.Root.Venv) {
		return nil, errors.New("it has no virtual environment, which is all that this runtime can run in")
	}
	if slices.ContainsFunc(spec.Mounts, func(m container.Mount) bool { return m.Overlay != nil }) {
		return nil, errors.New("it has overlays, which this runtime can't mount; run it in a container")
	}
	if spec.Network == container.NetworkNone {
		return nil, errors.New("it must not have a network, which this runtime can't prevent; run it in a container, or allow the network")
	}
	r.mu.Lock()
	_, taken := r.live[spec.ID]
	if r.closed || taken {
		r.mu.Unlock()
		if taken {
			return nil, fmt.Errorf("a container %s exists already", spec.ID)
		}
		return nil, errors.New("the runtime is closed")
	}
	r.live[spec.ID] = nil
	r.starts.Add(1)
	r.mu.Unlock()
	defer r.starts.Done()

	c, err := r.launch(spec)
	r.mu.Lock()
	if err != nil {
		delete(r.live, spec.ID)
	} else {
		r.live[spec.ID] = c
	}
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	go c.wait()
	if err := ctx.Err(); err != nil {
		_ = c.Kill()
		<-c.Done()
		return nil, err
	}
	return c, nil
}

// launch makes the private folder and starts the program.
func (r *Runtime) launch(spec container.Spec) (_ *running, err error) {
	folder := filepath.Join(r.cfg.Dir, spec.ID)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make a private folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	if err := fill(folder, spec.Root.Lower); err != nil {
		return nil, err
	}
	p := newPaths(spec, folder)
	dir := filepath.Join(folder, p.dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the working directory: %w", err)
	}
	env := p.environment(spec.Environment())
	search := searchPath(spec.Root.Venv, env)
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce)
	token := fmt.Sprintf("%s/%s/%x", r.owner, spec.ID, nonce)
	env = append(env, "PATH="+search, "VIRTUAL_ENV="+spec.Root.Venv, "PWD="+dir, tokenVariable+"="+token)

	args := p.arguments(spec.Args)
	program, err := lookUp(args[0], search, dir)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: program, Args: args, Env: env, Dir: dir, Stdout: spec.Stdout, Stderr: spec.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	c := &running{
		id: spec.ID, runtime: r, folder: folder, token: token, memory: spec.Memory, paths: p, venv: spec.Root.Venv,
		cmd: cmd, done: make(chan struct{}), over: make(chan struct{}), started: time.Now(),
	}
	if err := r.fork.start(cmd); err != nil {
		return nil, fmt.Errorf("execute %s: %w", spec.Args[0], err)
	}
	return c, nil
}

// searchPath is where programs are looked up: in the virtual environment, then
// in the environment's own PATH.
func searchPath(venv string, env []string) string {
	bin := filepath.Join(venv, "bin")
	search := bin
	for _, entry := range env {
		if v, ok := strings.CutPrefix(entry, "PATH="); ok && v != "" {
			search = bin + ":" + v
		}
	}
	return search
}

// lookUp finds a program in the container's own search path.
func lookUp(name, search, dir string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, d := range filepath.SplitList(search) {
			if filepath.IsAbs(d) {
				candidates = append(candidates, filepath.Join(d, name))
			}
		}
	} else if !filepath.IsAbs(name) {
		candidates = []string{filepath.Join(dir, name)}
	}
	for _, c := range candidates {
		if info, err := os.Stat(c); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return c, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, search)
}
