package function

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// knotEvery is how often a function whose inputs wait looks whether they wait
// for themselves. Twice in a row makes sure.
const knotEvery = time.Second

// knot is what a function knows of a deadlock. f.mu guards it.
type knot struct {
	looked time.Time
	tied   bool // when it last looked
}

// untie fails an input that can never be run, because every container that
// could run it runs an input that waits for it: a recursion, for instance, that
// is deeper than max_containers. Its caller goes on with the exception, which
// gives the others another chance.
func (f *Function) untie(now time.Time) {
	f.mu.Lock()
	due := f.queue.Len() > 0 && !f.room() && now.Sub(f.knot.looked) >= knotEvery
	if due {
		f.knot.looked = now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	tied := !f.moves(map[*Function]bool{})
	var out []call.Answer
	f.mu.Lock()
	sure := tied && f.knot.tied
	f.knot.tied = tied
	if in := f.lastNested(); sure && in != nil {
		in.Remove()
		out = append(out, f.give(in, wire.FailBody{Kind: wire.FailDeadlock, Message: f.tangle(in)}))
		f.knot.tied = false
	}
	f.mu.Unlock()
	f.deliver(out)
}

// lastNested is the last queued input that another input waits for. mu is held.
func (f *Function) lastNested() *call.Input {
	var last *call.Input
	for in := f.queue.Front(); in != nil; in = in.Next() {
		if in.Call.Parent.Call != nil && in.Call.Kind != call.KindSpawn {
			last = in
		}
	}
	return last
}

// tangle explains a deadlock. mu is held.
func (f *Function) tangle(in *call.Input) string {
	var chain []string
	for c := in.Call; c != nil && len(chain) < 8; c = c.Parent.Call {
		chain = append(chain, c.Target.Name())
	}
	slices.Reverse(chain)
	why := fmt.Sprintf("all of its max_containers=%d containers run", f.scaling.Max)
	remedy := "raise max_containers"
	if f.short != "" {
		why = "the host has no room for another container (" + f.short + "), and those there are run"
		remedy = "ask for less cpu or memory"
	}
	return fmt.Sprintf("deadlock: this call of %s can never begin: %s inputs that wait for it, directly or through others (%s). "+
		"To mend it %s, let a container take several inputs (@gx.concurrent), or call %s.local()",
		f.Name(), why, strings.Join(chain, " called "), remedy, f.Name())
}

// moves reports whether the function's queue will be worked on without anything
// from outside: it can start a container, or one of its containers will come to
// an end of what it does. seen are functions that are being looked at.
func (f *Function) moves(seen map[*Function]bool) bool {
	if seen[f] {
		return false
	}
	seen[f] = true
	f.mu.Lock()
	if f.closing || f.room() || len(f.delayed) > 0 || f.short == "" && (f.scaling.Max == 0 || len(f.members) < f.scaling.Max) {
		f.mu.Unlock()
		return true
	}
	var running []call.Origin
	for _, m := range f.members {
		if m.state != ready {
			f.mu.Unlock()
			return true
		}
		for in := m.running.Front(); in != nil; in = in.Next() {
			running = append(running, call.Origin{Call: in.Call, Index: in.Index})
		}
	}
	short := f.short != ""
	f.mu.Unlock()
	for _, o := range running {
		if progresses(o, seen) {
			return true
		}
	}
	if !short {
		return false
	}
	for _, other := range f.host.Functions() { // may give room back
		if _, idle := other.IdleSince(); idle || other.occupied() && other.moves(seen) {
			return true
		}
	}
	return false
}

// progresses reports whether an input that is running will come to its end: it
// waits for no call, or for one that goes on.
func progresses(o call.Origin, seen map[*Function]bool) bool {
	awaited := o.AwaitedBy()
	for _, c := range awaited {
		if f, ok := c.Target.(*Function); !ok || c.Idle() || f.moves(seen) {
			return true
		}
	}
	return len(awaited) == 0
}
