package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
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
	firstWait = 30 * time.Second // for what a client wants, once it has connected
)

// stream is one WebSocket that carries JSON.
type stream struct {
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc

	// patient streams wait for their client as long as its process lives: one
	// that is suspended, or writes to a pager, is not gone. Only the kernel's
	// word counts, which is to be had on a unix socket.
	patient bool

	mu      sync.Mutex // of writes
	pinging sync.WaitGroup
}

// open makes a request a stream; it has answered if it returns nil. The
// stream's ctx ends when the client goes.
func (s *Server) open(w http.ResponseWriter, r *http.Request) *stream {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // Upgrade has answered
	}
	ws.SetReadLimit(maxJSON)
	ctx, cancel := context.WithCancel(r.Context())
	st := &stream{ws: ws, ctx: ctx, cancel: cancel, patient: address != nil && address.Network() == "unix"}
	_ = ws.SetReadDeadline(time.Now().Add(firstWait))
	ws.SetPongHandler(func(string) error { return st.alive() })
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
			if st.patient {
				continue
			}
			if st.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				st.cancel()
			}
		}
	}
}

// alive puts off the moment at which the client counts as gone.
func (st *stream) alive() error {
	if st.patient {
		return st.ws.SetReadDeadline(time.Time{})
	}
	return st.ws.SetReadDeadline(time.Now().Add(deadAfter))
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
	if !st.patient {
		_ = st.ws.SetWriteDeadline(time.Now().Add(writeWait))
	}
	if err := st.ws.WriteMessage(websocket.TextMessage, data); err != nil {
		st.cancel()
		return err
	}
	return nil
}

// sendBytes sends a binary message that begins with kind.
func (st *stream) sendBytes(kind byte, data []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.patient {
		_ = st.ws.SetWriteDeadline(time.Now().Add(writeWait))
	}
	w, err := st.ws.NextWriter(websocket.BinaryMessage)
	if err == nil {
		_, err = w.Write([]byte{kind})
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		st.cancel()
	}
	return err
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
	return st.listenAll(func(_ int, data []byte) {
		if message != nil {
			message(data)
		}
	})
}

// listenAll is listen for messages of both kinds.
func (st *stream) listenAll(message func(kind int, data []byte)) (wait func()) {
	_ = st.alive()
	var reading sync.WaitGroup
	reading.Go(func() {
		defer st.cancel()
		for {
			kind, data, err := st.ws.ReadMessage()
			if err != nil {
				return
			}
			message(kind, data)
		}
	})
	return reading.Wait
}

func (s *Server) hostLog(w http.ResponseWriter, r *http.Request) {
	follow, lines, err := tail(r)
	if err != nil {
		refuse(w, err)
		return
	}
	s.lines(w, r, func(ctx context.Context, send func(any) error) error {
		return s.backend.HostLog(ctx, follow, lines, func(text string) error { return send(api.HostLogLine{Text: text}) })
	})
}

func (s *Server) appLogs(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	q, err := api.ParseLogQuery(r.URL.Query())
	if err != nil {
		refuse(w, err)
		return
	}
	s.lines(w, r, func(ctx context.Context, send func(any) error) error {
		return s.backend.Logs(ctx, id, q, func(m api.LogMessage) error { return send(m) })
	})
}

// logEnd is the message that ends a stream of lines with an error.
type logEnd struct {
	Error *api.Error `json:"error"`
}

// lines streams what produce sends until it ends or the client goes.
func (s *Server) lines(w http.ResponseWriter, r *http.Request, produce func(ctx context.Context, send func(any) error) error) {
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

func (s *Server) build(w http.ResponseWriter, r *http.Request) {
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
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
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
	watching, leave := context.WithCancel(context.WithoutCancel(st.ctx))
	defer leave()
	events := app.Events(watching)
	stop := stopper{app: app, ctx: context.WithoutCancel(st.ctx), log: s.log}
	wait := st.listen(func(data []byte) {
		var command api.SessionCommand
		if json.Unmarshal(data, &command) == nil && (command.Stop || command.Now) {
			stop.begin(command.Now)
		}
	})
	tell(st, app, events, req.Detach, &stop)
	st.close()
	wait()
	stop.running.Wait()
}

// tell passes an app's events on until it has ended. When the client goes, the
// app is ended too, or left alone if it is detached.
func tell(st *stream, app App, events <-chan api.SessionMessage, detach bool, stop *stopper) {
	gone, billed := st.ctx.Done(), false
	for {
		select {
		case m, ok := <-events:
			if !ok {
				if !billed { // the host ends, and its apps have
					stopped := app.Stopped()
					_ = st.send(api.SessionMessage{Stopped: &stopped})
				}
				return
			}
			billed = billed || m.Stopped != nil
			_ = st.send(m)
		case <-gone:
			gone = nil
			if detach {
				return
			}
			stop.begin(false)
		}
	}
}

// stopper ends an app in the background: whoever asks for it must be able to
// ask for more haste meanwhile.
type stopper struct {
	app     App
	ctx     context.Context
	log     *slog.Logger
	gently  sync.Once
	now     sync.Once
	running sync.WaitGroup
}

func (s *stopper) begin(now bool) {
	once := &s.gently
	if now {
		once = &s.now
	}
	once.Do(func() {
		s.running.Go(func() {
			if err := s.app.Stop(s.ctx, now); err != nil {
				s.log.Warn("stopping an app", "app", s.app.Started().App, "error", err)
			}
		})
	})
}
