package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/clock"
)

// keepBuilt is how long an image that was built, or that an app has used, is
// pinned for the next app.
const keepBuilt = 10 * time.Minute

// imageCache keeps pins of images, so that an app that starts finds what was
// built for it. It is safe for concurrent use.
type imageCache struct {
	clock clock.Clock
	mu    sync.Mutex
	pins  map[string]*pin
}

type pin struct {
	image build.Image
	used  time.Time
}

func newImageCache(c clock.Clock) *imageCache {
	return &imageCache{clock: c, pins: map[string]*pin{}}
}

// put takes over a pin.
func (c *imageCache) put(image build.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.pins[image.ID()]; old != nil {
		old.image.Release()
	}
	c.pins[image.ID()] = &pin{image: image, used: c.clock.Now()}
}

// get returns a pin of its own.
func (c *imageCache) get(id string) (build.Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pins[id]
	if p == nil {
		return nil, fmt.Errorf("image %s is not at hand (it was built too long ago, or by another host): build it again: %w", id, ErrNotFound)
	}
	p.used = c.clock.Now()
	return p.image.Retain(), nil
}

// all returns pins of several images.
func (c *imageCache) all(ids []string) ([]build.Image, error) {
	var list []build.Image
	for _, id := range ids {
		image, err := c.get(id)
		if err != nil {
			release(list)
			return nil, err
		}
		list = append(list, image)
	}
	return list, nil
}

// release lets go of images that were not used for a time.
func (c *imageCache) release(unused time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.pins {
		if c.clock.Now().Sub(p.used) >= unused {
			p.image.Release()
			delete(c.pins, id)
		}
	}
}

func (c *imageCache) close() { c.release(0) }

// Build builds an image from contents that were uploaded, or finds it, and
// keeps it at hand for StartApp. notes are what the engine could not honour.
// The error of a step that failed has a *build.StepError in its chain.
func (e *Engine) Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (id string, notes []string, err error) {
	end, err := e.begin()
	if err != nil {
		return "", nil, err
	}
	defer end()
	if err := checkImage(&req.Image); err != nil {
		return "", nil, err
	}
	log := e.buildLogs.Record(req.Image.Steps, req.Python)
	// Values that are found out here are the build's alone.
	if req.Image, err = e.resolveSteps(ctx, req.Environment, req.Image); err != nil {
		return "", nil, err
	}
	if err := e.stepVolumes(ctx, req.Environment, req.Image.Steps); err != nil { // a clone of those that were asked for
		return "", nil, err
	}
	image, err := e.cfg.Images.Build(ctx, build.Request{Recipe: req.Image, Python: req.Python, Open: e.openBlob, Attach: e.attachVolumes}, func(ev build.Event) {
		log.Event(ev)
		if events != nil {
			events(ev)
		}
	})
	if failed := log.End(); failed != nil {
		e.cfg.Log.Warn("what an image's steps printed is not kept", "error", failed)
	}
	if err != nil {
		return "", nil, err
	}
	id, notes = image.ID(), image.Unhonoured()
	e.images.put(image)
	return id, notes, nil
}

func (e *Engine) openBlob(sum string) (io.ReadCloser, error) {
	f, err := e.blobs.Open(sum)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("a file of the image was not uploaded: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ImageLogs is what the steps of an image printed when they were carried out.
func (e *Engine) ImageLogs(id string) ([]api.ImageStep, error) { return e.buildLogs.Read(id) }

// ImageUsage tells what the images occupy.
func (e *Engine) ImageUsage(ctx context.Context) (build.Usage, error) { return e.cfg.Images.Usage(ctx) }

// Prune removes images that nothing uses until at most so many bytes are left.
func (e *Engine) Prune(ctx context.Context, req api.PruneRequest) (build.Usage, error) {
	end, err := e.begin()
	if err != nil {
		return build.Usage{}, err
	}
	defer end()
	if req.Keep < 0 {
		return build.Usage{}, fmt.Errorf("%d bytes cannot be kept: %w", req.Keep, ErrInvalid)
	}
	e.images.release(0) // apps have their own pins
	return e.cfg.Images.Prune(ctx, req.Keep, req.All)
}
