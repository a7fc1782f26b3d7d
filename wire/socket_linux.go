package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Direct makes a connection wait in the kernel, in a thread of the goroutine
// that reads, where it is a unix socket; any other is returned as it is. It must
// not be in use, and not be used any more.
//
// The runtime's poller wakes one thread for what has come, which wakes another
// for the goroutine, and is woken once more when the other side reads: for a
// frame that somebody waits for, that costs more than all that is done with it.
// As many threads as there are such connections wait, so it is for those whose
// number is bounded: one for each container, and for each program of a user.
func Direct(conn net.Conn) Conn {
	if unix, ok := conn.(*net.UnixConn); ok {
		if s, err := newSocket(unix); err == nil { // else there are too many open files; it shows soon enough
			return s
		}
	}
	return conn
}

// socket is a unix socket that the runtime's poller does not know. Reading is
// for one goroutine at a time.
type socket struct {
	file *os.File
	raw  syscall.RawConn

	take     func(fd uintptr) bool // receives once; kept so that it costs no allocation
	data     []byte
	oob      []byte
	received received

	mu      sync.Mutex
	timer   *time.Timer // of the deadline
	expired bool
}

type received struct {
	n, oobn, flags int
	err            error
}

// newSocket takes the descriptor of a connection, which it closes.
func newSocket(conn *net.UnixConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("taking a socket: %w", err)
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, fmt.Errorf("taking a socket: %w", err)
	}
	if failed != nil {
		return nil, fmt.Errorf("taking a socket: %w", failed)
	}
	// Before os.NewFile sees it, which would give it to the poller.
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("taking a socket: %w", err)
	}
	_ = conn.Close() // takes it out of the poller
	s := &socket{file: os.NewFile(uintptr(fd), "socket")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	s.take = func(fd uintptr) bool {
		for {
			r := &s.received
			r.n, r.oobn, r.flags, _, r.err = unix.Recvmsg(int(fd), s.data, s.oob, unix.MSG_CMSG_CLOEXEC)
			if !errors.Is(r.err, unix.EINTR) {
				return true
			}
		}
	}
	return s, nil
}

// ReadMsgUnix is like that of net.UnixConn; the address is always nil.
func (s *socket) ReadMsgUnix(b, oob []byte) (n, oobn, flags int, _ *net.UnixAddr, err error) {
	s.data, s.oob = b, oob
	if err := s.raw.Read(s.take); err != nil {
		return 0, 0, 0, nil, s.ended(err)
	}
	r := s.received
	if r.err == nil && r.n == 0 {
		r.err = s.ended(nil)
	}
	return max(r.n, 0), r.oobn, r.flags, nil, r.err
}

// ended is why reading has come to its end.
func (s *socket) ended(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired {
		return os.ErrDeadlineExceeded
	}
	if err != nil {
		// A RawConn has no other, and its "use of closed file" is an error of
		// an internal package.
		return net.ErrClosed
	}
	return nil
}

func (s *socket) Read(p []byte) (int, error) {
	n, _, _, _, err := s.ReadMsgUnix(p, nil)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, err
}

// Write writes all of p, and waits for the other side if need be.
func (s *socket) Write(p []byte) (int, error) { return s.file.Write(p) }

// SyscallConn gives the descriptor, which is in blocking mode.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }

// SetReadDeadline makes reading end at a time, for good: what has come until
// then can be read, and the other side can send no more. The zero time takes a
// deadline back that is not over.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if t.IsZero() {
		return nil
	}
	left := time.Until(t)
	if left <= 0 {
		s.expire()
		return nil
	}
	s.timer = time.AfterFunc(left, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.expire()
	})
	return nil
}

// expire ends reading. mu is held.
func (s *socket) expire() {
	s.expired = true
	s.shutdown(unix.SHUT_RD)
}

// shutdown wakes who waits in the kernel.
func (s *socket) shutdown(how int) {
	_ = s.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), how) })
}

// Close ends the connection; who is reading or writing is woken.
func (s *socket) Close() error {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	s.shutdown(unix.SHUT_RDWR)
	return s.file.Close()
}

// waitWritable waits until the socket takes more, or has ended.
func (s *socket) waitWritable(fd uintptr) {
	_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, nil, nil) //nolint:gosec // a descriptor
}
