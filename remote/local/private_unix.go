//go:build unix

package local

import (
	"fmt"
	"os"
	"syscall"
)

// private makes sure that a folder is the user's own and closed to others.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Getuid() {
		return fmt.Errorf("%s belongs to user %d, not to you: its owner could pose as your host. Remove it, or set GX_RUNTIME_DIR", dir, owner)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
