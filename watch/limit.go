package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// Where Linux has its limits of inotify.
const (
	watchesLimit   = "fs.inotify.max_user_watches"
	instancesLimit = "fs.inotify.max_user_instances"
)

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission)
}

// limitError says why the kernel gives no events, and what mends it.
func limitError(err error, every time.Duration) error {
	var limit string
	switch {
	case errors.Is(err, syscall.ENOSPC):
		limit = watchesLimit
	case errors.Is(err, syscall.EMFILE):
		limit = instancesLimit
	default:
		return fmt.Errorf("files cannot be watched, so they are looked at every %v: %w", every, err)
	}
	value := ""
	if data, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(limit, ".", "/")); err == nil {
		value = " (" + strings.TrimSpace(string(data)) + ")"
	}
	return fmt.Errorf("the kernel's limit %s%s is reached, so files are looked at every %v: `sysctl %s=...` raises it: %w", limit, value, every, limit, err)
}
