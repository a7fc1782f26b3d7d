package host

import (
	"context"
	"syscall"
)

const (
	budgetMost  = 50 << 30 // bytes, unless the user says otherwise
	budgetShare = 5        // one part in so many of the file system
	// imagesShare is how much of the budget images have, in hundredths; the
	// rest is for uploads and logs.
	imagesShare = 80
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

// collect keeps the state within its budget, and what is in use out of it.
func (h *host) collect(ctx context.Context) {
	disk, err := h.engine.Disk(ctx)
	if err != nil {
		h.log.Warn("looking at what the disk holds", "error", err)
		return
	}
	limit := h.budget / 100 * imagesShare
	if disk.Images <= limit {
		return
	}
	// Below the limit by a tenth, so that not every build collects again.
	usage, err := h.parts.images.Prune(ctx, limit/10*9, false)
	if err != nil {
		h.log.Warn("collecting images", "error", err)
		return
	}
	if h.parts.tidy != nil {
		if err := h.parts.tidy(ctx); err != nil {
			h.log.Warn("deleting downloads", "error", err)
		}
	}
	h.log.Info("collected images", "freed", usage.Freed, "left", usage.Bytes)
}
