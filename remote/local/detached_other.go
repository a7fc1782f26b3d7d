//go:build !linux

package local

import "syscall"

// detached gives the host a session of its own, so that it outlives the terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
