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

// Summary is the call without its inputs and phases.
func (c *Call) Summary(now time.Time) api.CallTrace {
	t := api.CallTrace{
		ID: c.ID, App: c.fn.App, AppName: c.fn.AppName, FunctionID: c.fn.ID, Function: c.fn.Name, Method: c.Method, Kind: c.Kind,
		State: "done", Opened: c.opened, Inputs: c.inputs, Answered: c.done, Failed: c.failed, Retries: c.retries,
		Queue: c.waits.span(), Run: c.runs.span(), Took: c.end(now).Seconds(),
	}
	if !c.settled() {
		t.State, t.Waiting = "waiting", c.inputs-c.done // more is the owner's to know
	}
	return t
}

// end is when the call was over, or now.
func (c *Call) end(now time.Time) time.Duration {
	if !c.settled() {
		return max(now.Sub(c.opened), 0)
	}
	return max(c.answered, time.Duration(c.delivered.Load()))
}

// Describe is all that is known of the call; find finds containers.
func (c *Call) Describe(now time.Time, find func(id string) *Container) api.CallTrace {
	t := c.Summary(now)
	t.Phases = c.phases(now, find)
	failed := map[uint32]bool{}
	for _, a := range c.attempts {
		if !failed[a.Index] {
			failed[a.Index] = true
			in, _ := c.Input(a.Index, nil, now, find)
			t.Failures = append(t.Failures, in)
		}
	}
	for i := range c.slows {
		if index := c.slow[i].index; !failed[index] {
			in, _ := c.Input(index, nil, now, find)
			t.Slowest = append(t.Slowest, in)
		}
	}
	return t
}

// phases is where the call's time went: of several inputs, until the first of
// them began and until the last was answered.
func (c *Call) phases(now time.Time, find func(id string) *Container) []api.Phase {
	var w waterfall
	w.step("transfer", 0, c.came)
	answered := c.end(now)
	if c.settled() {
		answered = c.answered
	}
	switch {
	case c.inputs == 1 && len(c.attempts) > 0:
		in, _ := c.Input(c.attempts[0].Index, nil, now, find)
		for _, p := range in.Phases {
			p.Start += c.came.Seconds()
			w.phases = append(w.phases, p)
		}
	case c.container != "":
		w.start(c.came, c.began, c.container, c.opened, find)
		w.step("run", c.began, answered)
	default:
		w.step("queue", c.came, answered)
	}
	w.step("transfer", answered, c.end(now))
	return w.phases
}

// Live is an input without an answer, as its owner knows it.
type Live struct {
	Number    int // of its attempt
	Container string
	Came      time.Time
	Began     time.Time // zero = it waits
}

// Input is what is known of an input. live is nil if it is answered; then false
// says that nothing is known, because it was neither among the slowest nor
// among the first that failed.
func (c *Call) Input(index uint32, live *Live, now time.Time, find func(id string) *Container) (api.InputTrace, bool) {
	t := api.InputTrace{ID: InputID(c.ID, index), Index: index, State: "retrying", Attempts: []api.Attempt{}}
	var w waterfall
	at := time.Duration(-1) // how far the waterfall has come
	came := func(d time.Duration) {
		if at < 0 {
			at = d
			w.from = d
		}
	}
	for _, a := range c.attempts {
		if a.Index != index {
			continue
		}
		came(a.came)
		told := api.Attempt{Number: a.Number, Container: a.Container, Began: a.Began, Outcome: a.Outcome, Error: a.Error, Again: a.Again, Delay: a.Delay.Seconds()}
		if a.Began.IsZero() {
			w.step("queue", at, a.ended)
		} else {
			began := a.Began.Sub(c.opened)
			told.Took = (a.ended - began).Seconds()
			w.start(at, began, a.Container, c.opened, find)
			w.note("run", began, a.ended, fmt.Sprintf("attempt %d: %s", a.Number, a.Outcome))
		}
		at = a.ended
		if a.Again {
			until := min(at+a.Delay, max(now.Sub(c.opened), at))
			w.step("retry_delay", at, until)
			at = until
		} else {
			t.State = "failed"
		}
		t.Attempts = append(t.Attempts, told)
	}
	for i := range c.slows {
		if in := &c.slow[i]; in.index == index {
			came(in.came)
			w.start(at, in.began, in.container, c.opened, find)
			w.step("run", in.began, in.ended)
			at = in.ended
			t.State = "done"
			t.Attempts = append(t.Attempts, api.Attempt{
				Number: int(in.attempt), Container: in.container, Began: c.opened.Add(in.began), Took: (in.ended - in.began).Seconds(), Outcome: "ok",
			})
		}
	}
	if live != nil {
		came(live.Came.Sub(c.opened))
		ends := now.Sub(c.opened)
		if live.Began.IsZero() {
			t.State = "waiting"
			w.step("queue", at, ends)
		} else {
			t.State = "running"
			began := live.Began.Sub(c.opened)
			w.start(at, began, live.Container, c.opened, find)
			w.step("run", began, ends)
			t.Attempts = append(t.Attempts, api.Attempt{
				Number: live.Number, Container: live.Container, Began: live.Began, Took: (ends - began).Seconds(), Outcome: "running",
			})
		}
		at = ends
	}
	t.Phases = w.phases
	if at >= 0 {
		t.Took = (at - w.from).Seconds()
	}
	return t, at >= 0
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
