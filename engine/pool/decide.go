// Package pool decides how many containers a function has. What it decides is
// a pure function of a snapshot of the pool, so that it can be tested without
// a container or a clock; admission to what the host has is a ledger. The
// package starts and stops nothing.
package pool

import (
	"math"
	"time"
)

// Settings bound a pool.
type Settings struct {
	Min    int           // containers that are kept without inputs
	Max    int           // most containers; 0 = no limit but the host's
	Buffer int           // containers beyond what the inputs need, while there are inputs
	Window time.Duration // how long a container stays idle
	Target int           // inputs that one container should be running at once; at least 1
	// Probe is how many containers are started for inputs whose duration is
	// not known yet, and at most for those that take next to no time: about as
	// many as there are processors.
	Probe int
}

// Snapshot is a pool at one moment.
type Snapshot struct {
	Settings
	Queued   int // inputs that no container has
	Running  int // inputs that containers have
	Starting int // containers that are not ready yet
	Ready    int // containers that take inputs, idle ones among them
	// Idle is how long each idle container has been idle, in any order.
	Idle []time.Duration

	// Duration is how long an input takes, as measured; 0 = nothing was
	// measured yet. Oldest is how long the input has been running that has
	// been running longest.
	Duration time.Duration
	Oldest   time.Duration
	// Newest is how long ago a container last began an input.
	Newest time.Duration
	// Startup is how long a container takes to get ready, as measured; 0 =
	// nothing was measured yet.
	Startup time.Duration
	// Busy is the share of the machine's processors that is in use, 0 to 1.
	Busy float64
	// Hold forbids starts for so long, after failures.
	Hold time.Duration
	// Failing says that the last start failed: one container at a time is tried.
	Failing bool
	// Closing says that the function is ending: nothing is wanted.
	Closing bool
}

// Decision is what to do.
type Decision struct {
	Want  int           // containers that there should be, starting ones included
	Start int           // containers to start
	Stop  int           // idle containers to stop, those that have been idle longest
	Next  time.Duration // when to look again even if nothing happens; 0 = no need
	Rules Rules         // what decided it
}

// The time within which a queue should be worked off: starting a container
// that is ready only after that is of no use.
const (
	shortest = 200 * time.Millisecond
	longest  = 10 * time.Second
	usual    = 300 * time.Millisecond // while nothing was measured
	// brief is a duration below which inputs compute rather than wait: more
	// containers than processors would only take turns, which makes each input
	// take longer, which would ask for more containers.
	brief = 10 * time.Millisecond
	// saturated is the share of the processors from which on more containers
	// help nobody: they make inputs slower, which would ask for more.
	saturated = 0.85
	// patience is how long a queue that does not move is left to a busy machine.
	patience = 5 * time.Second
	// look is how often a pool with a queue is looked at: inputs that run for
	// longer than anything measured are a reason for more containers.
	look = 50 * time.Millisecond
)

// Decide says what a pool needs.
func Decide(s Snapshot) Decision {
	have := s.Starting + s.Ready
	var d Decision
	d.Want, d.Rules = want(s)
	switch {
	case d.Want > have && s.Hold > 0:
		d.Next = s.Hold
		d.Rules |= held
	case d.Want > have:
		d.Start = min(d.Want-have, max(s.Min-have, ramp(s)-s.Starting, 0))
		if s.Failing {
			d.Start = min(d.Start, max(1-s.Starting, 0))
		}
		d.Rules |= when(d.Start < d.Want-have, ramped)
	case d.Want < have && !s.Closing:
		d.Stop, d.Next = expired(s, have-d.Want)
		d.Rules |= when(d.Stop < min(have-d.Want, len(s.Idle)), windowed)
	case d.Want < have:
		d.Stop = min(len(s.Idle), have-d.Want)
	}
	if s.Queued > 0 && (d.Next == 0 || d.Next > look) {
		d.Next = look
	}
	return d
}

// ramp is how many containers may be starting at once: the number at most
// doubles while they do. A moment in which the machine was busy with something
// else looks like a function that has become slow, and must not fill the host.
func ramp(s Snapshot) int { return max(s.Probe, 1, s.Ready) }

// want is how many containers there should be, and what says so.
func want(s Snapshot) (int, Rules) {
	if s.Closing {
		return 0, closing
	}
	n, rules := busy(s)
	if s.Queued+s.Running > 0 && s.Buffer > 0 {
		n += s.Buffer
		rules |= buffered
	}
	if n < s.Min {
		n = s.Min
		rules |= minimum
	}
	if s.Max > 0 && n > s.Max {
		n = s.Max
		rules |= maximum
	}
	return n, rules
}

// busy is how many containers the inputs need, and what says so.
func busy(s Snapshot) (int, Rules) {
	inputs := s.Queued + s.Running
	if inputs == 0 {
		return 0, nothing
	}
	have := s.Ready + s.Starting
	// A container more than this has nothing to do.
	most := (inputs + s.target() - 1) / s.target()
	if s.Queued == 0 {
		return min(most, have), enough
	}
	capped := func(n int, rule Rules) (int, Rules) {
		if n >= most {
			return most, each
		}
		return n, rule
	}
	if more := unblock(s); more > 0 {
		return capped(s.Ready+more, blocked)
	}
	duration := s.Duration
	switch {
	case s.Busy > saturated: // one more would only take turns with the others
		return capped(max(s.Probe, 1, have), crowded)
	case duration == 0 && s.Oldest < shortest:
		return capped(max(s.Probe, 1, have), probing)
	case duration == 0:
		duration = s.Oldest
	case s.Oldest > max(shortest, duration): // less may be the machine's doing
		duration += (s.Oldest - duration) / 10 // one input, among those that were measured
	}
	work := duration.Seconds() * float64(inputs) / float64(s.target())
	n := int(math.Min(math.Ceil(work/within(s).Seconds()), float64(most)))
	rule := rate
	if duration < brief && n > max(s.Probe, 1) {
		n, rule = max(s.Probe, 1), short
	}
	if n < max(1, have) { // what there is works on as long as there is a queue
		n, rule = max(1, have), enough
	}
	return capped(n, rule)
}

// within is the time in which a queue should be worked off.
func within(s Snapshot) time.Duration {
	startup := s.Startup
	if startup == 0 {
		startup = usual
	}
	return min(max(startup, shortest), longest)
}

// unblock is how many containers to have beyond those that are ready when these
// get nowhere: nobody has begun an input for a while. They may be waiting for
// inputs that are in this very queue.
func unblock(s Snapshot) int {
	switch {
	case s.Ready == 0 || s.Newest < shortest:
		return 0
	case s.Busy <= saturated:
		return ramp(s)
	case s.Newest > patience: // they compute, or the machine does for somebody else
		return 1
	}
	return 0
}

func (s Snapshot) target() int { return max(s.Target, 1) }

// expired is how many of at most spare idle containers have been idle for the
// window, and when the next one will have been. While others have been at
// something within the window, those that did nothing in it are the buffer: they
// stay, also in a moment without inputs, or they would be started again in the
// next.
func expired(s Snapshot, spare int) (stop int, next time.Duration) {
	for _, idle := range s.Idle {
		left := s.Window - idle
		if left <= 0 {
			stop++
		} else if next == 0 || left < next {
			next = left
		}
	}
	if s.Queued+s.Running > 0 || stop < len(s.Idle) {
		stop = max(stop-s.Buffer, 0)
	}
	if stop >= spare {
		return spare, 0
	}
	return stop, next
}
