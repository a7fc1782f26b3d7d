package function

import (
	"cmp"
	"fmt"
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

// What inputs wait for, as api.Waits says it.
const (
	waitsDeadlock  = "deadlock"
	waitsBackOff   = "back_off"
	waitsCapacity  = "capacity"
	waitsStart     = "start"
	waitsBatch     = "batch"
	waitsMaximum   = "max_containers"
	waitsRetry     = "retry"
	waitsContainer = "container"
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
			list = append(list, api.Awaited{Call: f.name(c), AppName: f.cfg.App.Name, Function: f.Name()})
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

// callWaits says what those inputs of a call wait for that wait. mu is held.
func (f *Function) callWaits(c *trace.Call, t api.CallTrace, now time.Time) *api.Waits {
	if t.Waiting == 0 && t.Delayed == 0 {
		return nil
	}
	s := f.snapshot(now)
	w := f.waitsFor(c, s, pool.Decide(s), now)
	return &w
}

// waitsFor says what inputs that wait wait for: those of a call, or any. mu is
// held.
func (f *Function) waitsFor(c *trace.Call, s pool.Snapshot, d pool.Decision, now time.Time) api.Waits {
	mine := func(in *call.Input) bool { return c == nil || in.Call.Trace == c }
	queued := false
	for in := f.queue.Front(); in != nil && !queued; in = in.Next() {
		queued = mine(in)
	}
	switch {
	case !queued:
		if w, ok := f.retryWait(mine, now); ok {
			return w
		}
		return api.Waits{For: waitsContainer, Text: "it is in a container, behind inputs that the container is at"}
	case f.knot.tied:
		if in := f.lastNested(); in != nil {
			return api.Waits{For: waitsDeadlock, Text: f.tangle(in)}
		}
	case s.Hold > 0 && s.Ready == 0:
		return api.Waits{For: waitsBackOff, Text: f.backOff(s.Hold, now)}
	case f.short != "" && d.Want > s.Ready+s.Starting:
		missing, _ := f.host.Ledger.Missing(f.cfg.Need)
		var texts []string
		for _, m := range missing {
			texts = append(texts, m.Text)
		}
		if len(texts) == 0 {
			texts = []string{f.short}
		}
		return api.Waits{For: waitsCapacity, Text: "a container of " + f.Name() + " needs " + strings.Join(texts, ", and ")}
	case s.Starting > 0 && s.Ready == 0:
		return api.Waits{For: waitsStart, Text: f.startingNow(now)}
	case f.linger != nil:
		return api.Waits{For: waitsBatch, Text: fmt.Sprintf("a batch is formed: it begins with %d inputs, or after wait_ms=%d", f.cfg.Spec.Batch.Size, f.cfg.Spec.Batch.Wait)}
	case d.Rules.AtMaximum():
		return api.Waits{For: waitsMaximum, Text: fmt.Sprintf("max_containers=%d is reached, and %s", s.Max, f.busyText(s))}
	}
	return api.Waits{For: waitsContainer, Text: f.busyText(s)}
}

// retryWait says when inputs are tried again. mu is held.
func (f *Function) retryWait(mine func(*call.Input) bool, now time.Time) (api.Waits, bool) {
	n := 0
	var one *call.Input
	for in := range f.delayed {
		if mine(in) {
			n++
			if one == nil || in.Index < one.Index {
				one = in
			}
		}
	}
	if n == 0 {
		return api.Waits{}, false
	}
	text := fmt.Sprintf("retry %d of %d of input %d", one.Failures, f.cfg.Spec.Retries.Max, one.Index)
	if last, ok := one.Call.Trace.LastFailure(one.Index); ok {
		text += fmt.Sprintf(" begins in %v; the last attempt: %s", max(last.Ended.Add(last.Delay).Sub(now), 0).Round(time.Millisecond), last.Error)
	}
	if n > 1 {
		text += fmt.Sprintf(", and so do %d others", n-1)
	}
	return api.Waits{For: waitsRetry, Text: text}, true
}

// backOff says why nothing is started now. mu is held.
func (f *Function) backOff(hold time.Duration, now time.Time) string {
	text := fmt.Sprintf("containers of %s do not come up (%d in a row), so the next one is tried only in %v", f.Name(), f.health.failures, hold.Round(10*time.Millisecond))
	if c := f.trace.LastFailure(); c != nil {
		text += "; the last, " + c.ID + ": " + c.Describe(now).Reason
	}
	return text
}

// startingNow says how far the container is that will be ready first. mu is
// held.
func (f *Function) startingNow(now time.Time) string {
	var first *member
	n := 0
	for _, m := range f.members {
		if m.state == starting {
			if n++; first == nil {
				first = m
			}
		}
	}
	phase, since := first.trace.Phase()
	return fmt.Sprintf("%s being started; %s is %s for %v", count(n), first.id, doing(phase), now.Sub(since).Round(time.Millisecond))
}

func count(n int) string {
	if n == 1 {
		return "a container is"
	}
	return fmt.Sprintf("%d containers are", n)
}

// doing says what a container does in a phase of its start.
func doing(phase string) string {
	texts := map[string]string{
		"turn": "waiting until others have started", "image": "having its image prepared", "start": "being set up", "python": "starting Python",
		"import": "importing the function's module", "enter": "running its enter hooks",
	}
	return cmp.Or(texts[phase], "in its phase "+phase)
}

// busyText says that all containers are at work. mu is held.
func (f *Function) busyText(s pool.Snapshot) string {
	if s.Ready == 0 {
		return "no container is ready yet"
	}
	each := ""
	if f.cfg.Spec.Concurrency > 1 {
		each = fmt.Sprintf(", each %d inputs at once", f.cfg.Spec.Concurrency)
	}
	var longest time.Duration
	now := f.host.Clock.Now()
	for _, m := range f.members {
		if in := m.running.Front(); in != nil {
			longest = max(longest, now.Sub(in.Since))
		}
	}
	are := "the only container is"
	if s.Ready > 1 {
		are = fmt.Sprintf("all %d containers are", s.Ready)
	}
	return fmt.Sprintf("%s at work%s, the longest for %v, and %d inputs wait", are, each, longest.Round(time.Millisecond), s.Queued)
}

// holders adds to what inputs wait for who has the host's capacity.
func (f *Function) holders(w *api.Waits) {
	if w == nil || w.For != waitsCapacity {
		return
	}
	missing, holdings := f.host.Ledger.Missing(f.cfg.Need)
	functions := map[pool.Owner]*Function{}
	for _, other := range f.host.Functions() {
		functions[other.Owner()] = other
	}
	byName := map[[2]string]*api.Holder{}
	for _, h := range holdings {
		name := [2]string{h.Who.App, h.Who.Pool}
		if other := functions[h.Who]; other != nil {
			name = [2]string{other.cfg.App.Name, other.Name()}
		}
		if byName[name] == nil {
			byName[name] = &api.Holder{App: name[0], Function: name[1]}
		}
		has := byName[name]
		has.Containers += h.Containers
		has.CPU += h.CPU
		has.Memory += h.Memory
	}
	resource := ""
	if len(missing) > 0 {
		resource = missing[0].Resource
	}
	for _, h := range byName {
		w.Holders = append(w.Holders, *h)
	}
	amount := func(h api.Holder) float64 {
		switch resource {
		case "cpu":
			return h.CPU
		case "memory":
			return float64(h.Memory)
		}
		return float64(h.Containers)
	}
	slices.SortFunc(w.Holders, func(a, b api.Holder) int {
		return cmp.Or(cmp.Compare(amount(b), amount(a)), strings.Compare(a.App+"/"+a.Function, b.App+"/"+b.Function))
	})
	var texts []string
	for i, h := range w.Holders {
		if i == 3 {
			texts = append(texts, fmt.Sprintf("%d others", len(w.Holders)-i))
			break
		}
		of := ""
		switch resource {
		case "cpu":
			of = fmt.Sprintf(", %.3g cores", h.CPU)
		case "memory":
			of = ", " + pool.Bytes(h.Memory)
		}
		plural := "s"
		if h.Containers == 1 {
			plural = ""
		}
		texts = append(texts, fmt.Sprintf("%s/%s (%d container%s%s)", h.App, h.Function, h.Containers, plural, of))
	}
	if len(texts) > 0 {
		w.Text += " by " + strings.Join(texts, ", ")
	}
}
