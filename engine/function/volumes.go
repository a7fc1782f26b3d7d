package function

import (
	"context"

	"github.com/gx-dev/gx/engine/container"
)

// attach prepares the function's volumes for a container.
func (m *member) attach(spec *container.Spec) error {
	volumes := m.version().Spec.Volumes
	if len(volumes) == 0 {
		return nil
	}
	var err error
	if m.volumes, err = m.f.host.Volumes.Attach(m.f.ctx, m.id, volumes); err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, m.volumes.Mounts()...)
	return nil
}

// detach commits what a container has changed in its volumes, if it has ended as
// it should: because nothing was left to do, or because it was asked to. What one
// that was killed, or has crashed, has not committed is discarded.
func (m *member) detach(why *failure) {
	if m.volumes == nil {
		return
	}
	f := m.f
	if why == nil && m.bye {
		if err := m.volumes.Commit(context.WithoutCancel(f.ctx), "when its container ended"); err != nil {
			f.log.Error("what a container has changed in a volume is lost", "container", m.id, "error", err)
			f.say(m.id, "", 0, "what the container has changed in a volume is lost: %v", err)
		}
	}
	if err := m.volumes.Close(); err != nil {
		f.log.Error("what a container has left of a volume is not removed", "container", m.id, "error", err)
	}
}
