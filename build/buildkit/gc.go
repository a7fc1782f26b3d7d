//go:build linux

package buildkit

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client"

	"github.com/gx-dev/gx/build"
)

// Usage tells what the store occupies.
func (e *Engine) Usage(ctx context.Context) (build.Usage, error) {
	layers, err := e.server.client.DiskUsage(ctx)
	if err != nil {
		return build.Usage{}, fmt.Errorf("asking BuildKit what its store occupies: %w", err)
	}
	var usage build.Usage
	size := make(map[string]int64, len(layers))
	for _, l := range layers {
		size[l.ID] = l.Size
		usage.Bytes += l.Size
		if l.InUse {
			usage.InUse += l.Size
		}
	}
	e.mu.Lock()
	pinned := make(map[string]bool, len(e.held))
	for id, h := range e.held {
		pinned[id] = h.pins > 0
	}
	e.mu.Unlock()
	for _, rec := range e.records.all() {
		bytes, there := size[rec.Ref]
		if !there {
			continue // collected
		}
		names := make([]string, len(rec.Steps))
		for i, step := range rec.Steps {
			names[i] = build.StepName(step)
		}
		usage.Images = append(usage.Images, build.ImageUsage{
			ID: rec.ID, Bytes: bytes, Created: rec.Created, LastUsed: rec.LastUsed, InUse: pinned[rec.ID], Steps: names,
		})
	}
	return usage, nil
}

// Prune deletes what is not pinned, least recently used first, until the store
// is at most keep bytes.
func (e *Engine) Prune(ctx context.Context, keep int64, all bool) (build.Usage, error) {
	before, err := e.Usage(ctx)
	if err != nil {
		return build.Usage{}, err
	}
	if before.Bytes > keep || all {
		for _, h := range e.idle() {
			h.drop()
		}
		options := []client.PruneOption{client.WithKeepOpt(0, 0, keep, 0)}
		if all || keep == 0 {
			options = []client.PruneOption{client.PruneAll}
			if keep > 0 {
				options = append(options, client.WithKeepOpt(0, 0, keep, 0))
			}
		}
		if err := e.server.client.Prune(ctx, nil, options...); err != nil {
			return build.Usage{}, fmt.Errorf("pruning BuildKit's store: %w", err)
		}
	}
	after, err := e.Usage(ctx)
	if err != nil {
		return build.Usage{}, err
	}
	after.Freed = max(0, before.Bytes-after.Bytes)
	remaining := make(map[string]bool, len(after.Images))
	for _, image := range after.Images {
		remaining[image.ID] = true
	}
	for _, image := range before.Images {
		if !remaining[image.ID] {
			e.records.evicted(image.ID)
		}
	}
	return after, nil
}
