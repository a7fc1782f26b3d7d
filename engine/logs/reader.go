package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
)

// Read calls fn with lines in their order, and with Follow goes on until the
// log ends or ctx does. Between the old lines and the new ones there is no gap
// and no line comes twice. Where lines are no longer kept, or are dropped while
// the reader is behind, a line of stream "system" says so; it bears the
// sequence number of the last line that it stands for. A slow fn holds up
// nobody.
func (l *Log) Read(ctx context.Context, q Query, fn func([]api.LogLine) error) error {
	r := l.NewReader(q)
	defer r.Close()
	due, stop := l.at(q.Until)
	defer stop()
	for {
		grown := l.Grown() // before the reading, so that nothing is missed
		for {
			lines, err := r.Next(ctx)
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				break
			}
			if err := fn(lines); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if !q.Follow || r.over {
			return nil
		}
		if over, err := l.over(r.next); over {
			return err
		}
		select {
		case <-grown:
		case <-due:
			r.over = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// at returns a channel that is closed at a moment, if that is not zero.
func (l *Log) at(moment time.Time) (due <-chan struct{}, stop func()) {
	if moment.IsZero() {
		return nil, func() {}
	}
	c := l.store.opt.Clock
	ch := make(chan struct{})
	timer := c.AfterFunc(max(0, moment.Sub(c.Now())), func() { close(ch) })
	return ch, func() { timer.Stop() }
}

// over reports whether a reader that is at next has read everything, and then
// with ErrSuspended that there will be more.
func (l *Log) over(next uint64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.ended || next < l.next:
		return false, nil
	case l.suspended:
		return true, ErrSuspended
	}
	return true, nil
}

// Reader reads a log piece by piece. It is used by one goroutine.
type Reader struct {
	log    *Log
	query  Query
	quiet  bool   // lines that are missing are not told of
	placed bool   // next is where the query begins
	over   bool   // Until is behind
	next   uint64 // sequence number of the next line to look at
	file   *os.File
	first  uint64 // of the segment that file is
	at     int64  // offset in file
	buf    []byte
	names  map[string]string
	lines  []api.LogLine
}

// NewReader makes a Reader; q.Follow does not count. Close it.
func (l *Log) NewReader(q Query) *Reader {
	return &Reader{log: l, query: q, next: q.After + 1, names: map[string]string{}}
}

// Next returns the next lines; none if there are no more at present. They are
// valid until the next call.
func (r *Reader) Next(ctx context.Context) ([]api.LogLine, error) {
	r.lines = r.lines[:0]
	if !r.placed {
		if err := r.place(ctx); err != nil {
			return nil, err
		}
		r.placed = true
	}
	for len(r.lines) == 0 && !r.over {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		limit, err := r.position()
		if err != nil || limit == 0 {
			return r.lines, err
		}
		if err := r.read(limit); err != nil {
			return nil, err
		}
	}
	return r.lines, nil
}

// position opens the segment that has the next line and returns how far it may
// be read now; 0 = there is no next line.
func (r *Reader) position() (limit int64, err error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next >= l.next || len(l.segments) == 0 {
		return 0, nil
	}
	i := len(l.segments) - 1
	for i > 0 && l.segments[i].first > r.next {
		i--
	}
	s := l.segments[i]
	switch {
	case r.next < s.first:
		r.missing(s.first, "are no longer kept (the limits are %d MiB of one app, and %s)", l.store.opt.AppBytes>>20, age(l.store.opt.MaxAge))
	case r.next >= s.next && i+1 < len(l.segments):
		i++
		s = l.segments[i]
		r.missing(s.first, "are missing here: they were being written when the machine was stopped")
	}
	if r.file == nil || r.first != s.first {
		f, err := os.Open(segmentPath(l.dir, s.first))
		if err != nil {
			return 0, l.unreadable(err)
		}
		r.Close()
		r.file, r.first = f, s.first
		r.at = s.blocks[s.blockOf(r.next)].at
	}
	return s.size, nil
}

// missing tells of the lines from next to another.
func (r *Reader) missing(to uint64, why string, args ...any) {
	defer func() { r.next = to }()
	if r.quiet {
		return
	}
	count := to - r.next
	what := fmt.Sprintf("%d lines of output ", count)
	if count == 1 {
		what = "1 line of output "
	}
	r.lines = append(r.lines, api.LogLine{
		Seq: to - 1, Time: r.log.store.opt.Clock.Now(), App: r.log.info.ID, Stream: System, Text: what + fmt.Sprintf(why, args...),
	})
}

func age(d time.Duration) string {
	if d <= 0 {
		return "all time"
	}
	if d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// read takes some lines from where the reader is, up to limit.
func (r *Reader) read(limit int64) error {
	since, until := r.query.bounds()
	used, err := someRecords(r.file, r.at, limit, &r.buf, func(rec *record, _ int) error {
		switch {
		case rec.time > until:
			r.over = true
			return errOver
		case rec.seq < r.next:
			return nil
		}
		r.next = rec.seq + 1
		if rec.time >= since && r.query.Filter.wants(rec) {
			r.lines = append(r.lines, rec.line(r.log.info.ID, r.names))
		}
		return nil
	})
	r.at += used
	if err != nil && !errors.Is(err, errOver) {
		return r.log.unreadable(err)
	}
	return nil
}

var errOver = errors.New("no more lines are wanted")

// place finds where the query begins.
func (r *Reader) place(ctx context.Context) error {
	l, q := r.log, &r.query
	segments, next := l.snapshot()
	since, until := q.bounds()
	if !q.Since.IsZero() {
		r.next = max(r.next, seqSince(segments, since, next))
	}
	switch {
	case q.Tail <= 0:
		return nil
	case q.Filter.all() && q.Until.IsZero():
		if last := next - 1; uint64(q.Tail) < last {
			r.next = max(r.next, last-uint64(q.Tail)+1)
		}
		return nil
	}
	// Backwards by blocks, until as many lines as are wanted have been found.
	begin, missing := next, q.Tail
	for i := len(segments) - 1; i >= 0 && missing > 0; i-- {
		s := &segments[i]
		if s.next <= r.next {
			break
		}
		f, err := os.Open(segmentPath(l.dir, s.first))
		if errors.Is(err, fs.ErrNotExist) {
			break // it was dropped meanwhile
		} else if err != nil {
			return l.unreadable(err)
		}
		for k := len(s.blocks) - 1; k >= 0 && missing > 0; k-- {
			if k+1 < len(s.blocks) && s.blocks[k+1].seq <= r.next {
				break
			}
			if s.blocks[k].time > until {
				continue
			}
			var found []uint64
			err := eachRecord(f, s.blocks[k].at, s.end(k), &r.buf, func(rec *record, _ int) error {
				if rec.seq >= r.next && rec.time >= since && rec.time <= until && q.Filter.wants(rec) {
					found = append(found, rec.seq)
				}
				return nil
			})
			if err = errors.Join(err, ctx.Err()); err != nil {
				_ = f.Close()
				return l.unreadable(err)
			}
			if n := len(found); n > 0 {
				begin = found[max(0, n-missing)]
				missing -= min(n, missing)
			}
		}
		_ = f.Close()
	}
	r.next = max(r.next, begin)
	return nil
}

// snapshot is what there is at present, and the number of the next line.
func (l *Log) snapshot() ([]segment, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]segment, 0, len(l.segments))
	for _, s := range l.segments {
		if s.size > 0 {
			list = append(list, *s)
		}
	}
	return list, l.next
}

// seqSince is the number of a line shortly before the first one that is not
// older than since; next, if there is none.
func seqSince(segments []segment, since int64, next uint64) uint64 {
	i, _ := slices.BinarySearchFunc(segments, since, func(s segment, since int64) int { return cmp.Compare(s.latest, since) })
	if i == len(segments) {
		return next
	}
	blocks := segments[i].blocks
	k, _ := slices.BinarySearchFunc(blocks, since, func(b block, since int64) int { return cmp.Compare(b.time, since) })
	return blocks[max(0, k-1)].seq
}

// bounds are Since and Until as records have their time.
func (q *Query) bounds() (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !q.Since.IsZero() {
		since = q.Since.UnixNano()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixNano()
	}
	return since, until
}

// unreadable says whose log cannot be read.
func (l *Log) unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the log of %s was removed meanwhile: %w", l.info.ID, ErrNotFound)
	}
	return fmt.Errorf("reading the log of %s: %w", l.info.ID, err)
}

// Close closes what the reader has open.
func (r *Reader) Close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
