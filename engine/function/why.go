package function

import (
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/trace"
)

// What is told of a function that has much.
const (
	maxTold = 20 // calls, failures, containers
	maxLive = 8  // inputs of one call that run
)

// Why tells what the function does now and what became of its last calls.
func (f *Function) Why() api.FunctionTrace {
	f.mu.Lock()
	now := f.host.Clock.Now()
	s := f.snapshot(now)
	d := pool.Decide(s)
	t := f.trace.Describe(maxTold, now)
	t.Queued, t.Running, t.Delayed, t.Want = s.Queued, s.Running, len(f.delayed), d.Want
	t.Input, t.Startup = f.meter.Duration().Seconds(), f.startup.Duration().Seconds()
	for _, r := range pool.Reasons(s, d) {
		t.Rules = append(t.Rules, api.Decision(r))
	}
	for _, m := range f.members {
		switch m.state {
		case starting:
			t.Starting++
		case ready:
			t.Ready++
		case stopping:
			t.Stopping++
		}
	}
	f.nameWaiting()
	var live []api.CallTrace
	f.trace.Live(func(c *trace.Call) {
		if len(live) < maxTold {
			t := c.Summary(now)
			f.addLive(&t, c, now)
			live = append(live, t)
		}
	})
	t.Calls = append(live, t.Calls...)
	var containers []api.ContainerTrace
	for _, m := range f.members {
		containers = append(containers, m.describe(now))
	}
	t.Containers = append(containers, t.Containers...)
	if s.Queued > 0 || t.Delayed > 0 {
		w := f.waitsFor(nil, s, d, now)
		t.Waits = &w
	}
	f.mu.Unlock()
	f.holders(t.Waits)
	return t
}

// WhyCall tells where a call's time went and what it waits for now; false = it
// is none of the function's, or is not remembered.
func (f *Function) WhyCall(id string) (api.CallTrace, *api.Waits, bool) {
	f.mu.Lock()
	c := f.trace.Call(id)
	if c == nil {
		f.mu.Unlock()
		return api.CallTrace{}, nil, false
	}
	now := f.host.Clock.Now()
	t := c.Describe(now, f.find)
	running := f.addLive(&t, c, now)
	waits := f.callWaits(c, t, now)
	f.mu.Unlock()
	f.holders(waits)
	for i := range t.Live {
		t.Live[i].Awaits = awaited(running[i])
	}
	return t, waits, true
}

// WhyInput is WhyCall for one input.
func (f *Function) WhyInput(id string, index uint32) (api.InputTrace, *api.Waits, bool) {
	f.mu.Lock()
	c := f.trace.Call(id)
	if c == nil {
		f.mu.Unlock()
		return api.InputTrace{}, nil, false
	}
	now := f.host.Clock.Now()
	var live *trace.Live
	var origin call.Origin
	f.inputs(c, func(in *call.Input) {
		if in.Index == index {
			live, origin = liveInput(in), call.Origin{Call: in.Call, Index: index}
		}
	})
	t, ok := c.Input(index, live, now, f.find)
	var waits *api.Waits
	if ok && live != nil && live.Began.IsZero() {
		waits = f.callWaits(c, api.CallTrace{Waiting: 1}, now)
	}
	f.mu.Unlock()
	f.holders(waits)
	if origin.Call != nil {
		t.Awaits = awaited(origin)
	}
	return t, waits, ok
}

// WhyContainer tells of a container; false = it is none of the function's, or
// is not remembered.
func (f *Function) WhyContainer(id string) (api.ContainerTrace, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.host.Clock.Now()
	for _, m := range f.members {
		if m.id == id {
			return m.describe(now), true
		}
	}
	if c := f.trace.Container(id); c != nil {
		return c.Describe(now), true
	}
	return api.ContainerTrace{}, false
}

// find finds a container, live or ended. mu is held.
func (f *Function) find(id string) *trace.Container {
	for _, m := range f.members {
		if m.id == id {
			return m.trace
		}
	}
	return f.trace.Container(id)
}

// describe is the container as it is now. f.mu is held.
func (m *member) describe(now time.Time) api.ContainerTrace {
	t := m.trace.Describe(now)
	t.State, t.Inputs, t.Running = m.state.String(), int64(m.taken), m.running.Len()
	if m.state == stopping {
		t.Wanted, t.Reason = m.asked, m.reason
	}
	return t
}

// nameWaiting gives calls ids that have none yet, because no container has
// them: somebody asks, and may want to ask on. mu is held.
func (f *Function) nameWaiting() {
	n := 0
	for in := f.queue.Front(); in != nil && n < maxTold; in = in.Next() {
		if in.Call.Trace != nil {
			in.Call.Trace.Identify(in.Call.Identify(call.NewID("fc")))
		}
		n++
	}
}

// inputs calls fn with the inputs of a call that have no answer. mu is held.
func (f *Function) inputs(c *trace.Call, fn func(*call.Input)) {
	for in := f.queue.Front(); in != nil; in = in.Next() {
		if in.Call.Trace == c {
			fn(in)
		}
	}
	for in := range f.delayed {
		if in.Call.Trace == c {
			fn(in)
		}
	}
	for _, m := range f.members {
		for _, in := range m.inputs {
			if in.Call.Trace == c && !in.Done {
				fn(in)
			}
		}
	}
}

func liveInput(in *call.Input) *trace.Live {
	return &trace.Live{Number: int(in.Attempt), Container: in.Container, Came: in.Came, Began: in.Since}
}

// addLive tells what the inputs of a call do that have no answer, and returns
// those that t.Live has: some of those that run. mu is held.
func (f *Function) addLive(t *api.CallTrace, c *trace.Call, now time.Time) []call.Origin {
	if t.State == "done" {
		return nil
	}
	for in := range f.delayed {
		if in.Call.Trace == c {
			t.Delayed++
		}
	}
	var running []*call.Input
	for _, m := range f.members {
		for in := m.running.Front(); in != nil; in = in.Next() {
			if in.Call.Trace == c && !in.Done {
				running = append(running, in)
			}
		}
	}
	t.Running = int64(len(running))
	t.Waiting = max(t.Inputs-t.Answered-t.Running-t.Delayed, 0)
	switch {
	case t.Running > 0:
		t.State = "running"
	case t.Delayed > 0 && t.Waiting == 0:
		t.State = "retrying"
	}
	slices.SortFunc(running, func(a, b *call.Input) int { return a.Since.Compare(b.Since) })
	var told []call.Origin
	for _, in := range running[:min(len(running), maxLive)] {
		input, _ := c.Input(in.Index, liveInput(in), now, f.find)
		t.Live = append(t.Live, input)
		told = append(told, call.Origin{Call: in.Call, Index: in.Index})
	}
	return told
}

// awaited is the calls that an input's code waits for.
func awaited(o call.Origin) (list []api.Awaited) {
	for _, c := range o.AwaitedBy() {
		if f, ok := c.Target.(*Function); ok && !c.Idle() {
			list = append(list, api.Awaited{Call: f.name(c), AppName: f.cfg.App.Title, Function: f.Name()})
		}
	}
	slices.SortFunc(list, func(a, b api.Awaited) int { return strings.Compare(a.Call, b.Call) })
	return list[:min(len(list), maxTold)]
}

// name gives a call an id, if it has none because no container has it yet.
func (f *Function) name(c *call.Call) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := c.Identify(call.NewID("fc"))
	c.Trace.Identify(id)
	return id
}
