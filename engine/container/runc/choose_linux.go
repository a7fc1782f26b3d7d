package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
)

// chooseLayers settles where writable layers are kept, by trying.
func (r *Runtime) chooseLayers() error {
	c := r.cells[0]
	try := func(inRAM bool) error {
		l := layers{dir: filepath.Join(r.cfg.Dir, "probe"), target: filepath.Join(r.cfg.RunDir, "probe"), inRAM: inRAM}
		return c.do(func() error {
			// The state directory is empty yet, and as good as any.
			err := l.mount([]string{r.stateDir()}, func(string) error { return nil })
			return errors.Join(err, l.unmount(), l.remove())
		})
	}
	onDisk := try(false)
	if onDisk == nil {
		return nil
	}
	r.inRAM = true
	if err := try(true); err != nil {
		return errors.Join(onDisk, err)
	}
	r.cfg.Log.Warn("containers' own files are kept in memory: the directory's file system can't carry a writable layer", "dir", r.cfg.Dir, "error", onDisk)
	return nil
}

// chooseBinary settles which OCI runtime is used. crun starts containers
// faster, but its older versions refuse some layouts of control groups, so it
// is tried once.
func (r *Runtime) chooseBinary(ctx context.Context) error {
	if r.cfg.Binary != "" {
		path, err := findBinary(r.cfg.Binary)
		if err != nil {
			return fmt.Errorf("the configured container runtime: %w", err)
		}
		r.bestBinary = path
		return nil
	}
	crun, missing := findBinary("crun")
	if missing == nil {
		err := r.try(ctx, crun)
		if err == nil {
			r.bestBinary = crun
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		r.cfg.Log.Info("crun is installed but does not work here; using runc", "error", err)
	}
	path, err := findBinary("runc")
	if err != nil {
		return errors.New("no container runtime is installed: install runc (Debian and Ubuntu: apt-get install runc)")
	}
	r.bestBinary = path
	return nil
}

// try starts a container that does nothing with an OCI runtime.
func (r *Runtime) try(ctx context.Context, binary string) error {
	const id = "probe"
	lower := filepath.Join(r.cfg.RunDir, "probe-root")
	if err := os.MkdirAll(lower, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(lower)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	spec := container.Spec{
		ID: id, Root: container.Root{Lower: []string{lower}}, Args: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"},
		Memory: 256 << 20, CPU: 1, Network: container.NetworkNone, Stdout: null, Stderr: null,
	}
	// The machine's own programs serve as the image.
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			spec.Mounts = append(spec.Mounts, container.Mount{Source: dir, Target: dir, ReadOnly: true})
		}
	}
	if err := r.reserve(id); err != nil {
		return err
	}
	c, err := r.start(ctx, binary, spec, nil)
	r.settle(id, c)
	if err != nil {
		return err
	}
	c.wait(context.WithoutCancel(ctx))
	if exit := c.Exit(); exit.Code != 0 {
		return fmt.Errorf("a container that runs `true` ended with status %d (%s)", exit.Code, unix.SignalName(exit.Signal))
	}
	return nil
}
