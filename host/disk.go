package host

import (
	"context"
	"fmt"
	"syscall"

	"github.com/gx-dev/gx/build"
)

const (
	budgetMost  = 50 << 30 // bytes, unless the user says otherwise
	budgetShare = 5        // one part in so many of the file system
)

// budget is what the host's state may occupy, in bytes.
func budget(cfg Config) int64 {
	if cfg.Settings.DiskBudget > 0 {
		return int64(cfg.Settings.DiskBudget)
	}
	total, _ := fileSystem(cfg.Dirs.State)
	if total == 0 {
		return budgetMost
	}
	return min(total/budgetShare, budgetMost)
}

// fileSystem tells the size of a path's file system and what is free, in bytes.
func fileSystem(path string) (total, free int64) {
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return 0, 0
	}
	return int64(s.Blocks) * int64(s.Bsize), int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // the types differ between systems
}

// tidied is an image builder whose downloads go with what is pruned. When and
// how much that is, decides the engine.
type tidied struct {
	build.Engine
	// tidy deletes what was downloaded; with all, also what was made of it.
	tidy func(ctx context.Context, all bool) (freed int64, err error)
}

// Prune prunes images if the store has more than keep, and downloads with them.
func (t tidied) Prune(ctx context.Context, keep int64, all bool) (build.Usage, error) {
	usage, err := t.Engine.Prune(ctx, keep, all)
	if err != nil {
		return usage, err
	}
	freed, err := t.tidy(ctx, all)
	if err != nil {
		return usage, fmt.Errorf("deleting what bases are made of: %w", err)
	}
	usage.Freed += freed
	return usage, nil
}
