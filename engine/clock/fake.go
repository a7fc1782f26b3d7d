package clock

import (
	"sync"
	"time"
)

// Fake is a Clock that stands still until a test turns it.
type Fake struct {
	mu     sync.Mutex
	now    time.Time
	timers []*fakeTimer // running ones
}

type fakeTimer struct {
	clock *Fake
	at    time.Time
	f     func()
}

// NewFake makes a Fake that shows the given time.
func NewFake(now time.Time) *Fake { return &Fake{now: now} }

// Now implements Clock.
func (c *Fake) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements Clock. A delay of zero or less is due at the next Advance.
func (c *Fake) AfterFunc(d time.Duration, f func()) Timer {
	t := &fakeTimer{clock: c, f: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.at = c.now.Add(d)
	c.timers = append(c.timers, t)
	return t
}

// Advance turns the clock by d. What falls due on the way is called in the
// order of its time, each with the clock showing that time.
func (c *Fake) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		next := -1
		for i, t := range c.timers {
			if !t.at.After(end) && (next < 0 || t.at.Before(c.timers[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		t := c.timers[next]
		c.remove(t)
		if t.at.After(c.now) {
			c.now = t.at
		}
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// Jump sets the clock forward as a machine's is that was asleep: nothing is
// called on the way, and what has fallen due at the next Advance. It sets it back
// as somebody sets a machine's: what was put off is called after as long as
// before.
func (c *Fake) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if d < 0 {
		for _, t := range c.timers {
			t.at = t.at.Add(d)
		}
	}
}

// Timers is how many calls are put off.
func (c *Fake) Timers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// remove takes a timer off the list and reports whether it was on it. mu is held.
func (c *Fake) remove(t *fakeTimer) bool {
	for i, other := range c.timers {
		if other == t {
			c.timers = append(c.timers[:i], c.timers[i+1:]...)
			return true
		}
	}
	return false
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.remove(t)
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	active := t.clock.remove(t)
	t.at = t.clock.now.Add(d)
	t.clock.timers = append(t.clock.timers, t)
	return active
}
