package remote

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gx-dev/gx/api"
)

// attach gives a connection to the backend to speak frames on.
func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	id := "" // of no app
	if r.PathValue("id") != "" {
		var ok bool
		if id, ok = appID(w, r); !ok {
			return
		}
	}
	conn, err := s.upgrade(w, r)
	if err != nil {
		s.log.Debug("attaching", "app", id, "error", err)
		return
	}
	defer conn.Close()
	// A connection that was taken over is not closed by the server's end.
	ctx := r.Context()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
			_ = conn.Close()
		case <-done:
		}
	}()
	if err := s.backend.Attach(ctx, id, conn); err != nil && ctx.Err() == nil {
		s.log.Debug("a client's frames ended", "app", id, "error", err)
	}
}

// upgrade takes a request's connection over, as bare frames or as WebSocket.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if r.Header.Get("Upgrade") != api.FramesProtocol {
		ws, err := s.upgrader.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return NewConn(ws), nil
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		err := &api.Error{Code: "internal", Message: "this connection cannot be taken over"}
		refuse(w, err)
		return nil, err
	}
	conn, buffered, err := hijacker.Hijack()
	if err != nil {
		refuse(w, err)
		return nil, err
	}
	if err := takeOver(conn, buffered); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// takeOver answers the upgrade. A client must not send frames before it has
// read the answer, so nothing can have been read ahead of it.
func takeOver(conn net.Conn, buffered *bufio.ReadWriter) error {
	if n := buffered.Reader.Buffered(); n > 0 {
		return fmt.Errorf("the client sent %d bytes before the upgrade was answered", n)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", api.FramesProtocol)
	return err
}
