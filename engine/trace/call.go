package trace

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/api"
)

// What is kept of one call's inputs.
const (
	maxSlow     = 4  // that ran for longest
	maxAttempts = 40 // attempts that failed, of all inputs together
)

// Call is the record of a call. The methods of a nil Call do nothing.
type Call struct {
	ID     string // "" until a container is told of it
	Kind   string
	Method string

	fn         *Function
	next, prev *Call // of those that are live
	listed     bool  // it is among those
	recent     bool  // it is in the ring of those that have ended
	troubled   bool  // it is in that of those that failed or were tried again

	opened    time.Time
	came      time.Duration // everything is counted from opened
	began     time.Duration
	answered  time.Duration // the last
	delivered atomic.Int64  // nanoseconds; 0 = not yet
	container string        // that began first

	inputs, done, failed, retries int64
	waits, runs                   sum
	slow                          [maxSlow]input
	slows                         int
	attempts                      []attempt
}

// sum adds durations up.
type sum struct {
	n          int64
	total, max time.Duration
}

func (s *sum) add(d time.Duration) {
	s.n++
	s.total += d
	if d > s.max {
		s.max = d
	}
}

func (s sum) span() api.Span {
	if s.n == 0 {
		return api.Span{}
	}
	return api.Span{Mean: s.total.Seconds() / float64(s.n), Max: s.max.Seconds()}
}

// input is one input that was answered by a container.
type input struct {
	index              uint32
	attempt            uint16
	container          string
	came, began, ended time.Duration
}

// Attempt is a try of an input that did not lead to a result.
type Attempt struct {
	Index     uint32
	Number    int // from 1; 0 = no container was given it
	Container string
	Came      time.Time // of the input
	Began     time.Time // zero = it did not begin
	Ended     time.Time
	Outcome   string // see api.Attempt
	Error     string
	Again     bool // another one follows
	Delay     time.Duration
}

type attempt struct {
	Attempt
	came, ended time.Duration
}

// Open makes the record of a call of the function.
func (f *Function) Open(id, kind, method string, opened time.Time) *Call {
	return &Call{ID: id, Kind: kind, Method: method, fn: f, opened: opened}
}

// Identify gives the call its id.
func (c *Call) Identify(id string) {
	if c != nil {
		c.ID = id
	}
}

// Came notes that an input came.
func (c *Call) Came(now time.Time) {
	if c == nil {
		return
	}
	if c.inputs == 0 {
		c.came = now.Sub(c.opened)
	}
	c.inputs++
	if !c.listed {
		c.fn.live.push(c)
	}
}

// Answered notes that a container answered an input by a result.
func (c *Call) Answered(index uint32, number uint16, container string, came, began, now time.Time) {
	if c == nil {
		return
	}
	in := input{index, number, container, came.Sub(c.opened), began.Sub(c.opened), now.Sub(c.opened)}
	c.begin(container, in.began)
	if number <= 1 {
		c.waits.add(in.began - in.came)
	}
	ran := in.ended - in.began
	c.runs.add(ran)
	if c.slows < maxSlow {
		c.slow[c.slows] = in
		c.slows++
		c.sort(c.slows - 1)
	} else if last := &c.slow[maxSlow-1]; ran > last.ended-last.began {
		*last = in
		c.sort(maxSlow - 1)
	}
	c.done++
	c.answered = max(c.answered, in.ended)
	c.settle()
}

// sort moves an input to its place among the slowest, the first of them.
func (c *Call) sort(i int) {
	for ; i > 0 && c.slow[i].ended-c.slow[i].began > c.slow[i-1].ended-c.slow[i-1].began; i-- {
		c.slow[i], c.slow[i-1] = c.slow[i-1], c.slow[i]
	}
}

func (c *Call) begin(container string, began time.Duration) {
	if c.container == "" || began < c.began {
		c.container, c.began = container, began
	}
}

// Failed notes an attempt that failed. Of a call's first such the reason is
// asked for; it is nil where the attempt has it already.
func (c *Call) Failed(a Attempt, reason func() string) {
	if c == nil {
		return
	}
	ended := a.Ended.Sub(c.opened)
	if !a.Began.IsZero() {
		c.begin(a.Container, a.Began.Sub(c.opened))
		if a.Number == 1 {
			c.waits.add(a.Began.Sub(a.Came))
		}
		if !a.Again {
			c.runs.add(a.Ended.Sub(a.Began))
		}
	}
	if len(c.attempts) < maxAttempts {
		if reason != nil {
			a.Error = reason()
		}
		a.Error = oneLine(a.Error)
		c.attempts = append(c.attempts, attempt{a, a.Came.Sub(c.opened), ended})
	}
	if a.Again {
		c.retries++
		return
	}
	c.done++
	c.failed++
	c.answered = max(c.answered, ended)
	c.settle()
}

// LastFailure is the last attempt of an input that failed; false = it is not
// known.
func (c *Call) LastFailure(index uint32) (Attempt, bool) {
	if c == nil {
		return Attempt{}, false
	}
	for i := len(c.attempts) - 1; i >= 0; i-- {
		if c.attempts[i].Index == index {
			return c.attempts[i].Attempt, true
		}
	}
	return Attempt{}, false
}

// maxLine is how long the error of an attempt may be.
const maxLine = 400

// oneLine is a text in one line, and not a part of the whole payload that it
// may come from.
func oneLine(s string) string {
	s = s[:min(len(s), 2*maxLine)]
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	s = strings.Join(lines, " | ")
	if len(s) > maxLine {
		s = s[:maxLine] + "..."
	}
	return strings.Clone(strings.ToValidUTF8(s, ""))
}

// Delivered notes that the last answer was written to the caller. It may be
// called without the lock.
func (c *Call) Delivered(now time.Time) {
	if c != nil {
		c.delivered.Store(int64(now.Sub(c.opened)))
	}
}

// settled reports whether all inputs that came are answered.
func (c *Call) settled() bool { return c.done >= c.inputs }

// settle moves a call whose inputs are all answered from those that are live
// to those that have ended. It comes back if more inputs come.
func (c *Call) settle() {
	if !c.settled() || !c.listed {
		return
	}
	f := c.fn
	f.live.remove(c)
	if !c.recent {
		c.recent = true
		if old, full := f.calls.add(c); full {
			old.recent = false
		}
	}
	if !c.troubled && (c.failed > 0 || c.retries > 0) {
		c.troubled = true
		if old, full := f.troubled.add(c); full {
			old.troubled = false
		}
	}
}

// InputID is the id of a call's input.
func InputID(call string, index uint32) string {
	return fmt.Sprintf("in-%s-%d", strings.TrimPrefix(call, "fc-"), index)
}

// calls is a list of calls, in which each is at most once.
type calls struct{ first, last *Call }

func (l *calls) push(c *Call) {
	c.listed, c.prev, c.next = true, l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *calls) remove(c *Call) {
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.listed, c.prev, c.next = false, nil, nil
}
