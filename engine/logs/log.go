package logs

import (
	"errors"
	"fmt"
	"math"
	"os"
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

// segmentAge is how long a segment is written to at most, so that what is too
// old can be removed though the app prints little.
const segmentAge = 24 * time.Hour

// Log is the log of one app. It is safe for concurrent use.
type Log struct {
	store *Store
	info  Info
	dir   string

	mu       sync.Mutex
	segments []*segment // the oldest first; the last one is written to
	file     *os.File   // the last segment, as long as lines may come
	next     uint64     // sequence number of the next line
	latest   time.Time  // of the newest line
	began    time.Time  // when the last segment was begun
	lost     int        // lines that could not be written
	buf      []byte
	grown    chan struct{} // closed, and replaced, when somebody waits and lines came
	waited   bool          // somebody took grown
	ended    bool
	// suspended says that lines will come again, from another Log of the same.
	suspended bool
}

// Info tells whose log it is.
func (l *Log) Info() Info { return l.info }

// Append writes lines, sets their Seq, App and Time, and returns the sequence
// number of the last line that is in the log. It never waits for a reader.
// A line's time is now where it has none, and never before that of the line
// before it, so that times can be searched. When the disk is full the lines are
// lost; the log says how many when it can be written again.
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
	if l.file == nil || l.last().size >= l.store.opt.SegmentBytes || now.Sub(l.began) > segmentAge {
		if err := l.rotate(now); err != nil {
			return err
		}
	}
	s := l.last()
	before, blocks, latest := *s, len(s.blocks), l.latest
	l.buf = l.buf[:0]
	for i := range lines {
		line := &lines[i]
		line.Seq, line.App = l.next+uint64(i), l.info.ID
		if line.Time.IsZero() {
			line.Time = now
		}
		if line.Time.Before(latest) {
			line.Time = latest
		}
		latest = line.Time
		at := len(l.buf)
		l.buf = appendRecord(l.buf, line)
		s.note(line.Seq, line.Time.UnixNano(), len(l.buf)-at)
	}
	if _, err := l.file.WriteAt(l.buf, before.size); err != nil {
		// What was written of it is written over, and lies beyond what is read.
		before.blocks = s.blocks[:blocks]
		*s = before
		return fmt.Errorf("writing the log of %s: %w", l.info.ID, errors.Join(err, l.file.Truncate(s.size)))
	}
	l.next += uint64(len(lines))
	l.latest = latest
	if cap(l.buf) > 1<<20 {
		l.buf = nil
	}
	l.wake()
	return nil
}

// last is the segment that is written to. mu is held.
func (l *Log) last() *segment { return l.segments[len(l.segments)-1] }

// rotate begins a segment, and drops the oldest for the budget. mu is held.
func (l *Log) rotate(now time.Time) error {
	f, err := os.OpenFile(segmentPath(l.dir, l.next), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("beginning a segment of the log of %s: %w", l.info.ID, err)
	}
	l.finish()
	if n := len(l.segments); n > 0 && l.segments[n-1].size == 0 { // nothing could be written to it
		l.segments = l.segments[:n-1]
	}
	l.file, l.began = f, now
	l.segments = append(l.segments, &segment{first: l.next, next: l.next})
	l.drop(l.store.opt.AppBytes-l.store.opt.SegmentBytes, time.Time{})
	return nil
}

// finish closes the segment that was written to. mu is held.
func (l *Log) finish() {
	if l.file == nil {
		return
	}
	_ = l.file.Close()
	l.file = nil
	if s := l.last(); s.size > 0 {
		_ = s.saveIndex(l.dir) // without it the segment is read when it is opened
	}
}

// drop removes the oldest segments until no more than keep bytes are left and
// none whose last line is older than since; but not the one that is written to.
// mu is held.
func (l *Log) drop(keep int64, since time.Time) (freed int64) {
	sum := l.size()
	for len(l.segments) > 1 {
		oldest := l.segments[0]
		if sum <= keep && (since.IsZero() || oldest.latest >= since.UnixNano()) {
			break
		}
		sum -= oldest.size
		freed += oldest.size
		l.segments = l.segments[1:]
		_ = removeSegment(l.dir, oldest.first) // found and removed with the log, if not now
	}
	return freed
}

// size is what the log occupies. mu is held.
func (l *Log) size() int64 {
	var sum int64
	for _, s := range l.segments {
		sum += s.size
	}
	return sum
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

// ErrSuspended says that a log will go on when its host has been started again.
var ErrSuspended = errors.New("the log is not written to at present: its host ends")

// End says that no more lines will come. Followers read to the end and finish.
func (l *Log) End() { l.close(false) }

// Suspend says that no more lines will come before Store.Resume. Followers read
// to the end, and Read returns ErrSuspended.
func (l *Log) Suspend() { l.close(true) }

func (l *Log) close(suspend bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended, l.suspended = true, suspend
	l.finish()
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
	return l.size()
}

// expire removes segments that are wholly older than a moment.
func (l *Log) expire(since time.Time) (freed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop(math.MaxInt64, since)
}
