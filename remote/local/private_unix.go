//go:build unix

package local

import (
	"fmt"
	"os"
	"syscall"
)

// private makes sure that a folder is the user's own and that nobody else can
// write to it. It changes nothing: it may be one that others need, as /run.
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
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write to %s, so that one of them could pose as your host: give it to you alone by `chmod 700 %s`, or set GX_RUNTIME_DIR to another folder", dir, dir)
	}
	return nil
}
