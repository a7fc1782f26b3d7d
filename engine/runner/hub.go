// Package runner holds the connections of the runners in containers: a socket
// to which they connect, the token by which each says which container it is,
// and an ordered way to write to it. It does not know what runners are told.
package runner

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gx-dev/gx/wire"
)

// SocketName is the socket's name in the hub's folder.
const SocketName = "host.sock"

const (
	helloLimit = 10 * time.Second // from connecting to the whole Hello
	maxUnknown = 256              // connections that have not said who they are
)

// Hub listens for runners. It is safe for concurrent use.
type Hub struct {
	dir      string
	listener *net.UnixListener
	log      *slog.Logger
	done     sync.WaitGroup

	mu       sync.Mutex
	expected map[string]chan *Conn  // by token
	unknown  map[wire.Conn]struct{} // no Hello yet
	closed   bool
}

// Listen makes the folder dir and a socket in it, in place of one that an
// earlier host left. The folder is what containers see, so nothing else may be
// in it.
func Listen(dir string, log *slog.Logger) (*Hub, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // containers see it
		return nil, fmt.Errorf("making the folder of the runners' socket: %w", err)
	}
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an earlier host's socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		if len(path) > 100 {
			return nil, fmt.Errorf("the runtime directory's path is too long for a socket (%d bytes), set GX_RUNTIME_DIR to a shorter one: %w", len(path), err)
		}
		return nil, fmt.Errorf("listening for runners: %w", err)
	}
	// Who may connect is decided by the token: a container's user may be any.
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // as above
		return nil, errors.Join(err, l.Close())
	}
	h := &Hub{dir: dir, listener: l, log: log, expected: map[string]chan *Conn{}, unknown: map[wire.Conn]struct{}{}}
	h.done.Go(h.accept)
	return h, nil
}

// Dir is the folder to mount into containers.
func (h *Hub) Dir() string { return h.dir }

// Expect makes a token. The runner that says it comes out of the channel, once;
// nobody comes after forget.
func (h *Hub) Expect() (token string, arrival <-chan *Conn, forget func()) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	token = hex.EncodeToString(random[:])
	ch := make(chan *Conn, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expected[token] = ch
	return token, ch, func() {
		h.mu.Lock()
		delete(h.expected, token)
		h.mu.Unlock()
		select {
		case c := <-ch:
			c.Close()
		default:
		}
	}
}

// Close ends the listening and every connection that nobody has taken yet.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.closed = true
	for c := range h.unknown {
		_ = c.Close()
	}
	h.mu.Unlock()
	err := h.listener.Close()
	h.done.Wait()
	if err != nil {
		return fmt.Errorf("closing the runners' socket: %w", err)
	}
	return nil
}

func (h *Hub) accept() {
	for {
		accepted, err := h.listener.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				h.log.Error("runners can connect no more", "error", err)
			}
			return
		}
		conn := wire.Direct(accepted)
		h.mu.Lock()
		if h.closed || len(h.unknown) >= maxUnknown {
			h.mu.Unlock()
			_ = conn.Close()
			continue
		}
		h.unknown[conn] = struct{}{}
		h.mu.Unlock()
		h.done.Go(func() { h.greet(conn) })
	}
}

// greet reads a connection's Hello and gives it to who expects it.
func (h *Hub) greet(conn wire.Conn) {
	c := newConn(conn)
	err := c.hello(time.Now().Add(helloLimit))
	h.mu.Lock()
	delete(h.unknown, conn)
	ch := h.expected[c.Hello.Token]
	if err == nil && ch != nil && !h.closed {
		delete(h.expected, c.Hello.Token)
		ch <- c // has room for one
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	if err == nil {
		err = errors.New("its token is of no container that is starting")
	}
	h.log.Warn("a connection to the runners' socket was refused", "error", err)
	c.Close()
}

func (c *Conn) hello(limit time.Time) error {
	if err := c.conn.SetReadDeadline(limit); err != nil {
		return err
	}
	f, err := c.reader.Read()
	if err != nil {
		return fmt.Errorf("waiting for a Hello: %w", err)
	}
	if f.Type != wire.Hello || len(f.Body) > 4<<10 {
		return fmt.Errorf("the first frame is %v of %d bytes, not a Hello", f.Type, len(f.Body))
	}
	if err := f.Decode(&c.Hello); err != nil {
		return err
	}
	if c.Hello.Role != "runner" && c.Hello.Role != "template" || c.Hello.Protocol != wire.Protocol {
		return fmt.Errorf("a Hello of role %q, protocol %d; expected is a runner of protocol %d", c.Hello.Role, c.Hello.Protocol, wire.Protocol)
	}
	return c.conn.SetReadDeadline(time.Time{})
}
