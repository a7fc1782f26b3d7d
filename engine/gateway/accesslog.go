package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
)

// accessLog collects lines while others are being written: one write for many
// requests, where many come.
type accessLog struct {
	to func([]api.LogLine)

	mu      sync.Mutex
	lines   []api.LogLine
	writing bool
}

// add writes a line, in this goroutine unless another one is at it and takes
// this along.
func (l *accessLog) add(line api.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if l.writing {
		return
	}
	l.writing = true
	for len(l.lines) > 0 {
		lines := l.lines
		l.lines = nil
		l.mu.Unlock()
		l.to(lines)
		l.mu.Lock()
	}
	l.writing = false
}

const maxShownPath = 200

// logAccess notes a request that was answered.
func (x *exchange) logAccess(r *http.Request) {
	path := x.place.path
	if len(path) > maxShownPath {
		path = path[:maxShownPath] + "..."
	}
	took := x.gateway.cfg.Clock.Now().Sub(x.began)
	answer := fmt.Sprintf("%d %s", x.status, http.StatusText(x.status))
	if x.status == statusGone {
		answer = "the client left"
	}
	if x.broke {
		answer += ", cut off"
	}
	x.route.log.add(x.line(fmt.Sprintf("%s %s -> %s (%s)", r.Method, path, strings.TrimSpace(answer), shown(took))))
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
