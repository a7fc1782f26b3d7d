package runner

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/wire"
)

func hub(t *testing.T) *Hub {
	t.Helper()
	h, err := Listen(filepath.Join(t.TempDir(), "r"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func dial(t *testing.T, h *Hub, hello any) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(h.Dir(), SocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f, err := wire.JSON(wire.Hello, 0, 0, hello)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.NewWriter(conn).Write(f); err != nil {
		t.Fatal(err)
	}
	return conn
}

func closedByHub(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestTokens(t *testing.T) {
	h := hub(t)
	token, arrival, forget := h.Expect()
	defer forget()
	closedByHub(t, dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: "wrong"}))
	closedByHub(t, dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "client", Token: token}))
	closedByHub(t, dial(t, h, wire.HelloBody{Protocol: 99, Role: "runner", Token: token}))
	closedByHub(t, dial(t, h, []int{1}))
	dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: token, Python: "3.11.2"})
	c := <-arrival
	if c.Hello.Python != "3.11.2" {
		t.Errorf("%+v", c.Hello)
	}
	c.Close()
	c.Release()
	closedByHub(t, dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: token})) // only once

	token, _, forget = h.Expect()
	forget()
	closedByHub(t, dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: token}))
}

func TestCloseWithSilentConnection(t *testing.T) {
	h := hub(t)
	conn, err := net.Dial("unix", filepath.Join(h.Dir(), SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Close() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("Close waits for a connection that says nothing")
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	h := hub(t)
	token, arrival, forget := h.Expect()
	defer forget()
	conn := dial(t, h, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: token})
	c := <-arrival
	const writers, each = 8, 2000
	var mu sync.Mutex // as the function's
	var next uint32
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				mu.Lock()
				c.Queue(wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1, Index: next}, Body: []byte("x")})
				next++
				mu.Unlock()
				c.Flush()
			}
		})
	}
	r := wire.NewReader(conn)
	for want := range uint32(writers * each) {
		f, err := r.Read()
		if err != nil || f.Index != want {
			t.Fatalf("frame %d came, want %d: %v", f.Index, want, err)
		}
	}
	wg.Wait()
	c.Close()
	c.Release()
}
