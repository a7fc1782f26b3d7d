package function

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/gpu"
)

// equip gives the container the cards that it was set aside.
func (m *member) equip(spec *container.Spec) error {
	cards := m.set().Cards
	if cards.Count == 0 {
		return nil
	}
	if m.f.host.GPUs == nil {
		return errors.New("the host has no GPUs")
	}
	lease, err := m.f.host.GPUs.Grant(m.f.ctx, m.id, cards)
	if err != nil {
		return fmt.Errorf("a GPU for the container: %w", err)
	}
	m.lease.Store(&lease)
	spec.Edits, err = lease.Edits(spec.Env)
	if err != nil {
		return fmt.Errorf("a GPU for the container: %w", err)
	}
	return nil
}

// observe has the cards follow what the container does.
func (m *member) observe(c container.Container) {
	lease := m.lease.Load()
	if lease == nil {
		return
	}
	var alive func(pid int) bool
	if knows, ok := c.(interface{ Has(pid int) bool }); ok {
		alive = knows.Has
	}
	(*lease).Observe(gpu.Observer{
		Alive: alive,
		Load: func() (time.Duration, error) {
			stats, err := c.Stats()
			return stats.CPU, err
		},
		Health: func(e gpu.Event) {
			m.f.say(m.id, "", 0, "%s", e.Line())
			if e.Critical {
				m.drain(e)
			}
		},
	})
}

// giveBack gives the container's cards back. It has ended, or never begun.
func (m *member) giveBack() {
	if lease := m.lease.Load(); lease != nil {
		if err := (*lease).Release(); err != nil {
			m.f.log.Error("a container's GPU is not given back", "container", m.id, "error", err)
		}
	}
}

// describeCards adds the container's cards to what is told of it.
func (m *member) describeCards(c *api.Container) {
	lease := m.lease.Load()
	if lease == nil {
		return
	}
	devices, err := (*lease).Devices()
	if err != nil || len(devices) == 0 {
		return
	}
	c.GPU, c.GPUs, c.Emulated = devices[0].Card, len(devices), m.f.host.GPUs.Emulated()
	for _, d := range devices {
		c.GPUMemory += d.Memory
		c.GPUUsed += d.Used
		c.GPULoad += float64(d.Util) / float64(len(devices))
	}
}

// Waits is what inputs of the function wait for that the host is short of, as
// its app was told; false = they do not.
func (f *Function) Waits() (api.Waiting, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.short == "" || f.queue.Len() == 0 || slices.ContainsFunc(f.members, func(m *member) bool { return m.state != stopping }) {
		return api.Waiting{}, false
	}
	return api.Waiting{Function: f.Name(), Inputs: f.queue.Len(), For: f.short}, true
}

// equipTemplate gives a template cards of the kind that its containers have, so
// that code which looks at them while it is imported finds them. They are
// nobody's, and nothing can be computed on real ones: there is no template then.
func (f *Function) equipTemplate(ctx context.Context, v *Version, spec *container.Spec) (release func(), err error) {
	cards := v.Choices[0].Cards
	if cards.Count == 0 {
		return func() {}, nil
	}
	pretender, able := f.host.GPUs.(Pretender)
	if !able {
		return nil, &container.RefusedError{Reason: "it has a GPU, whose driver can't be shared by a fork"}
	}
	lease, err := pretender.Pretend(ctx, spec.ID, cards)
	if err != nil {
		return nil, fmt.Errorf("a GPU for the template: %w", err)
	}
	release = func() {
		if err := lease.Release(); err != nil {
			f.log.Error("a template's GPU is not given back", "container", spec.ID, "error", err)
		}
	}
	if spec.Edits, err = lease.Edits(spec.Env); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Pretender is a gpu.Provider whose containers can be forked from a template.
type Pretender interface {
	// Pretend is Grant without taking the cards from anybody, for a template.
	Pretend(ctx context.Context, container string, c gpu.Choice) (gpu.Lease, error)
}
