package engine

import (
	"context"
	"fmt"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/volume"
)

// stepVolumes finds the volumes of an image's steps, which get their ids. in is
// the environment of those that name none.
func (e *Engine) stepVolumes(ctx context.Context, in string, steps []app.Step) error {
	for i := range steps {
		step := &steps[i]
		if len(step.Volumes) == 0 {
			continue
		}
		where := fmt.Sprintf("the image's step %s", step.Op)
		if step.File != "" {
			where += fmt.Sprintf(" (%s, line %d)", step.File, step.Line)
		}
		if why := e.unable(step.Volumes); why != "" {
			return invalid("%s: %s", where, why)
		}
		found, err := e.volumes.Resolve(ctx, in, step.Volumes)
		if err != nil {
			return secretError(err, "%s", where)
		}
		step.Volumes = found
	}
	return nil
}

// attachVolumes has a build step that is about to run have its volumes, at their
// newest versions.
func (e *Engine) attachVolumes(ctx context.Context, step app.Step) (build.Volumes, error) {
	set, err := e.volumes.Attach(ctx, call.NewID("bu"), step.Volumes)
	if err != nil {
		if ask.Kind(err) == ask.KindNotFound {
			err = fmt.Errorf("a volume of the step was deleted meanwhile: %w", err)
		}
		return nil, err
	}
	return &attached{set}, nil
}

// attached are the volumes of a build step.
type attached struct{ set *volume.Set }

// Mounts implements build.Volumes.
func (a *attached) Mounts() []build.VolumeMount {
	var list []build.VolumeMount
	for _, m := range a.set.Mounts() {
		list = append(list, build.VolumeMount{Target: m.Target, ReadOnly: m.ReadOnly, Lower: m.Overlay.Lower, Upper: m.Overlay.Upper, Work: m.Overlay.Work, SubPath: m.Overlay.SubPath})
	}
	return list
}

// Commit implements build.Volumes.
func (a *attached) Commit(ctx context.Context) error {
	return a.set.Commit(ctx, "when a step of an image had run")
}

// Close implements build.Volumes.
func (a *attached) Close() error { return a.set.Close() }
