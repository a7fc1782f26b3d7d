//go:build linux

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/sys/user"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// volumesMark is where a command with volumes has a mount, named by the step's
// key, that tells the executor so. The command itself does not see it. It is a
// mount because all that a recipe says ends up among a command's arguments and
// variables, whatever the names.
const volumesMark = "/__gx/volumes/"

// volumeOptions has a step's command get the step's volumes. The solver sees the
// step's key alone, in which the volumes are; what is in them, it does not.
func (s *solve) volumeOptions(i int) []llb.RunOption {
	if len(s.recipe.steps[i].Volumes) == 0 {
		return nil
	}
	return []llb.RunOption{llb.AddMount(volumesMark+s.recipe.keys[i], llb.Scratch(), llb.Tmpfs())}
}

// attachments are how the steps of builds that run get their volumes, by the
// steps' keys. It is safe for concurrent use. Of two builds that run the same
// step at once, BuildKit carries it out once, for either: see functions.
type attachments struct {
	mu    sync.Mutex
	steps map[string]*attachment
}

type attachment struct {
	attach func(context.Context) (build.Volumes, error)
	users  int
}

func newAttachments() *attachments { return &attachments{steps: map[string]*attachment{}} }

// provide makes a recipe's volumes known until release is called.
func (a *attachments) provide(r *recipe, attach func(context.Context, app.Step) (build.Volumes, error)) (release func(), err error) {
	var keys []string
	for i, step := range r.steps {
		if len(step.Volumes) == 0 {
			continue
		}
		if attach == nil {
			return nil, fmt.Errorf("step %d of the image, %s, has volumes, and there are none here", i+1, step.Op)
		}
		if step.Op != app.OpRun && step.Op != app.OpFunction {
			return nil, fmt.Errorf("step %d of the image, %s, cannot have volumes", i+1, step.Op)
		}
		keys = append(keys, r.keys[i])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, step := range r.steps {
		key := r.keys[i]
		if len(step.Volumes) == 0 {
			continue
		}
		if a.steps[key] == nil {
			a.steps[key] = &attachment{attach: func(ctx context.Context) (build.Volumes, error) { return attach(ctx, step) }}
		}
		a.steps[key].users++
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, key := range keys {
			if a.steps[key].users--; a.steps[key].users == 0 {
				delete(a.steps, key)
			}
		}
	}, nil
}

// take attaches the volumes of a command that has these mounts, and returns them
// with the mounts without the mark; nil = it has none.
func (a *attachments) take(ctx context.Context, mounts []executor.Mount) (build.Volumes, []executor.Mount, error) {
	at := slices.IndexFunc(mounts, func(m executor.Mount) bool { return strings.HasPrefix(m.Dest, volumesMark) })
	if at < 0 {
		return nil, mounts, nil
	}
	key := strings.TrimPrefix(mounts[at].Dest, volumesMark)
	mounts = slices.Delete(slices.Clone(mounts), at, at+1)
	a.mu.Lock()
	found := a.steps[key]
	a.mu.Unlock()
	if found == nil {
		return nil, mounts, errors.New("the step's volumes are not known any more")
	}
	v, err := found.attach(ctx)
	return v, mounts, err
}

// volumeMounts are the volumes as mounts of a build step.
func volumeMounts(v build.Volumes) []executor.Mount {
	var list []executor.Mount
	for _, m := range v.Mounts() {
		list = append(list, executor.Mount{Src: volumePath{m}, Dest: m.Target, Readonly: m.ReadOnly})
	}
	return list
}

// volumePath is one volume.
type volumePath struct{ build.VolumeMount }

// Mount implements executor.Mountable.
func (p volumePath) Mount(context.Context, bool) (executor.MountableRef, error) {
	return volumeOverlay(p), nil
}

// volumeOverlay is the mount itself.
type volumeOverlay struct{ build.VolumeMount }

func (p volumeOverlay) IdentityMapping() *user.IdentityMapping { return nil }

// Mount implements executor.MountableRef.
func (p volumeOverlay) Mount() ([]mount.Mount, func() error, error) {
	options := []string{"lowerdir=" + strings.Join(p.Lower, ":"), "redirect_dir=on", "index=off", "metacopy=off", "xino=off", "nosuid", "nodev"}
	if p.ReadOnly {
		options = append(options, "ro")
	} else {
		options = append(options, "upperdir="+p.Upper, "workdir="+p.Work)
	}
	overlay := mount.Mount{Type: "overlay", Source: "overlay", Options: options}
	if p.SubPath != "" {
		return p.part(overlay)
	}
	return []mount.Mount{overlay}, func() error { return nil }, nil
}

// part is a folder of the overlay. Nobody else has that yet.
func (p volumeOverlay) part(overlay mount.Mount) ([]mount.Mount, func() error, error) {
	whole := snapshot.LocalMounterWithMounts([]mount.Mount{overlay})
	dir, err := whole.Mount()
	if err != nil {
		return nil, nil, err
	}
	if err := p.makePart(dir); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the folder %q of the volume at %s: %w", p.SubPath, p.Target, err), whole.Unmount())
	}
	options := []string{"rbind", "nosuid", "nodev"}
	if p.ReadOnly {
		options = append(options, "ro")
	}
	return []mount.Mount{{Type: "bind", Source: filepath.Join(dir, p.SubPath), Options: options}}, whole.Unmount, nil
}

// makePart makes the folder if it is missing, and sees to it that it is one of
// the volume: links must not lead out of it.
func (p volumeOverlay) makePart(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if !p.ReadOnly {
		if err := root.MkdirAll(p.SubPath, 0o755); err != nil {
			return err
		}
	}
	folder, err := root.OpenRoot(p.SubPath)
	if err != nil {
		return err
	}
	return folder.Close()
}
