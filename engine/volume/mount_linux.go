package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/volume/layer"
)

// Mount is a volume in a container: a version of it under a writable layer.
type Mount struct {
	store     *Store
	volume    string // id
	container string
	spec      app.VolumeMount
	dir       string // of what is its own

	mu      sync.Mutex // held while a commit or a reload is going on
	running container.Container
	ended   bool // the container has: nobody writes any more
	closed  bool
	view    view
}

// view is what a container sees of a volume, until it is reloaded.
type view struct {
	generation int      // numbers the writable layers
	base       []string // layers below the writable one
	seen       []string // what the container has seen of the volume's versions, with what it has committed
	known      layer.Stamps
	pins       []func() // of all of these layers
}

func (v *view) release() {
	for _, unpin := range v.pins {
		unpin()
	}
	v.pins = nil
}

// Set are all volumes of one container.
type Set struct {
	store     *Store
	container string
	mounts    []*Mount
}

// Attach prepares volumes for a container, at their newest versions.
func (s *Store) Attach(ctx context.Context, containerID string, specs []app.VolumeMount) (_ *Set, err error) {
	set := &Set{store: s, container: containerID}
	defer func() {
		if err != nil {
			err = errors.Join(err, set.Close())
		}
	}()
	for i, spec := range specs {
		m := &Mount{
			store: s, volume: spec.Volume, container: containerID, spec: spec,
			dir: filepath.Join(s.mountsDir(), containerID+"-"+strconv.Itoa(i)),
		}
		v, release, err := s.hold(ctx, spec.Volume, nil)
		if err != nil {
			return nil, fmt.Errorf("the volume at %s: %w", spec.Path, err)
		}
		m.view = view{base: v.layers, seen: v.layers, pins: []func(){release}}
		set.mounts = append(set.mounts, m)
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			return nil, fmt.Errorf("preparing the volume at %s: %w", spec.Path, err)
		}
		if err := m.prepare(m.view); err != nil {
			return nil, fmt.Errorf("preparing the volume at %s: %w", spec.Path, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounts[containerID] = set.mounts
	return set, nil
}

// Mounts are what the container is started with.
func (set *Set) Mounts() []container.Mount {
	var list []container.Mount
	for _, m := range set.mounts {
		list = append(list, m.mount(m.view))
	}
	return list
}

// Running tells in which container the volumes are, once it has started.
func (set *Set) Running(c container.Container) {
	for _, m := range set.mounts {
		m.mu.Lock()
		m.running = c
		m.mu.Unlock()
	}
}

// Commit makes new versions of what the container, which has ended, has changed.
// note says in their history when that was.
func (set *Set) Commit(ctx context.Context, note string) error {
	var failed error
	for _, m := range set.mounts {
		if m.spec.ReadOnly {
			continue
		}
		m.mu.Lock()
		m.ended = true
		_, err := m.commit(ctx, note)
		m.mu.Unlock()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("committing the volume at %s: %w", m.spec.Path, err))
		}
	}
	return failed
}

// Close forgets the volumes of a container of which nothing is left, with what
// it has not committed.
func (set *Set) Close() error {
	s := set.store
	s.mu.Lock()
	delete(s.mounts, set.container)
	s.mu.Unlock()
	var failed error
	for _, m := range set.mounts {
		m.mu.Lock()
		m.closed = true
		m.view.release()
		failed = errors.Join(failed, s.removeMount(filepath.Base(m.dir)))
		m.mu.Unlock()
	}
	s.kick()
	return failed
}

func (m *Mount) upper(v view) string {
	return filepath.Join(m.dir, "upper-"+strconv.Itoa(v.generation))
}
func (m *Mount) work(v view) string { return filepath.Join(m.dir, "work-"+strconv.Itoa(v.generation)) }

// prepare makes the writable layer of a view.
func (m *Mount) prepare(v view) error {
	if m.spec.ReadOnly {
		return nil
	}
	if err := layer.NewUpper(m.upper(v), m.store.dirs(v.base)); err != nil {
		return err
	}
	return os.Mkdir(m.work(v), 0o700)
}

// mount is the overlay that shows a view.
func (m *Mount) mount(v view) container.Mount {
	// Without layers there is nothing below the writable one, and without that
	// an overlay needs two.
	o := &container.Overlay{Lower: append(m.store.dirs(v.base), m.store.emptyDir(0)), SubPath: m.spec.SubPath}
	if m.spec.ReadOnly {
		o.Lower = append(o.Lower, m.store.emptyDir(1))
	} else {
		o.Upper, o.Work = m.upper(v), m.work(v)
	}
	return container.Mount{Target: m.spec.Path, ReadOnly: m.spec.ReadOnly, Overlay: o}
}

// Commit makes a new version of what a running container has changed in a
// volume.
func (s *Store) Commit(ctx context.Context, containerID, volume string) (int, error) {
	mounts, err := s.mounted(containerID, volume, "commit")
	if err != nil {
		return 0, err
	}
	number, writable := 0, false
	for _, m := range mounts {
		if m.spec.ReadOnly {
			continue
		}
		writable = true
		m.mu.Lock()
		if m.closed {
			err = ask.Refused("the container is ending")
		} else {
			number, err = m.commit(ctx, "")
		}
		m.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
	if !writable {
		return 0, ask.Refused("the volume at %s is mounted read-only: there is nothing to commit", mounts[0].spec.Path)
	}
	return number, nil
}

// mounted finds a volume's mounts in a container.
func (s *Store) mounted(containerID, volume, doing string) ([]*Mount, error) {
	if containerID == "" {
		return nil, ask.Refused("%s is for code in a container that has the volume mounted; from elsewhere, use batch_upload and the other methods, which need no commit", doing)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Mount
	for _, m := range s.mounts[containerID] {
		if m.volume == volume {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil, ask.Refused("%s: the volume is not mounted in this container; name it in the function's volumes={...}", doing)
	}
	return list, nil
}

// users lists the containers that have a volume mounted.
func (s *Store) users(volume string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for id, mounts := range s.mounts {
		if slices.ContainsFunc(mounts, func(m *Mount) bool { return m.volume == volume }) {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// containers names some containers for a user.
func containers(ids []string) string {
	const most = 5
	if len(ids) > most {
		return fmt.Sprintf("%s and %d more containers", strings.Join(ids[:most], ", "), len(ids)-most)
	}
	return "container " + strings.Join(ids, ", ")
}
