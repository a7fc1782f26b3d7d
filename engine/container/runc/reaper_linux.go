package runc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// reaperReady is the first byte from the reaper; statuses follow.
const reaperReady = 'R'

// RunReaper is the first process of a cell. It mounts the cell's /proc, then
// reports on standard output how each process ended that lost its parent: its
// pid in the cell and its wait status, as two little-endian uint32. It ends at
// the end of standard input, which is when its owner is gone, and everything
// in the cell ends with it. The result is the process's exit status.
func RunReaper() int {
	if os.Getpid() != 1 {
		fmt.Fprintf(os.Stderr, "%s is a part of gx that it starts by itself; it is of no use on its own\n", ReaperCommand)
		return 2
	}
	// Those who end a whole session or service mean the owner, which then
	// cleans up; dying first would take the containers without their clean-up.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)

	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", flags, ""); err != nil {
		fmt.Fprintf(os.Stderr, "mount /proc of the containers' pid namespace: %v\n", err)
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if _, err := os.Stdout.Write([]byte{reaperReady}); err != nil {
		return 1
	}
	for range child {
		if err := reap(os.Stdout); err != nil {
			return 1
		}
	}
	return 0
}

// reap collects and reports every child that has ended.
func reap(w io.Writer) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return nil //nolint:nilerr // none left, or none ended
		}
		var report [reportSize]byte
		binary.LittleEndian.PutUint32(report[:], uint32(pid))
		binary.LittleEndian.PutUint32(report[4:], uint32(status))
		if _, err := w.Write(report[:]); err != nil {
			return err
		}
	}
}

const reportSize = 8
