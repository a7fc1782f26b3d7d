package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
)

const (
	// linesASecond is how many requests of an endpoint have a line each; what
	// comes beyond that is counted, and told at the end of the second. A line
	// costs more than a small request.
	linesASecond = 50
	maxShownPath = 200
)

// accessLog has a line for each request, as long as there are not too many.
type accessLog struct {
	to       func([]api.LogLine)
	clock    clock.Clock
	function string

	mu      sync.Mutex
	second  time.Time // when the first of those began that are counted together
	lines   int
	more    map[int]int // requests without a line, by status
	pending []api.LogLine
	writing bool
}

// add writes the line of a request, or counts it.
func (l *accessLog) add(now time.Time, status int, line func() api.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		l.second, l.lines = now, 0
	}
	if l.lines++; l.lines > linesASecond {
		if l.more == nil {
			l.more = map[int]int{}
			l.clock.AfterFunc(time.Second, l.sum)
		}
		l.more[status]++
		return
	}
	l.write(line())
}

// sum tells how many requests had no line.
func (l *accessLog) sum() {
	l.mu.Lock()
	defer l.mu.Unlock()
	total, parts := 0, make([]string, 0, len(l.more))
	for _, status := range slices.Sorted(maps.Keys(l.more)) {
		total += l.more[status]
		parts = append(parts, fmt.Sprintf("%d x %s", l.more[status], statusText(status)))
	}
	l.more = nil
	line := systemLine(l.clock.Now(), fmt.Sprintf("and %d more requests within a second: %s", total, strings.Join(parts, ", ")))
	line.Function = l.function
	l.write(line)
}

// write writes a line, in this goroutine unless another one is at it and takes
// this along. mu is held.
func (l *accessLog) write(line api.LogLine) {
	l.pending = append(l.pending, line)
	if l.writing {
		return
	}
	l.writing = true
	for len(l.pending) > 0 {
		lines := l.pending
		l.pending = nil
		l.mu.Unlock()
		l.to(lines)
		l.mu.Lock()
	}
	l.writing = false
}

// logAccess notes a request that was answered.
func (x *exchange) logAccess() {
	now := x.gateway.cfg.Clock.Now()
	x.route.log.add(now, x.status, func() api.LogLine {
		path := x.place.path
		if len(path) > maxShownPath {
			path = path[:maxShownPath] + "..."
		}
		answer := statusText(x.status)
		if x.broke {
			answer += ", cut off"
		}
		return x.line(fmt.Sprintf("%s %s -> %s (%s)", x.method, path, answer, shown(now.Sub(x.began))))
	})
}

func statusText(status int) string {
	if status == statusGone {
		return "the client left"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// shown is a duration to three digits.
func shown(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
