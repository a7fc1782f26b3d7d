package pool

import "time"

// Work that a container is given before it has answered, beyond what it runs:
// enough that it never waits for the host, little enough that a queue stays
// even and that little has to be done again when a container dies.
const (
	ahead     = 2 * time.Millisecond
	maxWindow = 1024 // inputs for each that runs
)

// Window is how many inputs a container may have at once, of which it runs
// concurrency, by how long one takes. An unknown duration (0) gives none ahead.
func Window(duration time.Duration, concurrency int) int {
	if duration <= 0 || duration > ahead {
		return concurrency
	}
	return concurrency * int(min(maxWindow, max(1, ahead/duration)))
}

// Meter measures how long an input takes: a moving average that forgets what
// was measured before about ten batches, and the first measurements sooner:
// they have the costs of a beginning in them. The zero value has measured
// nothing.
type Meter struct {
	mean  float64 // nanoseconds
	count int     // inputs, as far as that matters
}

// early is how many measurements are forgotten sooner.
const early = 16

// Add takes a measurement: n inputs took d in all.
func (m *Meter) Add(n int, d time.Duration) {
	if n <= 0 {
		return
	}
	each := max(float64(d)/float64(n), 1)
	// A batch counts more than a single input: that one may have been delayed.
	weight := min(0.1*float64(n), 0.5)
	switch {
	case m.count == 0:
		weight = 1
	case m.count < early:
		weight = 0.5
	}
	m.count = min(m.count+n, early)
	m.mean += weight * (each - m.mean)
}

// Duration is how long an input takes; 0 = nothing was measured.
func (m *Meter) Duration() time.Duration { return time.Duration(m.mean) }

// Sure reports whether enough was measured to conclude something for many
// inputs.
func (m *Meter) Sure() bool { return m.count >= 3 }
