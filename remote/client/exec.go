package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
)

// ExecStreams connect a command in a container with who runs it. All but Stdout
// and Stderr may be nil.
type ExecStreams struct {
	// Stdin is what the command reads. Exec closes it when the command has ended,
	// which has to end a reading.
	Stdin          io.ReadCloser
	Stdout, Stderr io.Writer
	Resize         <-chan api.TerminalSize
	Signals        <-chan string // names without SIG
	Waiting        func(short string)
	Started        func(api.ExecStarted)
}

// Exec runs a command in a running container until it ends. When ctx does, the
// command is killed.
func (c *Client) Exec(ctx context.Context, container string, req api.ExecRequest, s ExecStreams) (api.ExecExit, error) {
	return c.command(ctx, "/v1/containers/"+url.PathEscape(container)+"/exec", req, s)
}

// Shell runs a command in a container of its own that is made like those of a
// function of a running app; function "" is its first. Nothing of it is left
// when the command ends.
func (c *Client) Shell(ctx context.Context, app, function string, req api.ExecRequest, s ExecStreams) (api.ExecExit, error) {
	return c.command(ctx, "/v1/apps/"+url.PathEscape(app)+"/shell?"+url.Values{"function": {function}}.Encode(), req, s)
}

// EndContainer ends a container and waits for it; now = without its grace
// period.
func (c *Client) EndContainer(ctx context.Context, id string, now bool) error {
	path := "/v1/containers/" + url.PathEscape(id)
	if now {
		path += "?now=1"
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// execution is a command that runs.
type execution struct {
	ws      *websocket.Conn
	streams ExecStreams
	sending sync.Mutex

	mu     sync.Mutex
	room   int           // bytes of input that may be sent
	taken  chan struct{} // room for one: there is more room
	ended  chan struct{}
	exit   api.ExecExit
	exited bool
}

func (c *Client) command(ctx context.Context, path string, req api.ExecRequest, s ExecStreams) (api.ExecExit, error) {
	ws, err := c.stream(ctx, path)
	if err != nil {
		return api.ExecExit{}, err
	}
	e := &execution{ws: ws, streams: s, room: api.ExecWindow, taken: make(chan struct{}, 1), ended: make(chan struct{})}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	if err := e.send(req); err != nil {
		return api.ExecExit{}, fmt.Errorf("asking for a command: %w", err)
	}
	var talking sync.WaitGroup
	began := make(chan struct{})
	talking.Go(func() { e.tell(began) })
	talking.Go(func() { e.feed(began) })
	err = e.read(began)
	close(e.ended)
	if s.Stdin != nil {
		_ = s.Stdin.Close()
	}
	_ = ws.Close()
	talking.Wait()
	switch {
	case ctx.Err() != nil:
		return e.exit, ctx.Err()
	case err == nil && !e.exited:
		err = &brokenError{errors.New("it ended before the command did")}
	}
	return e.exit, err
}

func (e *execution) send(v any) error {
	e.sending.Lock()
	defer e.sending.Unlock()
	return e.ws.WriteJSON(v)
}

// read takes what the host says until the command has ended.
func (e *execution) read(began chan<- struct{}) error {
	for {
		kind, data, err := e.ws.ReadMessage()
		if err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code == websocket.CloseNormalClosure {
				return nil
			}
			return &brokenError{err}
		}
		if kind == websocket.BinaryMessage {
			if err := e.output(data); err != nil {
				return err
			}
			continue
		}
		var m api.ExecMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("reading the host's message: %w", err)
		}
		switch {
		case m.Error != nil:
			return m.Error
		case m.Exit != nil:
			e.exit, e.exited = *m.Exit, true
			return nil
		case m.Waiting != "" && e.streams.Waiting != nil:
			e.streams.Waiting(m.Waiting)
		case m.Started != nil:
			if e.streams.Started != nil {
				e.streams.Started(*m.Started)
			}
			if began != nil {
				close(began)
				began = nil
			}
		case m.Taken > 0:
			e.mu.Lock()
			e.room += m.Taken
			e.mu.Unlock()
			select {
			case e.taken <- struct{}{}:
			default:
			}
		}
	}
}

func (e *execution) output(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	w := e.streams.Stdout
	if data[0] == api.ExecStderr {
		w = e.streams.Stderr
	}
	if _, err := w.Write(data[1:]); err != nil {
		return fmt.Errorf("writing what the command writes: %w", err)
	}
	return nil
}

// tell passes sizes and signals on.
func (e *execution) tell(began <-chan struct{}) {
	select {
	case <-began:
	case <-e.ended:
		return
	}
	for {
		var c api.ExecCommand
		select {
		case size := <-e.streams.Resize:
			c.Resize = &size
		case c.Signal = <-e.streams.Signals:
		case <-e.ended:
			return
		}
		if e.send(c) != nil {
			return
		}
	}
}

// feed passes input on, as far as the command takes it.
func (e *execution) feed(began <-chan struct{}) {
	select {
	case <-began:
	case <-e.ended:
		return
	}
	buf := make([]byte, api.ExecChunk)
	for e.streams.Stdin != nil {
		room := e.await()
		if room == 0 {
			return
		}
		n, err := e.streams.Stdin.Read(buf[:min(len(buf), room)])
		if n > 0 {
			e.mu.Lock()
			e.room -= n
			e.mu.Unlock()
			e.sending.Lock()
			werr := e.ws.WriteMessage(websocket.BinaryMessage, buf[:n])
			e.sending.Unlock()
			if werr != nil {
				return
			}
		}
		if err != nil {
			break
		}
	}
	_ = e.send(api.ExecCommand{EOF: true})
}

// await waits until input may be sent, and says how much; 0 = the command has
// ended.
func (e *execution) await() int {
	for {
		e.mu.Lock()
		room := e.room
		e.mu.Unlock()
		if room > 0 {
			return room
		}
		select {
		case <-e.taken:
		case <-e.ended:
			return 0
		}
	}
}
