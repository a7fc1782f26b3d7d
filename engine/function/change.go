package function

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/wire"
)

// replaced is why a container ends that runs an older version.
const replaced = "a newer version of its function has taken over"

// lookForRoom is how often a replacement that has no room looks for some.
const lookForRoom = 50 * time.Millisecond

// Change is a function on its way to another version: everything is prepared,
// and nobody has noticed yet. Commit or Abort has to follow.
type Change struct {
	f      *Function
	next   *Version
	trials []*member
	swaps  []*member // that exchange their code
}

// trial is a container that is started to find out whether a version comes up.
// It takes no inputs before the version is the function's. f.mu guards err
// until done is closed.
type trial struct {
	done chan struct{}
	err  error
}

// StartError is why a version's containers do not come up.
type StartError struct {
	Function string
	Message  string          // what happened, if it was not the user's code that raised
	Raised   *wire.ErrorBody // by importing the module, or by an enter hook
}

// Error implements error.
func (e *StartError) Error() string {
	if e.Raised == nil {
		return e.Message
	}
	where := ""
	if e.Raised.File != "" {
		where = fmt.Sprintf(" (%s, line %d)", e.Raised.File, e.Raised.Line)
	}
	return fmt.Sprintf("%s does not start: %s: %s%s", e.Function, e.Raised.Type, e.Raised.Message, where)
}

// Replace starts containers of another version, as many as are needed for what
// the function is doing now, and returns when they are ready. Where there is no
// room for them beside the present ones, one of those makes room, once it is
// done with what it is at. A function that has no container has nothing to
// prepare. The error is a *StartError if a container did not come up; then, and
// on any other error, the function goes on as it was.
func (f *Function) Replace(ctx context.Context, next *Version) (*Change, error) {
	c := f.Turn(next)
	for range f.needed() {
		m, err := c.try(ctx)
		if err != nil {
			c.Abort()
			return nil, err
		}
		if m == nil {
			break
		}
	}
	for _, m := range c.trials {
		select {
		case <-m.trial.done:
		case <-ctx.Done():
			c.Abort()
			return nil, fmt.Errorf("waiting for containers of %s's new version: %w", f.Name(), ctx.Err())
		}
		if err := m.trial.err; err != nil {
			c.Abort()
			return nil, err
		}
	}
	return c, nil
}

// Turn is Replace for a function that need not be ready at once: containers of
// the version are started when there are inputs for them.
func (f *Function) Turn(next *Version) *Change {
	next.Spec.Concurrency = max(next.Spec.Concurrency, 1)
	return &Change{f: f, next: next}
}

// needed is how many containers of a new version there have to be so that it
// can take over: one for each that has inputs, and one if there is any.
func (f *Function) needed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	busy, live := 0, 0
	for _, m := range f.members {
		if m.state == stopping || m.leaves() || f.closing {
			continue
		}
		live++
		if m.load() > 0 {
			busy++
		}
	}
	return max(busy, min(live, max(1, f.scaling.Min)))
}

// Ready reports whether a container takes inputs.
func (f *Function) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.members, func(m *member) bool { return m.state == ready && !m.leaves() })
}

// try starts a container of the next version; nil = there is no room for more.
func (c *Change) try(ctx context.Context) (*member, error) {
	f := c.f
	for {
		f.mu.Lock()
		if f.closing {
			f.mu.Unlock()
			return nil, fmt.Errorf("%s takes no other version: %s", f.Name(), f.stopping)
		}
		now := f.host.Clock.Now()
		choice, short, ok := f.host.Ledger.Reserve(f.Owner(), f.kick, c.next.needs()...)
		if ok {
			m := newMember(f, c.next, choice, now)
			m.trial = &trial{done: make(chan struct{})}
			m.trace = f.trace.Start(m.id, []pool.Reason{{Rule: "version", Text: "a new version of the function has to come up before it takes over"}}, c.next.Limits.Memory, now)
			f.members = append(f.members, m)
			c.trials = append(c.trials, m)
			f.serving.Go(m.live)
			f.mu.Unlock()
			return m, nil
		}
		if len(c.trials) > 0 {
			f.mu.Unlock()
			return nil, nil
		}
		victim := f.leastBusy()
		f.mu.Unlock()
		gone := make(chan struct{}) // nobody is left who could make room: others may
		if victim == nil {
			f.host.Reclaim(f)
		} else {
			gone = victim.gone
			f.log.Info("a container makes room for one of a new version", "container", victim.id, "short of", short)
			victim.leave()
		}
		look := make(chan struct{})
		timer := f.host.Clock.AfterFunc(lookForRoom, func() { close(look) })
		if victim != nil {
			timer.Stop()
		}
		select {
		case <-gone:
		case <-look:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("waiting for %s, for a container of %s's new version: %w", short, f.Name(), ctx.Err())
		}
	}
}

// leastBusy is the container that is done soonest. mu is held.
func (f *Function) leastBusy() *member {
	var best *member
	for _, m := range f.members {
		if m.state == ready && !m.leaves() && (best == nil || m.load() < best.load()) {
			best = m
		}
	}
	return best
}

// leaves reports whether the container takes nothing more, or nothing yet.
// f.mu is held.
func (m *member) leaves() bool { return m.outdated || m.trial != nil }

// leave has the container take nothing more, and end when it is done. What it
// has not begun goes to others.
func (m *member) leave() {
	m.f.mu.Lock()
	idle, why := m.retire(), m.leavesFor()
	m.f.mu.Unlock()
	m.conn.Flush()
	if idle {
		m.stop(why, m.f.grace())
	}
}

// retire is leave, for who flushes and stops. f.mu is held.
func (m *member) retire() (idle bool) {
	m.outdated = true
	for in := m.waiting.Front(); in != nil; in = in.Next() {
		if !in.Recalled && !in.Done {
			in.Recalled = true
			m.conn.Queue(cancelFrame(in, "recalled"))
		}
	}
	return m.load() == 0
}

// Commit makes the version the function's: inputs that no container has begun
// go to its containers alone, and those of the version before end when they
// have answered what they are at.
func (c *Change) Commit() {
	f := c.f
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		c.Abort()
		return
	}
	before := f.version()
	f.current.Store(c.next)
	f.adopt(before)
	f.health = health{}
	stay := map[*member]bool{}
	for _, m := range c.trials {
		stay[m] = true
		m.trial = nil
	}
	var idle, touched, unborn []*member
	for _, m := range c.swap() {
		stay[m] = true
		touched = append(touched, m)
	}
	for _, m := range f.members {
		switch {
		case stay[m] || m.state == stopping || m.outdated:
		case m.state == starting:
			unborn = append(unborn, m)
		default:
			touched = append(touched, m)
			if m.retire() {
				idle = append(idle, m)
			}
		}
	}
	old := f.dropTemplate()
	touched = append(touched, f.fill(f.host.Clock.Now())...)
	f.mu.Unlock()
	before.Pins.Release()
	if old != nil {
		_ = old.Close() // told by Done
	}
	for _, m := range touched {
		m.conn.Flush()
	}
	for _, m := range idle {
		m.stop(replaced, f.grace())
	}
	for _, m := range unborn {
		m.stop(replaced, 0)
	}
	f.kick()
}

// adopt takes over what the version says of the function as a whole. mu is held.
func (f *Function) adopt(before *Version) {
	now := f.version()
	if now.Spec.Scaling != before.Spec.Scaling { // else it may have been changed since
		f.scaling = now.Spec.Scaling
	}
	if now.Spec.Concurrency != before.Spec.Concurrency {
		f.window = now.Spec.Concurrency
	}
}

// Abort forgets the version.
func (c *Change) Abort() {
	for _, m := range c.trials {
		m.kill("the version that it was started for is not used")
	}
	c.next.Pins.Release()
}

// tried tells who waits for a trial how it went; false = the container is none.
// f.mu is held.
func (m *member) tried(why *failure) bool {
	if m.trial == nil {
		return false
	}
	select {
	case <-m.trial.done:
		return true
	default:
	}
	if why != nil {
		err := &StartError{Function: m.f.Name(), Message: why.message}
		if why.stopped {
			err.Message = fmt.Sprintf("a container of %s's new version was stopped before it was ready", err.Function)
		}
		if why.body != nil {
			if head, _, failed := wire.DecodeError(why.body); failed == nil {
				err.Raised = &head
			}
		}
		m.trial.err = err
	}
	close(m.trial.done)
	return true
}

// dropTemplate has containers forked from another template from now on, and
// returns the one that there was. mu is held.
func (f *Function) dropTemplate() container.Template {
	t := &f.template
	from := t.from
	if from == nil && t.loaded != nil {
		t.cancel() // it is being loaded
	}
	t.from, t.loaded, t.off = nil, nil, time.Time{}
	return from
}

// Wither lets the function end as soon as nothing is asked of it any more: it
// keeps no container for later.
func (f *Function) Wither() {
	f.mu.Lock()
	f.scaling.Min, f.scaling.Buffer, f.scaling.Window = 0, 0, time.Millisecond.Seconds()
	f.mu.Unlock()
	f.kick()
}
