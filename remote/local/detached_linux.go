package local

import (
	"os"
	"syscall"
)

// detached gives the host a session of its own, so that it outlives the
// terminal. As root it also gets a mount namespace of its own: whatever it
// leaves mounted vanishes with it, even after kill -9.
func detached() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() == 0 {
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	return attr
}
