package serve

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminal hands over single keys, which are not shown. Ctrl-C and Ctrl-Z stay
// what they are everywhere.
type Terminal struct {
	fd     int
	before unix.Termios
	wake   *os.File // closing it ends the reading
	keys   chan byte
	ended  sync.WaitGroup
	once   sync.Once
}

// OpenTerminal begins to read keys from a terminal. Close must be called at
// every end: it makes the terminal what it was.
func OpenTerminal(f *os.File) (*Terminal, error) {
	t := &Terminal{fd: int(f.Fd()), keys: make(chan byte)}
	state, err := unix.IoctlGetTermios(t.fd, getTermios)
	if err != nil {
		return nil, fmt.Errorf("asking the terminal for its settings: %w", err)
	}
	t.before = *state
	var asleep *os.File
	if asleep, t.wake, err = os.Pipe(); err != nil {
		return nil, err
	}
	if err := t.single(); err != nil {
		_, _ = asleep.Close(), t.wake.Close()
		return nil, err
	}
	// Who has suspended gx and goes on with it finds the terminal as the shell has
	// left it.
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	stop := make(chan struct{})
	t.ended.Go(func() {
		for {
			select {
			case <-resumed:
				_ = t.single() // without it keys come with the next Enter
			case <-stop:
				return
			}
		}
	})
	t.ended.Go(func() {
		defer close(stop)
		defer signal.Stop(resumed)
		defer asleep.Close()
		defer close(t.keys)
		t.read(int(asleep.Fd()))
	})
	return t, nil
}

// Keys are what is pressed; the channel is closed when the terminal has gone.
func (t *Terminal) Keys() <-chan byte { return t.keys }

// Close ends the reading and makes the terminal what it was.
func (t *Terminal) Close() {
	t.once.Do(func() {
		_ = t.wake.Close()
		go func() { // a key that nobody takes
			for range t.keys {
			}
		}()
		t.ended.Wait()
		if t.foreground() {
			_ = unix.IoctlSetTermios(t.fd, setTermios, &t.before)
		}
	})
}

// single has the terminal hand over keys at once, and not show them.
func (t *Terminal) single() error {
	if !t.foreground() {
		return nil // changing it would stop this process
	}
	state := t.before
	state.Lflag &^= unix.ICANON | unix.ECHO
	state.Cc[unix.VMIN], state.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(t.fd, setTermios, &state); err != nil {
		return fmt.Errorf("having the terminal hand over single keys: %w", err)
	}
	return nil
}

// foreground tells whether this process may use the terminal.
func (t *Terminal) foreground() bool {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// read hands keys over until the terminal has gone or wake was closed.
func (t *Terminal) read(asleep int) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}, {Fd: int32(asleep), Events: unix.POLLIN}}
	buf := make([]byte, 64)
	for {
		if _, err := unix.Poll(fds, -1); err != nil {
			if err == unix.EINTR { //nolint:errorlint // the kernel's own number
				continue
			}
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(t.fd, buf)
		if err == unix.EINTR || err == unix.EAGAIN { //nolint:errorlint // as above
			continue
		}
		if err != nil || n == 0 {
			return
		}
		for _, key := range keysOf(buf[:n]) {
			t.keys <- key
		}
	}
}

// keysOf leaves out what is no single key: arrows and the like are sequences
// that begin with escape.
func keysOf(read []byte) []byte {
	if len(read) > 1 && read[0] == 0x1b {
		return nil
	}
	return read
}
