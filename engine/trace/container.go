package trace

import (
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/pool"
)

// Container is the record of a container.
type Container struct {
	ID string

	fn     *Function
	asked  time.Time
	why    []pool.Reason
	marks  []mark
	state  string
	inputs int64

	ended  time.Time
	wanted bool
	reason string
	exit   string
	peak   int64
	limit  int64
}

// mark is the end of a phase.
type mark struct {
	phase string
	at    time.Time
}

// Container makes the record of a container that the function's pool wants.
func (f *Function) Start(id string, why []pool.Reason, limit int64, now time.Time) *Container {
	return &Container{ID: id, fn: f, asked: now, why: why, state: "starting", limit: limit, marks: make([]mark, 0, 6)}
}

// Mark notes that a phase of the start is over, which began when the one before
// ended.
func (c *Container) Mark(phase string, now time.Time) {
	c.marks = append(c.marks, mark{phase, now})
}

// Ready notes that the start is over. The runner has told how long it imported
// the user's module and ran the enter hooks.
func (c *Container) Ready(imports, enter time.Duration, now time.Time) {
	began := c.asked
	if n := len(c.marks); n > 0 {
		began = c.marks[n-1].at
	}
	// What is left, a message there and back, counts as import.
	enter = min(max(enter, 0), max(now.Sub(began), 0))
	if imports > 0 || enter > 0 {
		c.Mark("import", now.Add(-enter))
	}
	if enter > 0 {
		c.Mark("enter", now)
	}
	c.state = "ready"
}

// End is how a container ended.
type End struct {
	Wanted bool   // the host ended it
	Reason string // why
	Exit   string // how its process ended
	Peak   int64
	Inputs int64 // that it was given
}

// End notes that the container has ended.
func (c *Container) End(e End, now time.Time) {
	if c.state == "starting" {
		phase, _ := c.Phase()
		c.Mark(phase, now)
	}
	c.state, c.ended = "ended", now
	c.wanted, c.reason, c.exit, c.peak, c.inputs = e.Wanted, oneLine(e.Reason), e.Exit, e.Peak, e.Inputs
	c.fn.containers.add(c)
}

// following is the phase that a container is in after another.
func following(phase string) string {
	next := map[string]string{"": "turn", "turn": "image", "image": "start", "template": "fork", "start": "python", "fork": "python", "python": "import", "import": "enter"}
	if p, ok := next[phase]; ok {
		return p
	}
	return "import"
}

// Phase is what a container that is starting is at, and since when.
func (c *Container) Phase() (name string, since time.Time) {
	if n := len(c.marks); n > 0 {
		return following(c.marks[n-1].phase), c.marks[n-1].at
	}
	return following(""), c.asked
}

// Describe is what is known of the container.
func (c *Container) Describe(now time.Time) api.ContainerTrace {
	t := api.ContainerTrace{
		ID: c.ID, App: c.fn.App, AppName: c.fn.AppName, FunctionID: c.fn.ID, Function: c.fn.Name, State: c.state, Asked: c.asked,
		Lived: now.Sub(c.asked).Seconds(), Inputs: c.inputs, Ended: c.ended, Wanted: c.wanted, Reason: c.reason, Exit: c.exit, Peak: c.peak, Limit: c.limit,
		Why: []api.Decision{},
	}
	for _, r := range c.why {
		t.Why = append(t.Why, api.Decision{Rule: r.Rule, Text: r.Text})
	}
	var w waterfall
	at := time.Duration(0)
	for _, m := range c.marks {
		end := m.at.Sub(c.asked)
		w.step(m.phase, at, end)
		at = end
	}
	switch c.state {
	case "ended":
		t.Lived = c.ended.Sub(c.asked).Seconds()
	case "starting":
		phase, since := c.Phase()
		w.step(phase, since.Sub(c.asked), now.Sub(c.asked))
	}
	t.Phases = w.phases
	return t
}
