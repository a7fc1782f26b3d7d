//go:build unix

package wire

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// canPass says that this system passes descriptors over unix sockets.
const canPass = true

// oobSize is room for as many descriptors as the kernel passes at once (253 on
// Linux, more elsewhere, where a sender of ours still sends one at a time).
var oobSize = unix.CmsgSpace(253 * 4)

// truncated reports whether ancillary data was cut off.
func truncated(flags int) bool { return flags&unix.MSG_CTRUNC != 0 }

// parseFiles takes the descriptors out of ancillary data. They are returned
// even if there is an error, so that they can be closed.
func parseFiles(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("reading ancillary data: %w", err)
	}
	var files []*os.File
	for i := range messages {
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, fmt.Errorf("reading passed descriptors: %w", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "payload"))
		}
	}
	return files, nil
}

// duplicate returns a descriptor of file that lives on when file is closed.
func duplicate(file *os.File) (int, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	dup := -1
	var derr error
	if err := raw.Control(func(fd uintptr) {
		dup, derr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	return dup, derr
}

func closeFD(fd int) { _ = unix.Close(fd) }

func rights(fd int) []byte { return unix.UnixRights(fd) }

// sendmsg writes what the socket takes of data without waiting.
func sendmsg(fd uintptr, data [][]byte, oob []byte) (int, error) {
	for {
		n, err := unix.SendmsgBuffers(int(fd), data, oob, nil, unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

func wouldBlock(err error) bool { return errors.Is(err, unix.EAGAIN) }
