//go:build linux

package buildkit

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
)

// sweep clears what a predecessor that was killed left: processes of build
// steps, their control groups, mounts and folders. Nobody else owns them, for
// the store is locked.
func sweep(dir, cgroup string, log *slog.Logger) {
	for _, group := range groups(cgroup) {
		killAll(group, log)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		log.Warn("looking for mounts that a build left", "error", err)
	}
	slices.Reverse(mounts)
	for _, m := range mounts {
		if err := syscall.Unmount(m.Mountpoint, syscall.MNT_DETACH); err != nil {
			log.Warn("unmounting what a build left", "path", m.Mountpoint, "error", err)
		}
	}
	worker := filepath.Join(dir, "runc-overlayfs")
	for _, leftover := range []string{filepath.Join(worker, "executor"), filepath.Join(worker, "cachemounts"), filepath.Join(dir, "contexts")} {
		entries, err := os.ReadDir(leftover)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			id := entry.Name()
			removeAll(filepath.Join(leftover, id), log)
			// The OCI runtime's own notes of a container have its id.
			if state := filepath.Join("/run/runc", id); leftover == filepath.Join(worker, "executor") && id != "" {
				removeAll(state, log)
			}
		}
	}
}

// groups are the control groups of that name, in each hierarchy there is.
func groups(name string) []string {
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup" + name, "/sys/fs/cgroup/*" + name} {
		found, _ := filepath.Glob(pattern)
		out = append(out, found...)
	}
	return out
}

// killAll ends every process below a control group, and removes it.
func killAll(group string, log *slog.Logger) {
	for range 50 {
		alive := 0
		var nested []string
		_ = filepath.WalkDir(group, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil //nolint:nilerr // what is gone needs no removal
			}
			nested = append(nested, path)
			data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil {
					alive++
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return nil
		})
		if alive == 0 {
			slices.Reverse(nested) // the inner ones first
			for _, path := range nested {
				_ = syscall.Rmdir(path)
			}
			return
		}
		time.Sleep(20 * time.Millisecond) // the kernel tells nobody when a killed process is gone
	}
	log.Warn("processes of a build step do not end", "cgroup", group)
}
