//go:build !linux

package sdk

import "syscall"

// endsWithParent does nothing here: Python notices gx's end when it next talks
// to it.
func endsWithParent() *syscall.SysProcAttr { return nil }
