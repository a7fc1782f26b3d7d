package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// helloLimit is how long a client may take to say who it is.
const helloLimit = 30 * time.Second

// ServeClient speaks frames with a client of an app until the connection, the
// app or ctx ends, and closes the connection. Calls that are open then are
// cancelled, but for those that were spawned. A client of no app ("") keeps the
// host from being idle.
func (e *Engine) ServeClient(ctx context.Context, appID string, accepted net.Conn) error {
	conn := wire.Direct(accepted)
	leave, err := e.join(appID, conn)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer leave()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	reader, writer := wire.NewReader(conn), wire.NewWriter(conn)
	defer reader.Close()
	defer func() {
		_ = conn.Close()
		_ = writer.Flush() // no goroutine of it is left
	}()
	if err := greet(conn, reader, writer); err != nil {
		return err
	}
	caller := call.NewCaller(call.Config{Registry: e.registry, Sender: writer, Host: directory{e}, From: ask.From{App: appID}})
	defer caller.Close()
	for {
		f, err := reader.Read()
		if err == nil {
			err = caller.Handle(f)
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
				return ctx.Err() // it has gone, perhaps without reading everything
			}
			return fmt.Errorf("serving a client of app %q: %w", appID, err)
		}
		if !reader.More() {
			caller.Settle()
		}
	}
}

// greet takes a client's Hello and answers it.
func greet(conn wire.Conn, r *wire.Reader, w *wire.Writer) error {
	if err := conn.SetReadDeadline(time.Now().Add(helloLimit)); err != nil {
		return fmt.Errorf("greeting a client: %w", err)
	}
	f, err := r.Read()
	if err != nil {
		return fmt.Errorf("greeting a client: %w", err)
	}
	var hello wire.HelloBody
	if f.Type != wire.Hello {
		return fmt.Errorf("greeting a client: %w: its first frame is %v", wire.ErrProtocol, f.Type)
	}
	if err := f.Decode(&hello); err != nil {
		return fmt.Errorf("greeting a client: %w", err)
	}
	if hello.Protocol != wire.Protocol || hello.Role != "client" {
		return fmt.Errorf("greeting a client: %w: it is a %q of protocol %d, expected is a client of protocol %d", wire.ErrProtocol, hello.Role, hello.Protocol, wire.Protocol)
	}
	ready, err := wire.JSON(wire.Ready, 0, 0, wire.ReadyBody{Descriptors: w.Descriptors()})
	if err == nil {
		err = w.Write(ready)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("greeting a client: %w", err)
	}
	return nil
}

// join notes a client, unless its app, or the host, is ending.
func (e *Engine) join(appID string, conn closer) (leave func(), err error) {
	if appID != "" {
		a, err := e.App(appID)
		if err != nil {
			return nil, err
		}
		if !a.join(conn) {
			return nil, fmt.Errorf("app %s is ending: %w", a.id, ErrNotFound)
		}
		return func() { a.leave(conn) }, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.clients[conn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.clients, conn)
		e.idle = e.cfg.Clock.Now()
	}, nil
}

// join notes a client's connection, unless the app is ending.
func (a *App) join(c closer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return false
	}
	a.clients[c] = struct{}{}
	return true
}

func (a *App) leave(c closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.clients, c)
}
