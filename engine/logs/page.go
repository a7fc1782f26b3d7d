package logs

import (
	"context"
	"errors"

	"github.com/gx-dev/gx/api"
)

// Page is a piece of a log, for who asks for one after the other.
type Page struct {
	Lines []api.LogLine
	After uint64 // the next page has lines with a higher sequence number
	More  bool   // there are more at present
	Ended bool   // no more will come, of those that were asked for
}

// Page reads lines until their texts have so many bytes, or some more. With
// q.Follow it waits for the first line, until enough is closed.
func (l *Log) Page(ctx context.Context, q Query, bytes int, enough <-chan struct{}) (Page, error) {
	r := l.NewReader(q)
	defer r.Close()
	var p Page
	for size := 0; ; {
		grown := l.Grown() // before the reading, so that nothing is missed
		for !p.More {
			lines, err := r.Next(ctx)
			if err != nil {
				return p, err
			}
			if len(lines) == 0 {
				break
			}
			p.Lines = append(p.Lines, lines...)
			for i := range lines {
				size += len(lines[i].Text)
			}
			p.More = size >= bytes
		}
		p.After = r.next - 1
		if p.More {
			return p, nil
		}
		over, err := l.over(r.next)
		if err != nil && !errors.Is(err, ErrSuspended) {
			return p, err
		}
		p.Ended = over && err == nil || r.over
		if p.Ended || over || !q.Follow || len(p.Lines) > 0 {
			return p, nil
		}
		select {
		case <-grown:
		case <-enough:
			return p, nil
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}
