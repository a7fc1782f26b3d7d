package trace

import (
	"fmt"
	"time"

	"github.com/gx-dev/gx/api"
)

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
