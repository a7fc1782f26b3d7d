package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// ControlEnv is the environment variable that tells a process which of its
// descriptors is the control socket.
const ControlEnv = "GX_CONTROL_FD"

// maxLine bounds one line from Python: a manifest with all its files and
// pickled functions, in bytes.
const maxLine = 256 << 20

// Control is gx's end of the control socket. One goroutine may receive while
// others send.
type Control struct {
	conn    *net.UnixConn
	lines   lineReader
	sending sync.Mutex
}

// InheritedControl is the control socket that this process was started with:
// `gx session`, which a user's Python starts.
func InheritedControl(getenv func(string) string) (*Control, error) {
	value := getenv(ControlEnv)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is %q, not a descriptor's number: this command is started by the Python SDK", ControlEnv, value)
	}
	file := os.NewFile(uintptr(fd), "control")
	defer file.Close()
	return newControl(file)
}

// newControl takes over a socket; the file may be closed afterwards.
func newControl(file *os.File) (*Control, error) {
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("using descriptor %s as control socket: %w", file.Name(), err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("the control socket is a %T, not a unix socket", conn)
	}
	return &Control{conn: unix, lines: lineReader{from: bufio.NewReaderSize(unix, 64<<10), most: maxLine}}, nil
}

// Recv waits for a line from Python. It returns io.EOF when Python has closed
// its end, and ctx's error when that ends first; the line can still be had then.
func (c *Control) Recv(ctx context.Context) (FromPython, error) {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	})
	line, err := c.lines.next()
	if !stop() {
		<-stopped
		_ = c.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		if ctx.Err() != nil {
			return FromPython{}, ctx.Err()
		}
		return FromPython{}, err
	}
	var m FromPython
	if err := json.Unmarshal(line, &m); err != nil {
		return FromPython{}, fmt.Errorf("understanding what Python said: %w", err)
	}
	return m, nil
}

// lineReader reads lines of any length up to most bytes.
type lineReader struct {
	from  *bufio.Reader
	most  int
	begun []byte // of a line whose end has not come
}

// next returns a line with its newline; it is valid until the next call. What
// came before an error is kept for the next call.
func (l *lineReader) next() ([]byte, error) {
	for {
		part, err := l.from.ReadSlice('\n')
		if len(l.begun)+len(part) > l.most {
			return nil, fmt.Errorf("a line of more than %d bytes came from Python", l.most)
		}
		if err == nil && len(l.begun) == 0 {
			return part, nil
		}
		l.begun = append(l.begun, part...)
		switch {
		case err == nil:
			line := l.begun
			l.begun = nil
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.begun) > 0:
			return nil, fmt.Errorf("the end of Python came in the middle of a line: %w", io.ErrUnexpectedEOF)
		default:
			return nil, err
		}
	}
}

// Send sends a line to Python, with descriptors that the line announces. The
// files remain the caller's.
func (c *Control) Send(m ToPython, fds ...*os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a line for Python: %w", err)
	}
	data = append(data, '\n')
	c.sending.Lock()
	defer c.sending.Unlock()
	if len(fds) > 0 {
		n, err := c.sendWith(data, fds)
		if err != nil {
			return fmt.Errorf("passing descriptors to Python: %w", err)
		}
		data = data[n:]
		if len(data) == 0 {
			// Even an empty write fails if Python has read the line and ended.
			return nil
		}
	}
	if _, err := c.conn.Write(data); err != nil {
		return fmt.Errorf("telling Python: %w", err)
	}
	return nil
}

// sendWith sends at least one byte, and the descriptors with it. They are held
// open by nested calls until the kernel has taken them.
func (c *Control) sendWith(data []byte, fds []*os.File, raw ...int) (n int, err error) {
	if len(fds) == 0 {
		n, _, err = c.conn.WriteMsgUnix(data, syscall.UnixRights(raw...), nil)
		return n, err
	}
	conn, err := fds[0].SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := conn.Control(func(fd uintptr) {
		n, err = c.sendWith(data, fds[1:], append(raw, int(fd))...)
	})
	return n, errors.Join(controlErr, err)
}

// Close closes the socket, which ends Python's app.
func (c *Control) Close() error {
	return c.conn.Close()
}
