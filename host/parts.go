package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/hostenv"
	"github.com/gx-dev/gx/build/venv"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/process"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/sdk"
)

// parts are what a host is made of, beneath the engine: a container runtime,
// and the builder of images that it can run.
type parts struct {
	runtime container.Runtime
	images  build.Engine
	gpus    gpu.Provider // nil = there are none
}

func (p parts) close() error {
	var errs []error
	if p.runtime != nil {
		errs = append(errs, p.runtime.Close())
	}
	if p.gpus != nil {
		errs = append(errs, p.gpus.Close())
	}
	if p.images != nil {
		errs = append(errs, p.images.Close())
	}
	return errors.Join(errs...)
}

// sdkDir is where the SDK for containers and builds is kept.
func sdkDir(c Config) string { return filepath.Join(c.Dirs.State, "sdk") }

// wanted is the runtime that was asked for; "" = the best there is.
func (c Config) wanted() string {
	wanted := c.Runtime
	if wanted == "" {
		wanted = c.Settings.Runtime
	}
	if wanted == "auto" {
		wanted = ""
	}
	return wanted
}

// processes are the parts of a host on a machine where containers are
// impossible.
func processes(cfg Config, log *slog.Logger) (parts, error) {
	state := cfg.Dirs.State
	images, err := venv.New(venv.Options{
		Dir: state + "/venvs",
		SDK: func() (string, error) { return sdk.Extract(sdkDir(cfg)) },
	})
	if err != nil {
		return parts{}, fmt.Errorf("starting the builder of virtual environments: %w", err)
	}
	runtime, err := process.New(context.Background(), process.Config{Dir: state + "/processes", Log: log})
	if err != nil {
		return parts{}, errors.Join(fmt.Errorf("starting the process runtime: %w", err), images.Close())
	}
	return parts{runtime: runtime, images: images}, nil
}

// network gives the engine the machine's network settings in its own terms.
type network struct{ env hostenv.Env }

func (n network) Env() []string { return n.env.Vars() }

func (n network) Mounts() []container.Mount {
	mounts := make([]container.Mount, 0, len(n.env.Mounts()))
	for _, m := range n.env.Mounts() {
		mounts = append(mounts, container.Mount{Source: m.Source, Target: m.Target, ReadOnly: true})
	}
	return mounts
}
