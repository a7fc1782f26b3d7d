package function

import (
	"context"
	"errors"
	"syscall"
	"time"

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
		if err := m.commit(); err != nil {
			f.log.Error("what a container has changed in a volume is lost", "container", m.id, "error", err)
			f.say(m.id, "", 0, "what the container has changed in a volume is lost: %v", err)
		}
	}
	if err := m.volumes.Close(); err != nil {
		f.log.Error("what a container has left of a volume is not removed", "container", m.id, "error", err)
	}
}

// A commit that meets a full disk is tried again for a while: what the container
// has written is on the disk.
const (
	lookForSpace = time.Second
	spaceTries   = 60
)

// commit commits what a container has changed, which has ended.
func (m *member) commit() error {
	f := m.f
	for tries := 0; ; tries++ {
		err := m.volumes.Commit(context.WithoutCancel(f.ctx), "when its container ended")
		f.mu.Lock()
		if m.killer != nil {
			m.killer.Stop() // the container has ended
		}
		hurried := m.killed // somebody does not wait any more
		f.mu.Unlock()
		if !errors.Is(err, syscall.ENOSPC) || tries == spaceTries || hurried {
			return err
		}
		if tries == 0 {
			f.say(m.id, "", 0, "the disk is full: what the container has changed in a volume is kept once there is room, if that is within %v", spaceTries*lookForSpace)
		}
		look := make(chan struct{})
		f.host.Clock.AfterFunc(lookForSpace, func() { close(look) })
		<-look
	}
}
