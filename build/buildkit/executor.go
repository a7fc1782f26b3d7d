//go:build linux

package buildkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/sys/user"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/hostenv"
)

// hostExecutor gives build steps the machine's network settings. The solver
// does not see them, so they are part of no layer and of no cache key.
type hostExecutor struct {
	executor.Executor
	env       hostenv.Env
	functions *functions
	volumes   *attachments
}

func (e *hostExecutor) Run(ctx context.Context, id string, rootfs executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (_ resourcestypes.Recorder, err error) {
	var volumes build.Volumes
	if volumes, mounts, err = e.volumes.take(ctx, mounts); err != nil {
		return nil, fmt.Errorf("the step's volumes: %w", err)
	}
	if volumes != nil {
		defer func() {
			if err == nil { // what BuildKit keeps of the step, and what is in the volumes, belong together
				err = volumes.Commit(context.WithoutCancel(ctx))
			}
			err = errors.Join(err, volumes.Close())
		}()
		mounts = append(mounts, volumeMounts(volumes)...)
	}
	for _, m := range e.env.Mounts() {
		mounts = append(mounts, executor.Mount{Src: hostPath(m.Source), Dest: m.Target, Readonly: true})
	}
	for _, m := range e.functions.mounts(process.Meta.Args) {
		mounts = append(mounts, executor.Mount{Src: hostPath(m.Source), Dest: m.Target, Readonly: true})
	}
	// What the user's own recipe says goes before what the machine says.
	process.Meta.Env = append(append([]string(nil), e.env.Vars()...), process.Meta.Env...)
	process.Meta.RemoveMountStubsRecursive = true
	return e.Executor.Run(ctx, id, rootfs, mounts, process, started)
}

// hostPath is a file or folder of the machine as a mount of a build step.
type hostPath string

func (p hostPath) Mount(context.Context, bool) (executor.MountableRef, error) {
	return hostBind(p), nil
}

// hostBind is the mount itself.
type hostBind string

func (b hostBind) Mount() ([]mount.Mount, func() error, error) {
	return []mount.Mount{{Type: "bind", Source: string(b), Options: []string{"rbind", "ro"}}}, func() error { return nil }, nil
}

func (b hostBind) IdentityMapping() *user.IdentityMapping { return nil }
