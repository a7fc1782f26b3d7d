package engine

import (
	"context"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/logs"
)

// maxEvents is how many events wait for a session that does not read; the
// oldest are dropped then.
const maxEvents = 10_000

// events are what happened to an app besides its output. Adding to them never
// blocks.
type events struct {
	mu    sync.Mutex
	list  []api.SessionMessage
	woken chan struct{} // room for one
}

func newEvents() *events { return &events{woken: make(chan struct{}, 1)} }

func (e *events) add(m api.SessionMessage) {
	e.mu.Lock()
	if len(e.list) >= maxEvents {
		e.list = e.list[1:]
	}
	e.list = append(e.list, m)
	e.mu.Unlock()
	e.wake()
}

func (e *events) wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

func (e *events) take() []api.SessionMessage {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.list
	e.list = nil
	return list
}

// Events returns what happens to the app: Started first, then its output and
// events by their time, Stopped last. It has one reader. One that is slow gets
// output from the log, and holds nobody up. The channel is closed after
// Stopped, or when ctx or the engine ends.
func (a *App) Events(ctx context.Context) <-chan api.SessionMessage {
	ch := make(chan api.SessionMessage)
	e := a.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closing:
		close(ch)
		return ch
	default:
	}
	e.tending.Go(func() {
		defer close(ch)
		a.feed(ctx, ch)
	})
	return ch
}

// feed sends everything to a session.
func (a *App) feed(ctx context.Context, ch chan<- api.SessionMessage) {
	send := func(m api.SessionMessage) bool {
		select {
		case ch <- m:
			return true
		case <-ctx.Done():
			return false
		case <-a.engine.closing:
			return false
		}
	}
	started := a.Started()
	if !send(api.SessionMessage{Started: &started}) {
		return
	}
	r := a.log.NewReader(logs.Query{})
	defer r.Close()
	for {
		grown := a.log.Grown() // before looking, so that nothing is missed
		over := false
		select {
		case <-a.done:
			over = true
		default:
		}
		if !a.pass(ctx, r, a.events.take(), send) {
			return
		}
		if over {
			stopped := a.Stopped()
			send(api.SessionMessage{Stopped: &stopped})
			return
		}
		select {
		case <-grown:
			if a.log.Ended() { // a moment before the app has
				<-a.done
			}
		case <-a.events.woken:
		case <-ctx.Done():
			return
		case <-a.engine.closing:
			return
		}
	}
}

// pass sends all lines and events that there are, merged by their time.
func (a *App) pass(ctx context.Context, r *logs.Reader, events []api.SessionMessage, send func(api.SessionMessage) bool) bool {
	for {
		lines, err := r.Next(ctx)
		if err != nil {
			return send(api.SessionMessage{Error: &api.Error{Code: "internal", Message: err.Error()}})
		}
		for i := range lines {
			for len(events) > 0 && !eventTime(events[0]).After(lines[i].Time) {
				if !send(events[0]) {
					return false
				}
				events = events[1:]
			}
			line := lines[i]
			if !send(api.SessionMessage{Log: &line}) {
				return false
			}
		}
		if len(lines) == 0 {
			break
		}
	}
	for _, e := range events {
		if !send(e) {
			return false
		}
	}
	return true
}

// eventTime is when an event happened; that inputs wait is told at once.
func eventTime(m api.SessionMessage) time.Time {
	if m.Container != nil {
		return m.Container.Time
	}
	return time.Time{}
}
