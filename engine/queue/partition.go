package queue

import (
	"context"
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
)

// kind is what a request wants.
type kind int

const (
	putting kind = iota
	getting
	clearing
)

// request is somebody in a partition's line.
type request struct {
	kind    kind
	ctx     context.Context // the asker's
	timeout *time.Duration  // nil = it waits; 0 = it does not
	told    chan word       // has room for all that it is told

	items   [][]byte      // to put, or that were got
	ttl     time.Duration // of a put
	want    int           // of a get: at most so many
	expired bool          // of a clear: only if the partition has expired

	busy bool // it is being done, and cannot leave
	late bool // it would have left meanwhile
}

// word is what somebody in a line is told: what came of the request, or that it
// is to do what is wanted there.
type word struct {
	err  error
	lead bool
}

// failed is the error of who has waited for too long.
func (r *request) failed() error {
	if r.kind == putting {
		return ask.Full("there was no room for %d more in a partition that has at most %d items", len(r.items), MaxItems)
	}
	return ask.Empty("the queue had no item")
}

// partition is a partition in use: who waits there, and what is known of what
// it holds. One of those in the line at a time does what is wanted (lead): all
// that has come at one moment, in one update. There is no goroutine for it that
// would have to be woken, and to wake the askers: who finds nobody at it does
// it, and appoints the next.
type partition struct {
	service *Service
	at      place

	// Guarded by service.mu.
	puts, gets, clears []*request // those who wait, in the order in which they came
	watchers           int
	changed            chan struct{} // closed at the next put
	led                bool          // somebody does what is wanted, or was told to
	news               bool          // something has come since the last update was begun
	stale              bool          // its queue was deleted: nobody new comes here
	alarm              clock.Timer   // set while somebody waits for room that its expiry will make

	held state // the leader's alone
}

// add puts a request into the line. If nobody does what is wanted there, the
// caller is to lead. mu is held.
func (p *partition) add(r *request) (lead bool) {
	line := p.line(r.kind)
	*line = append(*line, r)
	p.news = true
	if p.led {
		return false
	}
	p.led = true
	p.service.tending.Add(1)
	return true
}

func (p *partition) line(k kind) *[]*request {
	switch k {
	case putting:
		return &p.puts
	case getting:
		return &p.gets
	}
	return &p.clears
}

// call has somebody of the line do what is wanted. mu is held.
func (p *partition) call() {
	p.news = true
	if !p.led {
		p.appoint()
	}
}

// appoint makes one of the line the leader if there is news, and otherwise
// leaves those who wait to themselves. mu is held.
func (p *partition) appoint() {
	p.led = false
	if p.news && !p.service.closed {
		for _, line := range [][]*request{p.puts, p.gets, p.clears} {
			if len(line) > 0 {
				p.led = true
				p.service.tending.Add(1)
				line[0].told <- word{lead: true}
				return
			}
		}
	}
	p.setAlarm()
	p.release()
}

// leave takes a request out of the line, unless it is being done: then it does
// not stay there. mu is held.
func (p *partition) leave(r *request) bool {
	line := p.line(r.kind)
	i := slices.Index(*line, r)
	if r.busy || i < 0 {
		r.late = true
		return false
	}
	*line = slices.Delete(*line, i, i+1)
	select {
	case <-r.told: // to lead
		p.service.tending.Done()
		p.appoint()
	default:
		if r.kind == putting {
			p.call() // there may be room for who is behind it
		}
		p.release()
	}
	return true
}

// fail ends all waiting. mu is held.
func (p *partition) fail(err error) {
	for _, k := range []kind{putting, getting, clearing} {
		line := p.line(k)
		*line = slices.DeleteFunc(*line, func(r *request) bool {
			if !r.busy {
				r.told <- word{err: err}
			}
			return !r.busy
		})
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// release forgets the partition if nobody needs it. What it holds stays known
// only while somebody is there: reading it again costs one query. mu is held.
func (p *partition) release() {
	if p.led || p.watchers > 0 || len(p.puts)+len(p.gets)+len(p.clears) > 0 || p.held.items() > 0 && !p.stale {
		return
	}
	if p.service.partitions[p.at] == p {
		delete(p.service.partitions, p.at)
	}
}

// lead does what is wanted now, and leaves what comes meanwhile to another of
// the line.
func (p *partition) lead() {
	s := p.service
	defer s.tending.Done()
	s.mu.Lock()
	p.news = false
	b := &batch{puts: slices.Clone(p.puts), gets: slices.Clone(p.gets), clears: slices.Clone(p.clears), now: s.clock.Now()}
	if b.empty() { // all have left, or were told that it is over
		p.appoint()
		s.mu.Unlock()
		return
	}
	for r := range b.all() {
		r.busy = true
	}
	s.mu.Unlock()

	err := b.apply(s, p)

	s.mu.Lock()
	defer s.mu.Unlock()
	p.settle(b, err)
	p.appoint()
}

// settle answers those whose request was done, and those who do not wait. mu is held.
func (p *partition) settle(b *batch, err error) {
	stays := func(r *request) bool {
		r.busy = false
		switch {
		case err != nil:
			r.told <- word{err: err}
		case b.served[r]:
			r.told <- word{}
		case p.stale:
			r.told <- word{err: errGone}
		case r.ctx.Err() != nil:
			r.told <- word{err: r.ctx.Err()}
		case p.service.closed:
			r.told <- word{err: errClosed}
		case r.late || r.timeout != nil && *r.timeout <= 0:
			r.told <- word{err: r.failed()}
		default:
			return true
		}
		return false
	}
	for _, k := range []kind{putting, getting, clearing} {
		line := p.line(k)
		*line = slices.DeleteFunc(*line, func(r *request) bool { return r.busy && !stays(r) })
	}
	if b.added && err == nil {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// setAlarm has somebody look again when the partition expires, if somebody
// waits for room. mu is held.
func (p *partition) setAlarm() {
	if p.alarm != nil {
		p.alarm.Stop()
		p.alarm = nil
	}
	if len(p.puts) == 0 || p.service.closed {
		return
	}
	p.alarm = p.service.clock.AfterFunc(p.held.expires.Sub(p.service.clock.Now()), func() {
		p.service.mu.Lock()
		defer p.service.mu.Unlock()
		p.call()
	})
}
