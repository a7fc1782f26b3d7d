package wire

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewFile makes a file in memory for a payload. It has no name, and is gone
// when the last descriptor of it is closed.
func NewFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("gx-payload", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a memory file for a payload: %w", err)
	}
	return os.NewFile(uintptr(fd), "payload"), nil
}
