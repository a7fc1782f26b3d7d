package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
)

// Session is an app that lives as long as it.
type Session struct {
	client  *Client
	ws      *websocket.Conn
	started api.Started
	events  chan api.SessionMessage
	closed  chan struct{}
	once    sync.Once
	reading sync.WaitGroup
	bridges *bridges

	mu sync.Mutex // of writes
}

// StartSession starts an app. Its images must be built, and the contents of
// its files uploaded. ctx bounds the start only.
func (c *Client) StartSession(ctx context.Context, req api.SessionRequest) (*Session, error) {
	ws, err := c.stream(ctx, "/v1/session")
	if err != nil {
		return nil, err
	}
	s := &Session{client: c, ws: ws, events: make(chan api.SessionMessage, 256), closed: make(chan struct{}), bridges: newBridges()}
	if s.started, err = s.start(ctx, req); err != nil {
		_ = ws.Close()
		return nil, err
	}
	s.reading.Go(s.read)
	return s, nil
}

func (s *Session) start(ctx context.Context, req api.SessionRequest) (api.Started, error) {
	defer context.AfterFunc(ctx, func() { _ = s.ws.Close() })()
	if err := s.ws.WriteJSON(req); err != nil {
		return api.Started{}, fmt.Errorf("starting the app: %w", errors.Join(ctx.Err(), err))
	}
	var m api.SessionMessage
	if err := s.ws.ReadJSON(&m); err != nil {
		return api.Started{}, fmt.Errorf("starting the app: %w", errors.Join(ctx.Err(), err))
	}
	switch {
	case m.Error != nil:
		return api.Started{}, m.Error
	case m.Started == nil:
		return api.Started{}, errors.New("starting the app: the host's first message does not say that it started")
	}
	return *m.Started, nil
}

// read passes messages on until the connection ends.
func (s *Session) read() {
	defer close(s.events)
	for {
		_, data, err := s.ws.ReadMessage()
		if err != nil {
			return
		}
		var m api.SessionMessage
		if json.Unmarshal(data, &m) != nil {
			return
		}
		select {
		case s.events <- m:
		case <-s.closed:
			return
		}
	}
}

// Started tells the app's ids.
func (s *Session) Started() api.Started { return s.started }

// Events are what the host tells, until Stopped; the channel is closed after
// that, or when the connection broke.
func (s *Session) Events() <-chan api.SessionMessage { return s.events }

// Stop asks the host to end the app: within its grace period, or now. The
// events tell when it has ended.
func (s *Session) Stop(ctx context.Context, now bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer context.AfterFunc(ctx, func() { _ = s.ws.Close() })()
	return s.ws.WriteJSON(api.SessionCommand{Stop: true, Now: now})
}

// Update has the host exchange what the app runs, and returns when new calls get
// the new code. The images of its manifest must be built, and the contents of
// its files uploaded. If it fails, the app goes on as it was.
func (s *Session) Update(ctx context.Context, req api.UpdateRequest) (updated api.Updated, err error) {
	path := "/v1/apps/" + url.PathEscape(s.started.App) + "/update"
	return updated, s.client.call(ctx, http.MethodPost, path, req, &updated)
}

// Usage asks for the app's bill until now.
func (s *Session) Usage(ctx context.Context) (usage []api.Usage, err error) {
	return usage, s.client.call(ctx, http.MethodGet, "/v1/apps/"+url.PathEscape(s.started.App)+"/usage", nil, &usage)
}

// Close closes the session, which ends the app unless it was detached, and
// every bridge that Attach made.
func (s *Session) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		err = s.ws.Close()
		s.reading.Wait()
		s.bridges.close()
	})
	return err
}
