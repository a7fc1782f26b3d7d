package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/engine/store"
)

const (
	// pageBytes is how many bytes of text one answer has, or some more.
	pageBytes = 1 << 20
	// pageWait is how long an answer may be waited for.
	pageWait = time.Minute
	// callPoll is how often it is looked whether a call has ended whose lines are
	// waited for.
	callPoll = 250 * time.Millisecond
)

// logPages answers programs that read logs.
type logPages struct{ *Engine }

// pageQuery is what is asked of a log.
type pageQuery struct {
	App      string   `json:"app"`      // one of these: an app's id or name, a function's id, a spawned call's
	Function string   `json:"function"` //
	Call     string   `json:"call"`     //
	Since    float64  `json:"since"`    // seconds since 1970, 0 = the beginning; of a call that is its own
	Until    float64  `json:"until"`    // the same, 0 = the end
	Streams  []string `json:"streams"`
	Search   string   `json:"search"`
	Tail     int      `json:"tail"`  // only so many of the newest; 0 = all
	After    *uint64  `json:"after"` // only lines behind that one; null = behind the newest there is, if Wait is set, else all
	Wait     float64  `json:"wait"`  // seconds to wait for the first line
}

// loggedLine is a line as programs get it.
type loggedLine struct {
	Text      string  `json:"text"`
	Partial   bool    `json:"partial,omitempty"`
	Time      float64 `json:"time"` // seconds since 1970
	Stream    string  `json:"stream"`
	Function  string  `json:"function,omitempty"`
	Container string  `json:"container,omitempty"`
	Call      string  `json:"call,omitempty"`
	Input     uint32  `json:"input,omitempty"`
}

// logPage is the answer.
type logPage struct {
	Lines []loggedLine `json:"lines"`
	After uint64       `json:"after"` // what the next question is to have
	More  bool         `json:"more"`  // there are more at present
	Ended bool         `json:"ended"` // no more will come
}

// Operations implements ask.Service.
//
//	logs.read  pageQuery   logPage
func (e logPages) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{"logs.read": func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p pageQuery
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		page, err := e.read(ctx, p)
		var known *api.Error
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, logs.ErrNotFound):
			err = ask.NotFound("%v", err)
		case errors.As(err, &known):
			err = ask.Refused("%s", known.Message)
		}
		return ask.Answer{Result: page}, err
	}}
}

func (e logPages) read(ctx context.Context, p pageQuery) (page logPage, err error) {
	if p.Tail < 0 || p.Wait < 0 {
		return page, ask.Refused("a number of lines, or of seconds, is negative")
	}
	query, err := logQuery(api.LogQuery{Streams: p.Streams, Search: p.Search, Tail: p.Tail, Since: moment(p.Since), Until: moment(p.Until)})
	if err != nil {
		return page, err
	}
	of, err := e.logOf(ctx, p, &query)
	if err != nil {
		return page, err
	}
	query.Follow = p.Wait > 0
	switch {
	case p.After != nil:
		query.After = *p.After
	case query.Follow && p.Call == "":
		query.After = of.log.Last()
	}
	enough := make(chan struct{})
	timer := e.cfg.Clock.AfterFunc(min(time.Duration(p.Wait*float64(time.Second)), pageWait), func() { close(enough) })
	defer timer.Stop()
	got, err := of.page(ctx, query, enough)
	if err != nil {
		return page, err
	}
	page = logPage{Lines: make([]loggedLine, 0, len(got.Lines)), After: got.After, More: got.More, Ended: got.Ended}
	for _, l := range got.Lines {
		page.Lines = append(page.Lines, loggedLine{
			Text: l.Text, Partial: l.Partial, Time: store.Seconds(l.Time), Stream: l.Stream, Function: l.Function, Container: l.Container, Call: l.Call, Input: l.Input,
		})
	}
	return page, nil
}

// latest is a time later than that of any line, in seconds since 1970: those of
// the year 9999, which programs write for "ever", are no time.Time in nanoseconds.
const latest = 1 << 33

func moment(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return store.Time(min(max(seconds, -latest), latest))
}

// logOf is the log that is meant, to which the query is narrowed.
func (e logPages) logOf(ctx context.Context, p pageQuery, q *logs.Query) (*pageSource, error) {
	of := &pageSource{engine: e.Engine}
	ref := p.App
	switch {
	case p.Function != "":
		d, err := e.function(p.Function)
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, fmt.Errorf("%w: this host has no function %q: its app has ended", ErrNotFound, p.Function)
		}
		ref, q.Filter.Functions = d.app.id, []string{d.name}
	case p.Call != "":
		app, created, err := e.appOfCall(ctx, p.Call)
		if err != nil {
			return nil, err
		}
		ref, of.call, q.Filter.Calls = app, p.Call, []string{p.Call}
		if q.Since.IsZero() {
			q.Since = created
		}
	case ref == "":
		return nil, ask.Refused("whose log is to be read?")
	}
	var err error
	if ref == "" { // of a call of which nothing else is known any more
		of.log, err = e.findLog(ctx, p.Call, &q.Filter)
	} else {
		of.log, err = e.logs.Find(ref)
	}
	if p.Call != "" && ref != "" && errors.Is(err, logs.ErrNotFound) { // its environment has another name by now
		of.log, err = e.findLog(ctx, p.Call, &q.Filter)
	}
	return of, err
}

// appOfCall finds the app of a spawned call; "" = it is not known any more.
func (e logPages) appOfCall(ctx context.Context, id string) (app string, created time.Time, err error) {
	if c := e.registry.Spawned(id); c != nil {
		switch t := c.Target.(type) {
		case *function.Function:
			return t.App(), c.Created, nil
		case *late:
			return appKey(t.meta.Environment, t.meta.App), c.Created, nil
		}
	}
	c, err := e.spawned.Find(ctx, id)
	if errors.Is(err, spawned.ErrUnknown) || errors.Is(err, spawned.ErrDropped) {
		return "", created, nil
	}
	m := c.Meta()
	return appKey(m.Environment, m.App), m.Created, err
}

// pageSource is a log that is read, of an app or of one call.
type pageSource struct {
	engine *Engine
	log    *logs.Log
	call   string // id; "" = of an app
}

// page reads a page. That of a call has ended when the call has.
func (s *pageSource) page(ctx context.Context, q logs.Query, enough <-chan struct{}) (logs.Page, error) {
	if s.call == "" {
		return s.log.Page(ctx, q, pageBytes, enough)
	}
	for {
		over := s.engine.callEnded(ctx, s.call) // before the reading: its lines are there then
		look := make(chan struct{})
		timer := s.engine.cfg.Clock.AfterFunc(callPoll, func() { close(look) })
		now := q
		now.Follow = q.Follow && !over
		p, err := s.log.Page(ctx, now, pageBytes, look)
		timer.Stop()
		if p.Ended = p.Ended || over && !p.More; err != nil || p.Ended || p.More || len(p.Lines) > 0 || !q.Follow {
			return p, err
		}
		q.After, q.Tail = p.After, 0
		select {
		case <-enough:
			return p, nil
		case <-look:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// callEnded reports whether a spawned call is done, or not known any more.
func (e *Engine) callEnded(ctx context.Context, id string) bool {
	if c := e.registry.Spawned(id); c != nil {
		return c.Ended()
	}
	c, err := e.spawned.Find(ctx, id)
	return err != nil || !c.Finished.IsZero()
}
