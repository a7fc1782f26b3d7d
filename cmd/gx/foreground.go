package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// inForeground tells whether this process, and with it those that it starts,
// get the signals of a terminal's keys, wherever their input comes from.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
