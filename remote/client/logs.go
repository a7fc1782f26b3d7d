package client

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
)

// How long a log is asked for again when the connection breaks. A host that is
// started again is back within seconds, a machine within minutes.
const (
	retryFirst = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	retryLimit = 2 * time.Minute
	retryLasts = 10 * time.Second // a connection that has lasted so long was one
)

// LogEvents are told while a log is read. Only Lines is required.
type LogEvents struct {
	Log   func(api.LogInfo)         // whose it is
	Lines func([]api.LogLine) error // an error ends the reading, and is returned
	Lost  func(error)               // the connection is lost, and is made again
}

// Logs passes on a log: ref is an app's id or name, or the id of a container or
// a call. It returns when all that q asks for has come. When the connection
// breaks, or the host is started again, it goes on with the line after the last
// that came: none is missed, and none comes twice.
func (c *Client) Logs(ctx context.Context, ref string, q api.LogQuery, on LogEvents) error {
	r := logReading{client: c, ref: ref, query: q, on: on}
	wait, lost := retryFirst, time.Time{}
	for {
		after, began := r.query.After, time.Now()
		err := r.read(ctx)
		if r.over || ctx.Err() != nil || !r.known || !passing(err) {
			return err
		}
		if lost.IsZero() || r.query.After > after || time.Since(began) > retryLasts {
			wait, lost = retryFirst, time.Now()
			if on.Lost != nil {
				on.Lost(err)
			}
		}
		if time.Since(lost) > retryLimit {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait = min(2*wait, retryMost)
		}
	}
}

// logReading is how far a log has been read.
type logReading struct {
	client *Client
	ref    string
	query  api.LogQuery
	on     LogEvents
	known  bool // whose log it is
	over   bool
}

// read reads until the connection ends.
func (r *logReading) read(ctx context.Context) error {
	ws, err := r.client.stream(ctx, "/v1/apps/"+url.PathEscape(r.ref)+"/logs?"+r.query.Values().Encode())
	if err != nil {
		return err
	}
	err = receive(ctx, ws, func(m api.LogMessage) (stop bool, err error) {
		switch {
		case m.Error != nil:
			return true, m.Error
		case m.End:
			r.over = true
		case m.Log != nil:
			r.begins(*m.Log)
		case len(m.Lines) > 0:
			// What was asked for by number from the end is now known by number
			// from the beginning.
			r.query.After, r.query.Tail = m.Lines[len(m.Lines)-1].Seq, 0
			err = r.on.Lines(m.Lines)
			r.over = err != nil
		}
		return r.over, err
	})
	if err == nil && !r.over {
		err = &brokenError{errors.New("the host ends")}
	}
	return err
}

// begins notes whose log it is: by its name there may be a newer one later.
func (r *logReading) begins(info api.LogInfo) {
	if r.known {
		return
	}
	r.known = true
	if _, name, ok := strings.Cut(r.ref, "/"); ok {
		r.ref = name
	}
	switch {
	case r.ref == info.App, r.ref == info.Name:
	case strings.HasPrefix(r.ref, "co-"):
		r.query.Containers = []string{r.ref}
	case strings.HasPrefix(r.ref, "fc-"):
		r.query.Calls = []string{r.ref}
	}
	r.ref = info.App
	if r.on.Log != nil {
		r.on.Log(info)
	}
}

// passing reports whether an error may be gone when one tries again.
func passing(err error) bool {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Code == "ending"
	}
	return err != nil
}

// LogList lists whose logs the host keeps, by an app's name or id ("" = all),
// the newest first.
func (c *Client) LogList(ctx context.Context, app string) (list []api.LogInfo, err error) {
	return list, c.call(ctx, "GET", "/v1/logs?app="+url.QueryEscape(app), nil, &list)
}
