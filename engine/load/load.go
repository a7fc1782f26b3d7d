// Package load tells how busy the machine's processors are: while they are, more
// containers would only take turns.
package load

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

const (
	every = 100 * time.Millisecond // measurements are not closer than this
	stale = time.Second            // what was measured before says nothing of now
)

// Sampler measures. It is safe for concurrent use.
type Sampler struct {
	clock clock.Clock
	path  string

	mu          sync.Mutex
	at          time.Time
	busy, total uint64
	share       float64
}

// New makes a Sampler.
func New(c clock.Clock) *Sampler { return &Sampler{clock: c, path: "/proc/stat"} }

// Busy is the share of the processors' time that was not idle, from 0 to 1, in
// about the last tenth of a second before the call; 0 where it is not known.
func (s *Sampler) Busy() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	since := now.Sub(s.at)
	if since < every {
		return s.share
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return 0
	}
	busy, total, ok := parse(string(data))
	if !ok {
		return 0
	}
	s.share = 0
	if since < stale && total > s.total && busy >= s.busy {
		s.share = float64(busy-s.busy) / float64(total-s.total)
	}
	s.at, s.busy, s.total = now, busy, total
	return s.share
}

// parse reads the first line of /proc/stat: what all processors together have
// spent in user, nice, system, idle, iowait, irq, softirq and steal, in ticks.
func parse(stat string) (busy, total uint64, ok bool) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, f := range fields[1:min(len(fields), 9)] { // what follows is counted in user already
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		total += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, total, true
}
