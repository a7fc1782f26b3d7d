//go:build linux

package buildkit

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/moby/buildkit/cache"

	"github.com/gx-dev/gx/build"
)

// held is a finished image that the engine keeps from collection. It is kept
// for as long as it has pins, and after that until something is pruned, so
// that the next build of the same recipe costs no solve.
type held struct {
	engine  *Engine
	id      string
	ref     cache.ImmutableRef
	unmount func() error
	lower   []string
	config  build.Config
	pins    int // guarded by engine.mu
}

func (h *held) drop() {
	_ = h.unmount()
	_ = h.ref.Release(context.Background())
}

// hold puts a new image in place of an older one and pins it.
func (e *Engine) hold(h *held) build.Image {
	e.mu.Lock()
	older := e.held[h.id]
	e.held[h.id] = h
	h.pins++
	unpinned := older != nil && older.pins == 0
	e.mu.Unlock()
	if unpinned {
		older.drop()
	}
	return &image{held: h}
}

// pin returns a pin of an image that is held, or nil.
func (e *Engine) pin(id string) build.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.held[id]
	if h == nil {
		return nil
	}
	h.pins++
	return &image{held: h}
}

// unpin takes one pin back. An image that was replaced meanwhile goes with its
// last pin.
func (e *Engine) unpin(h *held) {
	e.mu.Lock()
	h.pins--
	gone := h.pins == 0 && e.held[h.id] != h
	e.mu.Unlock()
	if gone {
		h.drop()
	}
}

// idle takes the images without pins out of the engine's hands.
func (e *Engine) idle() []*held {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*held
	for id, h := range e.held {
		if h.pins == 0 {
			out = append(out, h)
			delete(e.held, id)
		}
	}
	return out
}

// image is one pin.
type image struct {
	held *held
	once sync.Once
}

func (i *image) ID() string           { return i.held.id }
func (i *image) Root() build.Root     { return build.Root{Lower: i.held.lower} }
func (i *image) Config() build.Config { return i.held.config }
func (i *image) Unhonoured() []string { return nil }
func (i *image) Release()             { i.once.Do(func() { i.held.engine.unpin(i.held) }) }

func (i *image) Kept() build.Kept {
	return build.Kept{ID: i.held.id, Ref: i.held.ref.ID(), Config: i.held.config}
}

// Open finds an image by the layer that it ends with.
func (e *Engine) Open(ctx context.Context, kept build.Kept) (build.Image, error) {
	if image := e.pinRef(kept); image != nil {
		return image, nil
	}
	lock := e.makingLock(kept.ID)
	lock.Lock()
	defer lock.Unlock()
	if image := e.pinRef(kept); image != nil {
		return image, nil
	}
	ref, err := e.server.layers.Get(ctx, kept.Ref, nil)
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w: %w", kept.ID, build.ErrGone, err)
	}
	lower, unmount, err := lowerDirs(ctx, ref)
	if err == nil {
		err = present(lower)
		if err != nil {
			_ = unmount()
		}
	}
	if err != nil {
		_ = ref.Release(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("opening image %s: %w", kept.ID, err)
	}
	h := &held{engine: e, id: kept.ID, ref: ref, unmount: unmount, lower: lower, config: kept.Config}
	// The next build of the recipe finds it, if it is what the recipe made last.
	if rec, err := e.records.load(kept.ID); err == nil && rec.Ref == kept.Ref {
		return e.hold(h), nil
	}
	h.pins = 1
	return &image{held: h}, nil
}

// pinRef pins an image that is held, if it is the very one.
func (e *Engine) pinRef(kept build.Kept) build.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.held[kept.ID]
	if h == nil || h.ref.ID() != kept.Ref {
		return nil
	}
	h.pins++
	return &image{held: h}
}

// present reports layers that somebody has deleted behind BuildKit's back.
func present(lower []string) error {
	for _, dir := range lower {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("%w: %w", build.ErrGone, err)
		}
	}
	return nil
}

func (i *image) Retain() build.Image {
	e := i.held.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	i.held.pins++
	return &image{held: i.held}
}
