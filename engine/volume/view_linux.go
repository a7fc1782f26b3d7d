package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/volume/layer"
)

// commit publishes what is different from what was seen. mu is held.
func (m *Mount) commit(ctx context.Context, note string) (int, error) {
	s := m.store
	if err := s.bound(ctx, m.volume); err != nil {
		return 0, err
	}
	d, id, release, err := s.draft()
	if err != nil {
		return 0, err
	}
	known, err := m.diff(d, !m.ended)
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		release()
		return 0, errors.Join(fmt.Errorf("taking the changes in %s: %w", m.spec.Path, err), d.Discard())
	}
	seen, closeSeen, err := s.tree(m.view.seen)
	if err != nil {
		release()
		return 0, errors.Join(err, d.Discard())
	}
	defer closeSeen()
	number, err := s.publish(ctx, m.volume, d, id, seen, m.container, note)
	if err != nil {
		release()
		return 0, err
	}
	m.view.known = known
	if !s.exists(id) { // nothing was different
		release()
		return number, nil
	}
	m.view.pins = append(m.view.pins, release)
	m.view.seen = slices.Insert(slices.Clone(m.view.seen), 0, id)
	if err := m.shorten(); err != nil {
		return number, err
	}
	if _, bytes := d.Size(); bytes > renewBytes || len(known) > renewFiles {
		m.renew(ctx)
	}
	return number, nil
}

// A writable layer with more than this, all of it committed, is exchanged for an
// empty one: it is on the disk twice, and every further commit looks through it.
const (
	renewFiles = 1000
	renewBytes = 64 << 20
)

// renew gives a running container an empty writable layer over what it has
// committed, if nothing of the volume is in use at the moment. What it sees is
// the same. mu is held.
func (m *Mount) renew(ctx context.Context) {
	if m.ended || m.running == nil {
		return
	}
	next := view{generation: m.view.generation + 1, base: m.view.seen, seen: m.view.seen, pins: []func(){m.store.pin(m.view.seen)}}
	err := m.exchange(ctx, next)
	if _, busy := errors.AsType[*container.BusyError](err); err != nil && !busy {
		m.store.cfg.Log.Warn("a container's writable layer stays as large as it is", "container", m.container, "error", err)
	}
}

func (s *Store) exists(id string) bool {
	_, err := os.Lstat(s.layerDir(id))
	return err == nil
}

// diff puts into a draft what the container has changed. It goes on changing
// things if it is live.
func (m *Mount) diff(d *layer.Draft, live bool) (layer.Stamps, error) {
	base, closeBase, err := m.store.tree(m.view.base)
	if err != nil {
		return nil, err
	}
	defer closeBase()
	seen, closeSeen, err := m.store.tree(m.view.seen)
	if err != nil {
		return nil, err
	}
	defer closeSeen()
	return layer.Diff(d, layer.Upper{Dir: m.upper(m.view), Base: base, Live: live}, seen, m.view.known)
}

// maxOwn is how many commits of a container are compared with one by one.
const maxOwn = 24

// shorten squashes the layers that the container has committed.
func (m *Mount) shorten() error {
	base, seen := m.view.base, m.view.seen
	shared := 0
	for shared < len(seen) && shared < len(base) && seen[len(seen)-1-shared] == base[len(base)-1-shared] {
		shared++
	}
	own := len(seen) - shared
	if own <= maxOwn {
		return nil
	}
	squashed, release, err := m.store.squash(seen, own)
	if err != nil {
		return err
	}
	m.view.pins = append(m.view.pins, release)
	m.view.seen = slices.Insert(slices.Clone(seen[own:]), 0, squashed.id)
	return nil
}

// Reload shows a running container the newest version of a volume. What it has
// not committed stays.
func (s *Store) Reload(ctx context.Context, containerID, volume string) (int, error) {
	mounts, err := s.mounted(containerID, volume, "reload")
	if err != nil {
		return 0, err
	}
	number := 0
	for _, m := range mounts {
		m.mu.Lock()
		number, err = m.reload(ctx)
		m.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
	return number, nil
}

// reload shows the newest version. mu is held.
func (m *Mount) reload(ctx context.Context) (int, error) {
	newest, release, err := m.store.hold(ctx, m.volume, nil)
	if err != nil {
		return 0, err
	}
	next := view{generation: m.view.generation + 1, base: newest.layers, seen: newest.layers, pins: []func(){release}}
	err = m.exchange(ctx, next)
	if busy, ok := errors.AsType[*container.BusyError](err); ok {
		return 0, ask.Conflict("the volume at %s cannot be reloaded while files in it are open: %s", m.spec.Path, strings.Join(busy.Names, ", "))
	}
	if err != nil {
		return 0, fmt.Errorf("reloading the volume at %s: %w", m.spec.Path, err)
	}
	return newest.Version, nil
}

// exchange shows another view, with what is not committed on top. mu is held.
func (m *Mount) exchange(ctx context.Context, next view) error {
	can, able := m.running.(container.Remounter)
	if m.closed || m.ended || !able {
		next.release()
		return ask.Refused("the container is starting or ending")
	}
	// The container stands still meanwhile, so its writable layer is not written.
	err := can.Remount(ctx, m.spec.Path, func() (container.Mount, error) {
		if err := m.carry(&next); err != nil {
			return container.Mount{}, err
		}
		return m.mount(next), m.prepare(next)
	})
	if err != nil {
		next.release()
		return errors.Join(err, m.drop(next))
	}
	old := m.view
	m.view = next
	old.release()
	m.store.tidy.Go(func() { // there may be much in it
		if err := m.drop(old); err != nil {
			m.store.cfg.Log.Error("a container's writable layer is not wholly removed", "container", m.container, "error", err)
		}
	})
	return nil
}

// drop removes the writable layer of a view.
func (m *Mount) drop(v view) error {
	if m.spec.ReadOnly {
		return nil
	}
	return errors.Join(os.RemoveAll(m.upper(v)), os.RemoveAll(m.work(v)))
}

// carry puts what is not committed into a layer of the next view, which is in
// no version.
func (m *Mount) carry(next *view) error {
	if m.spec.ReadOnly {
		return nil
	}
	s := m.store
	d, id, release, err := s.draft()
	if err != nil {
		return err
	}
	next.pins = append(next.pins, release)
	if err := m.carryInto(d, next); err != nil {
		return errors.Join(err, d.Discard())
	}
	if d.Empty() {
		return d.Discard()
	}
	next.base = slices.Insert(slices.Clone(next.base), 0, id)
	return d.Seal()
}

func (m *Mount) carryInto(d *layer.Draft, next *view) error {
	if _, err := m.diff(d, false); err != nil {
		return err
	}
	below, closeBelow, err := m.store.tree(next.base)
	if err != nil {
		return err
	}
	defer closeBelow()
	seen, closeSeen, err := m.store.tree(m.view.seen)
	if err != nil {
		return err
	}
	defer closeSeen()
	_, err = d.Settle(below, seen)
	return err
}
