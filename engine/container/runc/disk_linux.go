package runc

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// diskEvery is how often the writable layer is added up at the most; a layer
// that takes long to walk is walked for at most a twentieth of the time.
const diskEvery = time.Second

// watchDisk kills the container when its writable layer has grown too large.
func (c *running) watchDisk(over <-chan struct{}) {
	timer := time.NewTimer(diskEvery)
	defer timer.Stop()
	for {
		select {
		case <-over:
			return
		case <-timer.C:
		}
		began := time.Now()
		if used := diskUsage(c.layers.upper()); used > c.disk {
			if err := c.kill(fmt.Sprintf("it wrote %d MiB to its own file system, where its limit is %d MiB", used>>20, c.disk>>20)); err != nil {
				c.runtime.cfg.Log.Error("a container over its disk limit is not killed", "container", c.id, "error", err)
			}
			return
		}
		timer.Reset(max(diskEvery, 20*time.Since(began)))
	}
}

// diskUsage adds up what a directory tree occupies, in bytes.
func diskUsage(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is being changed while it is read
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}
