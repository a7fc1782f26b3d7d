package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
)

// Streams of a line.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	System = "system" // gx's own words
)

// Log is the log of one app. It is safe for concurrent use.
type Log struct {
	store *Store
	info  Info
	dir   string

	mu       sync.Mutex
	segments []segment // the oldest first; the last one is written to
	file     *os.File  // the last segment, as long as lines may come
	next     uint64    // sequence number of the next line
	lost     int       // lines that could not be written
	buf      []byte
	grown    chan struct{} // closed, and replaced, when somebody waits and lines came
	waited   bool          // somebody took grown
	ended    bool
}

// segment is one file of a log.
type segment struct {
	first uint64 // sequence number of its first line
	size  int64  // bytes of whole records
}

func (l *Log) path(s segment) string { return filepath.Join(l.dir, fmt.Sprintf("%020d.log", s.first)) }

// Info tells whose log it is.
func (l *Log) Info() Info { return l.info }

// Append writes lines, sets their Seq, App and, where it is missing, Time, and
// returns the sequence number of the last line that is in the log. It never
// waits for a reader. When the disk is full the lines are lost; the log says
// how many when it can be written again.
func (l *Log) Append(lines []api.LogLine) (last uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(lines) == 0 {
		return l.next - 1, nil
	}
	now := l.store.opt.Clock.Now()
	if l.lost > 0 {
		note := api.LogLine{Stream: System, Function: lines[0].Function, Time: now,
			Text: fmt.Sprintf("%d lines of output were lost: the log could not be written (is the disk full?)", l.lost)}
		if l.write([]api.LogLine{note}, now) == nil {
			l.lost = 0
		}
	}
	if err := l.write(lines, now); err != nil {
		l.lost += len(lines)
		return l.next - 1, err
	}
	return l.next - 1, nil
}

// write appends lines to the last segment with one system call. mu is held.
func (l *Log) write(lines []api.LogLine, now time.Time) error {
	if l.file == nil || l.segments[len(l.segments)-1].size >= l.store.opt.SegmentBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	l.buf = l.buf[:0]
	for i := range lines {
		line := &lines[i]
		line.Seq, line.App = l.next+uint64(i), l.info.ID
		if line.Time.IsZero() {
			line.Time = now
		}
		l.buf = appendRecord(l.buf, line)
	}
	s := &l.segments[len(l.segments)-1]
	if _, err := l.file.WriteAt(l.buf, s.size); err != nil {
		// What was written of it is written over, and lies beyond what is read.
		return fmt.Errorf("writing the log of %s: %w", l.info.ID, errors.Join(err, l.file.Truncate(s.size)))
	}
	s.size += int64(len(l.buf))
	l.next += uint64(len(lines))
	if cap(l.buf) > 1<<20 {
		l.buf = nil
	}
	l.wake()
	return nil
}

// rotate begins a segment, and drops the oldest for the budget. mu is held.
func (l *Log) rotate() error {
	s := segment{first: l.next}
	f, err := os.OpenFile(l.path(s), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("beginning a segment of the log of %s: %w", l.info.ID, err)
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = f
	l.segments = append(l.segments, s)
	var sum int64
	for _, s := range l.segments {
		sum += s.size
	}
	for len(l.segments) > 1 && sum+l.store.opt.SegmentBytes > l.store.opt.AppBytes {
		oldest := l.segments[0]
		sum -= oldest.size
		l.segments = l.segments[1:]
		_ = os.Remove(l.path(oldest)) // found and removed with the log, if not now
	}
	return nil
}

// wake tells those who wait. mu is held.
func (l *Log) wake() {
	if l.waited {
		close(l.grown)
		l.grown, l.waited = make(chan struct{}), false
	}
}

// Grown returns a channel that is closed when lines come after this call, or
// the log ends.
func (l *Log) Grown() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		done := make(chan struct{})
		close(done)
		return done
	}
	l.waited = true
	return l.grown
}

// End says that no more lines will come. Followers read to the end and finish.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	close(l.grown)
	l.store.ended(l)
}

// Ended reports whether no more lines will come.
func (l *Log) Ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// Last is the sequence number of the newest line, 0 if there is none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// bytes is what the log occupies.
func (l *Log) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum int64
	for _, s := range l.segments {
		sum += s.size
	}
	return sum
}

// Query says which lines to read.
type Query struct {
	Tail   int       // only so many of the newest; 0 = all
	After  uint64    // only those with a higher sequence number
	Since  time.Time // only those that are not older
	Follow bool      // go on with what comes, until the log ends
}

// Read calls fn with lines in their order, and with Follow goes on until the
// log ends or ctx does. Between the old lines and the new ones there is no gap
// and no line comes twice. Where the budget has dropped lines, or drops them
// while the reader is behind, a line of stream "system" says so; it bears the
// sequence number of the last line that it stands for. A slow fn holds up
// nobody.
func (l *Log) Read(ctx context.Context, q Query, fn func([]api.LogLine) error) error {
	r := l.NewReader(q)
	defer r.Close()
	for {
		grown := l.Grown() // before the reading, so that nothing is missed
		for {
			lines, err := r.Next()
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
		if !q.Follow || l.over(r.next) {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// over reports whether a reader that is at next has read everything.
func (l *Log) over(next uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended && next >= l.next
}

// Reader reads a log piece by piece. It is used by one goroutine.
type Reader struct {
	log   *Log
	since time.Time
	next  uint64 // sequence number of the next line to return
	file  *os.File
	first uint64 // of the segment that file is
	at    int64  // offset in file
	buf   []byte
	lines []api.LogLine
}

// NewReader makes a Reader; q.Follow does not count. Close it.
func (l *Log) NewReader(q Query) *Reader {
	r := &Reader{log: l, since: q.Since, next: max(1, q.After+1)}
	if last := l.Last(); q.Tail > 0 && uint64(q.Tail) < last {
		r.next = max(r.next, last-uint64(q.Tail)+1)
	}
	return r
}

// readSize is how many bytes of a segment are read at once: a record and more.
const readSize = 256 << 10

// Next returns the next lines; none if there are no more at present. They are
// valid until the next call.
func (r *Reader) Next() ([]api.LogLine, error) {
	r.lines = r.lines[:0]
	for len(r.lines) == 0 {
		limit, err := r.position()
		if err != nil || limit == 0 {
			return nil, err
		}
		if err := r.read(limit); err != nil {
			return nil, err
		}
	}
	return r.lines, nil
}

// position opens the segment that has the next line and returns how far it may
// be read; 0 = there is no next line.
func (r *Reader) position() (limit int64, err error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next >= l.next || len(l.segments) == 0 {
		return 0, nil
	}
	if oldest := l.segments[0].first; r.next < oldest {
		r.lines = append(r.lines, api.LogLine{Seq: oldest - 1, Time: l.store.opt.Clock.Now(), App: l.info.ID, Stream: System,
			Text: fmt.Sprintf("%d lines of output were dropped here: the app has printed more than the %d MiB that are kept of one app's log", oldest-r.next, l.store.opt.AppBytes>>20)})
		r.next = oldest
	}
	i := len(l.segments) - 1
	for i > 0 && l.segments[i].first > r.next {
		i--
	}
	s := l.segments[i]
	if r.file == nil || r.first != s.first {
		f, err := os.Open(l.path(s))
		if err != nil {
			return 0, fmt.Errorf("reading the log of %s: %w", l.info.ID, err)
		}
		r.Close()
		r.file, r.first, r.at = f, s.first, 0
	}
	return s.size, nil
}

// read parses lines from where the reader is, up to limit.
func (r *Reader) read(limit int64) error {
	if r.buf == nil {
		r.buf = make([]byte, readSize)
	}
	for {
		n, err := r.file.ReadAt(r.buf[:min(int64(len(r.buf)), limit-r.at)], r.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the log of %s: %w", r.log.info.ID, err)
		}
		used := 0
		for used < n {
			line := api.LogLine{App: r.log.info.ID}
			size, err := parseRecord(r.buf[used:n], &line)
			if err != nil {
				return fmt.Errorf("reading the log of %s: %w", r.log.info.ID, err)
			}
			if size == 0 {
				break
			}
			used += size
			if line.Seq >= r.next {
				r.next = line.Seq + 1
				if !line.Time.Before(r.since) {
					r.lines = append(r.lines, line)
				}
			}
		}
		r.at += int64(used)
		switch {
		case used == 0 && n == len(r.buf) && n < maxRecord+4:
			r.buf = make([]byte, maxRecord+4) // one record is larger than the buffer
			continue
		case used == 0:
			return fmt.Errorf("reading the log of %s: %w", r.log.info.ID, errRecord)
		}
		if len(r.lines) > 0 || r.at >= limit {
			return nil
		}
	}
}

// Close closes what the reader has open.
func (r *Reader) Close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
