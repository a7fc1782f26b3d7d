package container

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TerminalSize is the size of a terminal in characters.
type TerminalSize struct{ Rows, Columns uint16 }

// OpenTerminal makes a file of the other side of a terminal whose reading and
// writing can be given up by closing it. It takes f over.
func OpenTerminal(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

// Resize gives a terminal another size, of which its processes are told by
// SIGWINCH.
func Resize(terminal *os.File, size TerminalSize) error {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("change the size of a terminal: %w", err)
	}
	return nil
}
