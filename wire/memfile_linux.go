package wire

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewFile makes a file in memory for a payload. It has no name, and is gone
// when the last descriptor of it is closed. It can grow but not shrink, so that
// who receives it can map it without fear.
func NewFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("gx-payload", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("making a memory file for a payload: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("sealing a memory file for a payload: %w", err)
	}
	return os.NewFile(uintptr(fd), "payload"), nil
}
