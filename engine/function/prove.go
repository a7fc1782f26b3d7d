package function

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// roomPatience is how long room is waited for, for a container that has only
	// to show that a version comes up.
	roomPatience = 30 * time.Second
	// clearPatience is how long containers may go on with what they are at when a
	// version is to begin without them.
	clearPatience = 30 * time.Second
)

// ErrNoRoom is in the chain of Prove's error if no container could be tried.
var ErrNoRoom = errors.New("there is no room for a container")

// Prove returns once a container of the function's version is ready: at once if
// one is. Else one is started, which goes on as any other. The error is a
// *StartError if it did not come up.
func (f *Function) Prove(ctx context.Context) error {
	f.mu.Lock()
	for _, m := range f.members {
		if m.state == ready && !m.leaves() {
			f.mu.Unlock()
			return nil
		}
	}
	f.mu.Unlock()
	c := &Change{f: f, next: f.version()}
	m, err := c.tryFor(ctx, roomPatience)
	if err != nil {
		return err
	}
	if err := m.proven(ctx); err != nil {
		m.kill("the version that it was started for is not used")
		return err
	}
	f.mu.Lock()
	m.trial = nil
	touched := f.fill(f.host.Clock.Now())
	f.mu.Unlock()
	for _, t := range touched {
		t.conn.Flush()
	}
	f.kick()
	return nil
}

// ReplaceProven is Replace for a version that must have shown that it comes up:
// of a function that has no container, one of it is started. Where there is no
// room for that, unproven is why.
func (f *Function) ReplaceProven(ctx context.Context, next *Version) (c *Change, unproven, err error) {
	if f.needed() > 0 {
		c, err = f.Replace(ctx, next)
		return c, nil, err
	}
	c = f.Turn(next)
	m, err := c.tryFor(ctx, roomPatience)
	if errors.Is(err, ErrNoRoom) {
		return c, err, nil
	}
	if err == nil {
		err = m.proven(ctx)
	}
	if err != nil {
		c.Abort()
		return nil, nil, err
	}
	return c, nil, nil
}

// tryFor is try, with a limit to how long room is waited for.
func (c *Change) tryFor(ctx context.Context, patience time.Duration) (*member, error) {
	limited, cancel := context.WithTimeoutCause(ctx, patience, ErrNoRoom)
	defer cancel()
	m, err := c.try(limited)
	if err != nil {
		c.f.kick() // it waits for room no more
		if ctx.Err() == nil && errors.Is(context.Cause(limited), ErrNoRoom) {
			err = fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
	}
	return m, err
}

// proven waits until a trial is ready.
func (m *member) proven(ctx context.Context) error {
	select {
	case <-m.trial.done:
		return m.trial.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a container of %s's new version: %w", m.f.Name(), ctx.Err())
	}
}

// Clear ends all of the function's containers, so that another version can
// begin without them, and starts none until resume is called: what comes waits.
// They finish what they are at; what takes longer than half a minute is taken
// from them and begun again by others. It returns when they are gone.
func (f *Function) Clear(ctx context.Context) (resume func(), err error) {
	f.mu.Lock()
	f.paused = true
	members := append([]*member(nil), f.members...)
	f.mu.Unlock()
	resume = func() {
		f.mu.Lock()
		f.paused = false
		f.mu.Unlock()
		f.kick()
	}
	for _, m := range members {
		f.mu.Lock()
		state := m.state
		f.mu.Unlock()
		switch state {
		case ready:
			m.leave()
		case starting:
			m.stop(replaced, 0)
		}
	}
	late := make(chan struct{})
	timer := f.host.Clock.AfterFunc(clearPatience, func() { close(late) })
	defer timer.Stop()
	for _, m := range members {
		select {
		case <-m.gone:
			continue
		case <-late:
			m.kill(replaced)
		case <-ctx.Done():
			return resume, fmt.Errorf("waiting for the containers of %s to end: %w", f.Name(), ctx.Err())
		}
		<-m.gone
	}
	return resume, nil
}
