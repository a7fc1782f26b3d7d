package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"

	"github.com/gx-dev/gx/remote"
	"github.com/gx-dev/gx/wire"
)

// backlogMax is how much may wait to be written before the other side of a
// bridge is no longer read.
const backlogMax = 64 << 20

// attachBridged makes a pair of sockets, returns one end, and carries frames
// between the other and a WebSocket to the host. Payloads that came as
// descriptors travel in pieces.
func (s *Session) attachBridged(ctx context.Context) (*os.File, error) {
	ws, err := s.client.stream(ctx, "/v1/apps/"+url.PathEscape(s.started.App)+"/attach")
	if err != nil {
		return nil, fmt.Errorf("attaching to the app: %w", err)
	}
	far := remote.NewConn(ws)
	near, given, err := socketPair()
	if err != nil {
		_ = far.Close()
		return nil, fmt.Errorf("attaching to the app: %w", err)
	}
	hangUp := sync.OnceFunc(func() { _ = near.Close(); _ = far.Close() })
	if !s.bridge(func() {
		// Either's end is told to the other by the close.
		var both sync.WaitGroup
		both.Go(func() { defer hangUp(); _ = carry(near, far) })
		both.Go(func() { defer hangUp(); _ = carry(far, near) })
		ended := make(chan struct{})
		go func() { defer close(ended); both.Wait() }()
		select {
		case <-s.closed:
			hangUp()
			<-ended
		case <-ended:
		}
	}) {
		hangUp()
		_ = given.Close()
		return nil, fmt.Errorf("attaching to the app: %w", net.ErrClosed)
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
