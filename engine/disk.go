package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/api"
)

const (
	// tidyEvery is how often the engine looks whether it keeps too much.
	tidyEvery = 5 * time.Minute
	// floor is how much of the file system stays free, as far as that is up to
	// what the engine keeps for later.
	floor = 2 << 30
	// unusedTrees is how long source trees are kept for the next app.
	unusedTrees = time.Hour
)

// Disk tells what the engine's state occupies.
func (e *Engine) Disk(ctx context.Context) (api.Disk, error) {
	d := api.Disk{Budget: e.cfg.Budget}
	images, err := e.cfg.Images.Usage(ctx)
	d.Images = images.Bytes
	var failed error
	d.Blobs, failed = e.blobs.Usage()
	err = errors.Join(err, failed)
	d.Logs, failed = e.logs.Usage()
	err = errors.Join(err, failed)
	d.Journals, failed = e.journals.Usage()
	err = errors.Join(err, failed)
	d.Free, failed = e.free()
	return d, errors.Join(err, failed)
}

// free is how many bytes are free on the file system.
func (e *Engine) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(e.cfg.Dir, &st); err != nil {
		return 0, fmt.Errorf("examining the file system of %s: %w", e.cfg.Dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert,gosec // the types differ between systems
}

// housekeep tidies up now and then, until the engine closes.
func (e *Engine) housekeep() {
	due := make(chan struct{}, 1)
	timer := e.cfg.Clock.AfterFunc(tidyEvery, func() {
		select {
		case due <- struct{}{}:
		default:
		}
	})
	defer timer.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-e.closing:
			return
		case <-due:
			if err := e.tidy(ctx); err != nil {
				e.cfg.Log.Error("what is not needed cannot be removed", "error", err)
			}
			timer.Reset(tidyEvery)
		}
	}
}

// tidy removes what is too old or too much: an eighth of the budget is for
// logs, a quarter for blobs, the rest for images.
func (e *Engine) tidy(ctx context.Context) error {
	e.images.release(keepBuilt)
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	for _, a := range apps {
		for _, d := range a.definitions() {
			d.tidy(e.cfg.Clock.Now())
		}
	}
	e.trimDeployed(ctx)
	err := e.sources.Collect(unusedTrees)
	_, failed := e.logs.Collect(0)
	err = errors.Join(err, failed)
	err = errors.Join(err, e.journals.Collect(0), e.spawned.Collect(ctx))
	free, failed := e.free()
	err = errors.Join(err, failed)
	blobs, images := e.cfg.Budget/4, e.cfg.Budget/8*5
	if failed == nil && free < floor {
		// The disk is full: what can be made again goes first.
		blobs = 0
		err = errors.Join(err, e.journals.Collect(1))
		if usage, failed := e.cfg.Images.Usage(ctx); failed == nil {
			images = min(images, max(0, usage.Bytes-(floor-free)))
		}
	}
	_, failed = e.blobs.Collect(blobs)
	err = errors.Join(err, failed)
	usage, failed := e.cfg.Images.Usage(ctx)
	if failed == nil && usage.Bytes > images {
		_, failed = e.cfg.Images.Prune(ctx, images, false)
	}
	return errors.Join(err, failed)
}
