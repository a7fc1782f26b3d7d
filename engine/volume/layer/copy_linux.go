package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyData copies the first size bytes of a file, which may be being written.
// Where the file system can, the copy shares the original's blocks; holes stay
// holes.
func copyData(to, from *os.File, size int64) error {
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
		return to.Truncate(size)
	}
	for at := int64(0); at < size; {
		begin, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole is left
			break
		}
		end := size
		if err != nil { // a file system that does not tell
			begin = at
		} else if end, err = unix.Seek(int(from.Fd()), begin, unix.SEEK_HOLE); err != nil {
			end = size
		}
		end = min(end, size)
		if begin >= end {
			break
		}
		if err := copyRange(to, from, begin, end); err != nil {
			return err
		}
		at = end
	}
	return to.Truncate(size)
}

// copyRange copies what is between two offsets, or less if the file has become
// shorter.
func copyRange(to, from *os.File, begin, end int64) error {
	in, out := begin, begin
	for in < end {
		n, err := unix.CopyFileRange(int(from.Fd()), &in, int(to.Fd()), &out, int(min(end-in, 1<<30)), 0)
		switch {
		case err == unix.EINTR: //nolint:errorlint // a bare number of the kernel's
		case err != nil:
			if in > begin {
				return err
			}
			// Not between these two file systems.
			_, err := io.Copy(io.NewOffsetWriter(to, begin), io.NewSectionReader(from, begin, end-begin))
			return err
		case n == 0:
			return nil
		}
	}
	return nil
}

// copyXattrs copies a user's extended attributes, as far as the file systems
// have such.
func copyXattrs(to, from int) error {
	size, err := unix.Flistxattr(from, nil)
	if err != nil || size == 0 {
		return nil //nolint:nilerr // it has none
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(from, list); err != nil {
		return nil //nolint:nilerr // they are being changed
	}
	for raw := range bytes.SplitSeq(list[:size], []byte{0}) {
		name := string(raw)
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 64<<10) // the kernel's limit
		n, err := unix.Fgetxattr(from, name, value)
		if err != nil {
			continue
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("copy the attribute %s: %w", name, err)
		}
	}
	return nil
}
