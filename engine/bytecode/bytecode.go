// Package bytecode compiles the SDK, and what else containers are shown of Python
// source, for an image's Python before they import it: what is mounted read-only cannot be compiled where it is used, and
// parsing it again in each container costs more than starting the container.
package bytecode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/sdk"
)

// compileWait bounds a compilation; it takes a fraction of a second.
const compileWait = 30 * time.Second

// Compiler gives containers the SDK with byte code. It is safe for concurrent
// use.
type Compiler struct {
	Runtime container.Runtime
	// Packages returns the folder of the SDK's source.
	Packages func(version string) (dir string, err error)
	Beside   []container.Mount // further folders of source, which do not change while the host runs
	Mounts   []container.Mount // of every container
	Log      *slog.Logger

	mu    sync.Mutex
	tried map[string]bool // by folder and version
	count int
}

// Dir returns the folder to mount at sdk.ContainerDir in a container of image.
// The first time for a version of Python it runs that Python, in a container
// of the image, to compile. If that fails the source is as good, and slower.
func (c *Compiler) Dir(image build.Image) (string, error) {
	version := image.Config().Version
	dir, err := c.Packages(version)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := dir + " " + version
	if c.tried[key] || version == "" || len(image.Root().Lower) == 0 {
		return dir, nil
	}
	if c.tried == nil {
		c.tried = make(map[string]bool)
	}
	c.tried[key] = true
	var left []container.Mount
	for _, m := range append([]container.Mount{{Source: dir, Target: sdk.ContainerDir}}, c.Beside...) {
		if _, err := os.Stat(mark(m, version)); err != nil {
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return dir, nil
	}
	if err := c.compile(left, image); err != nil {
		c.Log.Warn("compiling the SDK; containers start slower without", "python", version, "error", err)
		return dir, nil
	}
	for _, m := range left {
		if err := os.WriteFile(mark(m, version), nil, 0o644); err != nil {
			c.Log.Warn("marking the SDK as compiled", "error", err)
		}
	}
	return dir, nil
}

// mark is the file that says that a folder is compiled for a version of Python.
func mark(m container.Mount, version string) string {
	return filepath.Join(m.Source, ".compiled-"+version)
}

func (c *Compiler) compile(folders []container.Mount, image build.Image) error {
	ctx, cancel := context.WithTimeout(context.Background(), compileWait)
	defer cancel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	c.count++
	// What is in the folders does not change, or they are made anew with it, so
	// Python need not look whether something did.
	args := []string{image.Config().Python, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"}
	for _, m := range folders {
		args = append(args, m.Target)
	}
	ran, err := c.Runtime.Start(ctx, container.Spec{
		ID:     fmt.Sprintf("gx-compile-%d-%d", os.Getpid(), c.count),
		Root:   container.Root{Lower: image.Root().Lower},
		Args:   args,
		Env:    []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		Dir:    "/",
		Mounts: slices.Concat(folders, c.Mounts),
		// No network: setting one up costs more than the compilation.
		Network: container.NetworkNone,
		Stdout:  null, Stderr: null,
	})
	if err != nil {
		return err
	}
	select {
	case <-ran.Done():
	case <-ctx.Done():
		err := errors.Join(ctx.Err(), ran.Kill())
		<-ran.Done()
		return err
	}
	if exit := ran.Exit(); exit.Code != 0 {
		return fmt.Errorf("compileall ended with %d", exit.Code)
	}
	return nil
}
