package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/logs/where"
)

// Logs passes on an app's log: whose it is, the lines that are asked for, and
// End if it has come to the end of them. With q.Follow that is when the app
// has ended; a host that ends first does not say End of apps that go on with
// the next one. ref is an app's id or name, or the id of a container or a call,
// which asks for its lines alone.
func (e *Engine) Logs(ctx context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error {
	query, err := logQuery(q)
	if err != nil {
		return err
	}
	l, err := e.findLog(ctx, ref, &query.Filter)
	if err != nil {
		return err
	}
	info := e.logInfo(l.Info())
	if err := send(api.LogMessage{Log: &info}); err != nil {
		return err
	}
	err = l.Read(ctx, query, func(lines []api.LogLine) error { return send(api.LogMessage{Lines: lines}) })
	switch {
	case errors.Is(err, logs.ErrSuspended):
		return nil
	case errors.Is(err, logs.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return err
	}
	return send(api.LogMessage{End: true})
}

// logQuery reads a query's conditions.
func logQuery(q api.LogQuery) (logs.Query, error) {
	query := logs.Query{
		Tail: q.Tail, After: q.After, Since: q.Since, Until: q.Until, Follow: q.Follow,
		Filter: logs.Filter{Functions: q.Functions, Containers: q.Containers, Calls: q.Calls, Streams: q.Streams, Search: q.Search},
	}
	for _, s := range q.Streams {
		if s != logs.Stdout && s != logs.Stderr && s != logs.System {
			return query, &api.Error{Code: "invalid", Message: fmt.Sprintf("there is no stream %q: it is stdout, stderr or system", s)}
		}
	}
	for _, text := range q.Where {
		c, err := where.Parse(text)
		if err != nil {
			return query, &api.Error{Code: "invalid", Message: err.Error()}
		}
		query.Filter.Where = append(query.Filter.Where, c)
	}
	return query, nil
}

// findLog finds a log, and narrows the filter to the container or call that was
// meant.
func (e *Engine) findLog(ctx context.Context, ref string, f *logs.Filter) (*logs.Log, error) {
	l, err := e.logs.Find(ref)
	if err == nil || !errors.Is(err, logs.ErrNotFound) {
		return l, err
	}
	var only logs.Filter
	_, id := environment.Split(ref)
	switch {
	case strings.HasPrefix(id, "co-"):
		only.Containers = []string{id}
		f.Containers = only.Containers
		if f := e.functionOf(id); f != nil {
			if l, err := e.logs.Find(f.App()); err == nil {
				return l, nil // though it has printed nothing yet
			}
		}
	case strings.HasPrefix(id, "fc-"):
		only.Calls = []string{id}
		f.Calls = only.Calls
	default:
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if l, err = e.logs.Holding(ctx, only); errors.Is(err, logs.ErrNotFound) {
		return nil, fmt.Errorf("%w: no log that is kept has a line of %s", ErrNotFound, id)
	}
	return l, err
}

// LogList lists whose logs there are, by an app's name or id ("" = all), the
// newest first.
func (e *Engine) LogList(ref string) ([]api.LogInfo, error) {
	all, err := e.logs.List()
	if err != nil {
		return nil, err
	}
	in, name := environment.Split(ref)
	list := []api.LogInfo{}
	for _, info := range all {
		if ref == "" || info.ID == name || info.Name == name && cmp.Or(info.Environment, environment.Main) == in {
			list = append(list, e.logInfo(info))
		}
	}
	return list, nil
}

func (e *Engine) logInfo(info logs.Info) api.LogInfo {
	return api.LogInfo{
		App: info.ID, Name: info.Name, Environment: cmp.Or(info.Environment, environment.Main), Created: info.Created, Live: e.logs.Live(info.ID),
	}
}
