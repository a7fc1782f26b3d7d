package function

import (
	"strings"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/trace"
)

// came notes an input that was submitted. mu is held.
func (f *Function) came(in *call.Input, now time.Time) {
	in.Came = now
	if f.over {
		return
	}
	c := in.Call
	if c.Trace == nil {
		id := ""
		if c.Kind != call.KindCall && c.Kind != call.KindWeb { // that of others does not change any more
			id = c.ID
		}
		opened := c.Created
		if c.Restored {
			opened = now
		}
		c.Trace = f.trace.Open(id, c.Kind, c.Method, opened)
	}
	c.Trace.Came(now)
}

// failed notes that an input got its last answer, and that it is a failure. mu
// is held.
func (f *Function) failed(in *call.Input, outcome string, reason func() string) {
	if f.over {
		return
	}
	in.Call.Trace.Failed(f.attempt(in, outcome), reason)
}

// again notes that an attempt has failed after which there will be another one.
// mu is held.
func (f *Function) again(in *call.Input, outcome, reason string, delay time.Duration) {
	a := f.attempt(in, outcome)
	a.Again, a.Delay = true, delay
	in.Call.Trace.Failed(a, func() string { return reason })
}

func (f *Function) attempt(in *call.Input, outcome string) trace.Attempt {
	return trace.Attempt{
		Index: in.Index, Number: int(in.Attempt), Container: in.Container, Came: in.Came, Began: in.Since, Ended: f.host.Clock.Now(), Outcome: outcome,
	}
}

// mark notes that a phase of the container's start is over.
func (m *member) mark(phase string) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.trace.Mark(phase, m.f.host.Clock.Now())
}

// traceEnd notes how a container ended; reason is what the user is told, if it
// was not asked to. mu is held.
func (f *Function) traceEnd(m *member, why *failure, exit container.Exit, reason string, now time.Time) {
	e := trace.End{Wanted: m.asked || m.bye, Reason: reason, Peak: exit.Peak, Inputs: int64(m.taken)}
	if e.Wanted {
		e.Reason = m.reason
	}
	if rest, ok := strings.CutPrefix(e.Reason, "a container for "+f.Name()+" "); ok {
		e.Reason = "it " + rest
	}
	if why != nil && why.body != nil && f.health.broken != nil {
		e.Reason += ": " + raised(*f.health.broken)
	}
	if m.container.Load() != nil {
		e.Exit = exitText(exit, m.version().Limits.Memory)
	}
	m.trace.End(e, now)
}

// traced hands the function's record over: it does not change any more.
func (f *Function) traced() {
	f.mu.Lock()
	first := !f.over
	f.over = true
	f.mu.Unlock()
	if first {
		f.host.Trace.Keep(f.trace)
	}
}
