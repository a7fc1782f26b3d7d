package function

import (
	"math"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/pool"
)

// DefaultWindow is how long a container stays idle where a function says
// nothing.
const DefaultWindow = 60 * time.Second

// tellEvery is how often at most a user is told that inputs wait.
const tellEvery = time.Second

// pausedHold is when a pool that is paused is looked at again at the latest.
const pausedHold = time.Minute

// kick has the pool looked at soon.
func (f *Function) kick() {
	select {
	case f.kicks <- struct{}{}:
	default:
	}
}

// control starts and stops containers until the function ends.
func (f *Function) control() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.kicks:
			f.reconcile()
		}
	}
}

// reconcile does what the pool needs now.
func (f *Function) reconcile() {
	f.mu.Lock()
	now := f.host.Clock.Now()
	touched := f.fill(now)
	s := f.snapshot(now)
	d := pool.Decide(s)
	starved := false
	for range d.Start {
		if !f.start(now, s, d) {
			starved = true
			break
		}
	}
	if !starved {
		f.short = ""
		f.host.Ledger.Forget(f.Owner())
	}
	var idle []*member
	for range d.Stop {
		if m := f.longestIdle(); m != nil {
			m.state = stopping // not idle any more
			idle = append(idle, m)
		}
	}
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	if d.Next > 0 {
		f.timer = f.host.Clock.AfterFunc(d.Next, f.kick)
	}
	waiting, tell := f.waiting(now)
	f.mu.Unlock()
	for _, m := range touched {
		m.conn.Flush()
	}
	for _, m := range idle {
		m.stop("it was idle", f.grace())
	}
	if tell {
		f.cfg.App.Event(api.SessionMessage{Waiting: &waiting})
	}
	f.untie(now)
	if starved {
		f.host.Reclaim(f)
	}
}

// snapshot is the pool as it is. mu is held.
func (f *Function) snapshot(now time.Time) pool.Snapshot {
	spec := &f.version().Spec
	target := spec.TargetInputs
	if target < 1 || target > spec.Concurrency {
		target = spec.Concurrency
	}
	if spec.Batch != nil {
		target *= spec.Batch.Size
	}
	window := DefaultWindow
	if f.scaling.Window > 0 {
		window = time.Duration(f.scaling.Window * float64(time.Second))
	}
	s := pool.Snapshot{
		Settings: pool.Settings{Min: f.scaling.Min, Max: f.scaling.Max, Buffer: f.scaling.Buffer, Window: window, Target: target, Probe: f.host.Probe},
		Queued:   f.queue.Len(),
		Duration: f.meter.Duration(),
		Startup:  f.startup.Duration(),
		Busy:     f.host.Busy(),
		Hold:     max(0, f.health.hold.Sub(now)),
		Failing:  f.health.failures > 0,
		Closing:  f.closing,
	}
	if f.paused {
		s.Hold = max(s.Hold, pausedHold)
	}
	s.Newest = math.MaxInt64 // counts only if a container is ready
	if !f.meter.Sure() {     // as if it were still running
		s.Duration, s.Oldest = 0, s.Duration
	}
	for _, m := range f.members {
		if m.leaves() {
			continue
		}
		switch m.state {
		case starting:
			s.Starting++
		case ready:
			s.Ready++
			s.Running += m.load()
			if m.load() == 0 {
				s.Idle = append(s.Idle, now.Sub(m.idle))
			} else {
				s.Oldest = max(s.Oldest, now.Sub(m.running.Front().Since))
				s.Newest = min(s.Newest, now.Sub(m.running.Back().Since))
			}
		}
	}
	return s
}

// longestIdle is the container that has been idle longest. mu is held.
func (f *Function) longestIdle() *member {
	var best *member
	for _, m := range f.members {
		if m.state == ready && m.load() == 0 && m.visitors == 0 && !m.leaves() && (best == nil || !m.idle.After(best.idle)) {
			best = m
		}
	}
	return best
}

// IdleSince is since when the function has a container that it does not need
// now; false = it has none.
func (f *Function) IdleSince() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.longestIdle(); m != nil && f.queue.Len() == 0 {
		return m.idle, true
	}
	return time.Time{}, false
}

// yielded is why a container ends that gives its room to somebody else.
const yielded = "its room is another function's share"

// Yield has one container end as soon as it is done with what it is at; one
// that is kept by min_containers does not. The channel is closed when it is
// gone; nil = there is none that can.
func (f *Function) Yield() <-chan struct{} {
	f.mu.Lock()
	var best *member
	staying := 0
	for _, m := range f.members {
		if m.state != stopping && !m.yields && !m.leaves() {
			staying++
			if m.state == ready && (best == nil || m.load() <= best.load()) {
				best = m
			}
		}
	}
	if best == nil || staying <= f.scaling.Min || f.closing {
		f.mu.Unlock()
		return nil
	}
	best.yields = true
	now := best.load() == 0
	f.mu.Unlock()
	if now {
		best.stop(yielded, f.grace())
	}
	return best.gone
}

// Retire ends the container that has been idle longest.
func (f *Function) Retire(reason string) {
	f.mu.Lock()
	m := f.longestIdle()
	if m != nil {
		m.state = stopping
	}
	f.mu.Unlock()
	if m != nil {
		m.stop(reason, f.grace())
	}
}

// start starts a container that a decision wants, if the host has room for it.
// mu is held.
func (f *Function) start(now time.Time, s pool.Snapshot, d pool.Decision) bool {
	v := f.version()
	choice, short, ok := f.host.Ledger.Reserve(f.Owner(), f.kick, v.needs()...)
	if !ok {
		f.short = short
		return false
	}
	m := newMember(f, v, choice, now)
	m.trace = f.trace.Start(m.id, pool.Reasons(s, d), v.Limits.Memory, now)
	f.members = append(f.members, m)
	f.serving.Go(m.live)
	return true
}

// waiting is what a user is to be told of inputs that wait for a container
// while none is working. mu is held.
func (f *Function) waiting(now time.Time) (api.Waiting, bool) {
	if f.short == "" || f.queue.Len() == 0 {
		f.told = api.Waiting{}
		return f.told, false
	}
	for _, m := range f.members {
		if m.state != stopping {
			return f.told, false // others of them are being worked on
		}
	}
	w := api.Waiting{Function: f.Name(), Inputs: f.queue.Len(), For: f.short}
	if w == f.told || now.Sub(f.toldAt) < tellEvery {
		return w, false
	}
	f.told, f.toldAt = w, now
	return w, true
}

// grace is how long a container may take to end: exit hooks are only in
// classes.
func (f *Function) grace() time.Duration {
	if f.version().Spec.Class {
		return 30 * time.Second
	}
	return 5 * time.Second
}

// Stop ends the function: what is not answered is cancelled, containers run
// their exit hooks within a grace period, or with now are killed. It returns at
// once; Wait waits. It may be called again, to kill.
func (f *Function) Stop(reason string, now bool) {
	var out []call.Answer
	f.mu.Lock()
	f.closing = true
	if f.stopping == "" {
		f.stopping = reason
	}
	for f.queue.Len() > 0 {
		in := f.queue.Front()
		in.Remove()
		out = append(out, f.handBack(in, reason))
	}
	for in, timer := range f.delayed {
		timer.Stop()
		delete(f.delayed, in)
		out = append(out, f.handBack(in, reason))
	}
	members := slices.Concat(f.members, f.shells)
	for _, m := range members {
		for _, in := range m.inputs {
			if !in.Done {
				out = append(out, f.handBack(in, reason))
				m.interrupt(in, reason)
			}
		}
	}
	f.mu.Unlock()
	f.deliver(out)
	for _, m := range members {
		if now {
			m.kill(reason)
		} else {
			m.stop(reason, f.grace())
		}
	}
}

// Wait waits until a function that was stopped has ended, and lets go of what
// it holds.
func (f *Function) Wait() {
	f.cancel()
	f.loop.Wait() // nothing is started any more
	f.serving.Wait()
	f.endTemplate()
	f.mu.Lock()
	for _, t := range []clock.Timer{f.timer, f.linger} {
		if t != nil {
			t.Stop()
		}
	}
	f.mu.Unlock()
	f.host.Ledger.Forget(f.Owner())
	f.release.Do(f.version().Pins.Release)
	f.traced()
}
