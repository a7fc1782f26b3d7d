package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
)

const (
	pingEvery = 20 * time.Second // keeps connections through idle proxies
	deadAfter = 60 * time.Second // without a pong
	writeWait = 30 * time.Second // a client that takes nothing for so long is gone
)

// stream is one WebSocket that carries JSON.
type stream struct {
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // of writes
	pinging sync.WaitGroup
}

// open makes a request a stream; it has answered if it returns nil. The
// stream's ctx ends when the client goes.
func (s *server) open(w http.ResponseWriter, r *http.Request) *stream {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // Upgrade has answered
	}
	ws.SetReadLimit(maxJSON)
	ctx, cancel := context.WithCancel(r.Context())
	st := &stream{ws: ws, ctx: ctx, cancel: cancel}
	_ = ws.SetReadDeadline(time.Now().Add(deadAfter))
	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(deadAfter)) })
	st.pinging.Go(st.ping)
	return st
}

// ping asks for signs of life, and ends the connection with ctx: that is what
// wakes whoever reads it.
func (st *stream) ping() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-st.ctx.Done():
			_ = st.ws.Close()
			return
		case <-ticker.C:
			if st.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				st.cancel()
			}
		}
	}
}

// close says goodbye and frees the connection.
func (st *stream) close() {
	st.mu.Lock()
	_ = st.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	st.mu.Unlock()
	st.cancel()
	st.pinging.Wait()
}

func (st *stream) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	_ = st.ws.SetWriteDeadline(time.Now().Add(writeWait))
	if err := st.ws.WriteMessage(websocket.TextMessage, data); err != nil {
		st.cancel()
		return err
	}
	return nil
}

func (st *stream) receive(into any) error {
	_, data, err := st.ws.ReadMessage()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return &api.Error{Code: "invalid", Message: "the message's JSON could not be read: " + err.Error()}
	}
	return nil
}

// listen reads in the background until the client goes, which ends ctx.
// What it sends goes to message, which may be nil.
func (st *stream) listen(message func([]byte)) (wait func()) {
	var reading sync.WaitGroup
	reading.Go(func() {
		defer st.cancel()
		for {
			_, data, err := st.ws.ReadMessage()
			if err != nil {
				return
			}
			if message != nil {
				message(data)
			}
		}
	})
	return reading.Wait
}

func (s *server) hostLog(w http.ResponseWriter, r *http.Request) {
	follow, lines, err := tail(r)
	if err != nil {
		refuse(w, err)
		return
	}
	s.lines(w, r, func(ctx context.Context, send func(any) error) error {
		return s.backend.HostLog(ctx, follow, lines, func(text string) error { return send(api.HostLogLine{Text: text}) })
	})
}

func (s *server) appLogs(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	follow, lines, err := tail(r)
	if err != nil {
		refuse(w, err)
		return
	}
	s.lines(w, r, func(ctx context.Context, send func(any) error) error {
		return s.backend.Logs(ctx, id, follow, lines, func(line api.LogLine) error { return send(line) })
	})
}

// logEnd is the message that ends a stream of lines with an error.
type logEnd struct {
	Error *api.Error `json:"error"`
}

// lines streams what produce sends until it ends or the client goes.
func (s *server) lines(w http.ResponseWriter, r *http.Request, produce func(ctx context.Context, send func(any) error) error) {
	st := s.open(w, r)
	if st == nil {
		return
	}
	wait := st.listen(nil)
	if err := produce(st.ctx, st.send); err != nil && st.ctx.Err() == nil {
		_ = st.send(logEnd{Error: describe(err)})
	}
	st.close()
	wait()
}

func (s *server) build(w http.ResponseWriter, r *http.Request) {
	st := s.open(w, r)
	if st == nil {
		return
	}
	defer st.close()
	var req api.BuildRequest
	if err := st.receive(&req); err != nil {
		_ = st.send(api.BuildMessage{Error: describe(err)})
		return
	}
	wait := st.listen(nil)
	id, notes, err := s.backend.Build(st.ctx, req, func(e build.Event) { _ = st.send(api.BuildMessage{Event: &e}) })
	switch {
	case err != nil && st.ctx.Err() == nil:
		_ = st.send(api.BuildMessage{Error: describe(err)})
	case err == nil:
		_ = st.send(api.BuildMessage{Image: id, Notes: notes})
	}
	st.close()
	wait()
}

// session runs an app for as long as the connection lasts.
func (s *server) session(w http.ResponseWriter, r *http.Request) {
	st := s.open(w, r)
	if st == nil {
		return
	}
	var req api.SessionRequest
	if err := st.receive(&req); err != nil {
		_ = st.send(api.SessionMessage{Error: describe(err)})
		st.close()
		return
	}
	app, err := s.backend.StartApp(st.ctx, req)
	if err != nil {
		_ = st.send(api.SessionMessage{Error: describe(err)})
		st.close()
		return
	}
	// The app's events outlive the client's connection: it is ended in order
	// even when nobody is left to read how.
	events := app.Events(context.WithoutCancel(st.ctx))
	started := app.Started()
	_ = st.send(api.SessionMessage{Started: &started})

	stopping := context.WithoutCancel(st.ctx)
	wait := st.listen(func(data []byte) {
		var command api.SessionCommand
		if json.Unmarshal(data, &command) == nil && (command.Stop || command.Now) {
			if err := app.Stop(stopping, command.Now); err != nil {
				s.log.Warn("stopping an app", "app", started.App, "error", err)
			}
		}
	})
	gone := st.ctx.Done()
	for open := true; open; {
		select {
		case m, ok := <-events:
			if !ok {
				open = false
				break
			}
			_ = st.send(m)
		case <-gone:
			gone = nil
			if req.Detach {
				open = false
				break
			}
			if err := app.Stop(stopping, false); err != nil {
				s.log.Warn("stopping an app whose client went", "app", started.App, "error", err)
			}
		}
	}
	st.close()
	wait()
}
