package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/gx-dev/gx/remote"
	"github.com/gx-dev/gx/wire"
)

// backlogMax is how much may wait to be written before the other side of a
// bridge is no longer read.
const backlogMax = 64 << 20

// bridges carry frames between descriptors that were given away and WebSockets
// to a host, until they are closed.
type bridges struct {
	closed  chan struct{}
	running sync.WaitGroup

	mu sync.Mutex // of running's growing, and closed
}

func newBridges() *bridges { return &bridges{closed: make(chan struct{})} }

// close ends all bridges. It may be called again.
func (b *bridges) close() {
	b.mu.Lock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	b.mu.Unlock()
	b.running.Wait()
}

// run runs something that ends when the bridges are closed; false = they are.
func (b *bridges) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.closed:
		return false
	default:
	}
	b.running.Go(f)
	return true
}

// attach makes a pair of sockets, returns one end, and carries frames between
// the other and a WebSocket to the host. Payloads that came as descriptors
// travel in pieces.
func (b *bridges) attach(ctx context.Context, c *Client, path string) (*os.File, error) {
	ws, err := c.stream(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("attaching to the host: %w", err)
	}
	far := remote.NewConn(ws)
	near, given, err := socketPair()
	if err != nil {
		_ = far.Close()
		return nil, fmt.Errorf("attaching to the host: %w", err)
	}
	hangUp := sync.OnceFunc(func() { _ = near.Close(); _ = far.Close() })
	if !b.run(func() {
		// Either's end is told to the other by the close.
		var both sync.WaitGroup
		both.Go(func() { defer hangUp(); _ = carry(near, far) })
		both.Go(func() { defer hangUp(); _ = carry(far, near) })
		ended := make(chan struct{})
		go func() { defer close(ended); both.Wait() }()
		select {
		case <-b.closed:
			hangUp()
			<-ended
		case <-ended:
		}
	}) {
		hangUp()
		_ = given.Close()
		return nil, fmt.Errorf("attaching to the host: %w", net.ErrClosed)
	}
	return given, nil
}

// carry moves frames from one connection to another until one ends. Payloads
// are put into the form that the other side can take.
func carry(from, to net.Conn) error {
	reader, writer := wire.NewReader(from), wire.NewWriter(to)
	defer reader.Close()
	var joiner wire.Joiner
	defer joiner.Close()
	for {
		frame, err := reader.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := forward(frame, &joiner, writer); err != nil {
			return err
		}
		if writer.Buffered() > backlogMax {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

func forward(frame wire.Frame, joiner *wire.Joiner, writer *wire.Writer) error {
	if writer.Descriptors() {
		whole, done, err := joiner.Add(frame)
		if err != nil || !done {
			return err
		}
		frame = whole
	}
	if frame.File == nil || writer.Descriptors() {
		err := writer.Write(frame)
		if frame.File != nil {
			_ = frame.File.Close()
		}
		return err
	}
	defer frame.File.Close()
	return wire.Pieces(frame, func(piece wire.Frame) error { return writer.Write(piece) })
}

// socketPair returns one end as a connection, and the other as a file to give
// away.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, given := os.NewFile(uintptr(fds[0]), "frames"), os.NewFile(uintptr(fds[1]), "frames")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = given.Close()
		return nil, nil, err
	}
	return conn, given, nil
}
