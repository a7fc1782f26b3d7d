package sdk

import "syscall"

// endsWithParent makes the kernel end Python when gx dies, whatever killed it:
// a loop of the user's that never talks to gx would not notice.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
