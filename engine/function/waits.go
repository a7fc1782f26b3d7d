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
		missing, _ := f.host.Ledger.Missing(f.version().needs()...)
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
		return api.Waits{For: waitsBatch, Text: fmt.Sprintf("a batch is formed: it begins with %d inputs, or after wait_ms=%d", f.version().Spec.Batch.Size, f.version().Spec.Batch.Wait)}
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
	text := fmt.Sprintf("retry %d of %d of input %d", one.Failures, f.version().Spec.Retries.Max, one.Index)
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
		"turn": "waiting until others have started", "image": "having its image prepared", "start": "being set up", "fork": "being forked", "python": "starting Python",
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
	if f.version().Spec.Concurrency > 1 {
		each = fmt.Sprintf(", each %d inputs at once", f.version().Spec.Concurrency)
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
	missing, holdings := f.host.Ledger.Missing(f.version().needs()...)
	functions := map[pool.Owner]*Function{}
	for _, other := range f.host.Functions() {
		functions[other.Owner()] = other
	}
	byName := map[[2]string]*api.Holder{}
	for _, h := range holdings {
		name := [2]string{h.Who.App, h.Who.Pool}
		if other := functions[h.Who]; other != nil {
			name = [2]string{other.cfg.App.Title, other.Name()}
		}
		if byName[name] == nil {
			byName[name] = &api.Holder{App: name[0], Function: name[1]}
		}
		has := byName[name]
		has.Containers += h.Containers
		has.CPU += h.CPU
		has.Memory += h.Memory
		for model, n := range h.Cards {
			if has.GPUs == nil {
				has.GPUs = map[string]int{}
			}
			has.GPUs[model] += n
		}
	}
	resource, card := "", ""
	if len(missing) > 0 {
		resource, card = missing[0].Resource, missing[0].Card
	}
	for _, h := range byName {
		if card == "" || h.GPUs[card] > 0 {
			w.Holders = append(w.Holders, *h)
		}
	}
	amount := func(h api.Holder) float64 {
		switch resource {
		case "cpu":
			return h.CPU
		case "memory":
			return float64(h.Memory)
		case "gpu":
			return float64(h.GPUs[card])
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
		case "gpu":
			of = fmt.Sprintf(", %d × %s", h.GPUs[card], card)
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
