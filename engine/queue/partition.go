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
	done    chan error      // one value

	items   [][]byte      // to put, or that were got
	ttl     time.Duration // of a put
	want    int           // of a get: at most so many
	expired bool          // of a clear: only if the partition has expired

	busy bool // it is being done, and cannot leave
}

// failed is the error of who has waited for too long.
func (r *request) failed() error {
	if r.kind == putting {
		return ask.Full("there was no room for %d more in a partition that has at most %d items", len(r.items), MaxItems)
	}
	return ask.Empty("the queue had no item")
}

// partition is a partition in use: who waits there, and what is known of what
// it holds. At most one goroutine (work) does what is wanted: all that has come
// at one moment, in one update.
type partition struct {
	service *Service
	at      place

	// Guarded by service.mu.
	puts, gets, clears []*request // those who wait, in the order in which they came
	watchers           int
	changed            chan struct{} // closed at the next put
	working            bool
	news               bool        // something has come since the last update was begun
	stale              bool        // its queue was deleted: nobody new comes here
	alarm              clock.Timer // set while somebody waits for room that its expiry will make

	held state // work's alone
}

// add puts a request into the line. mu is held.
func (p *partition) add(r *request) {
	line := p.line(r.kind)
	*line = append(*line, r)
	p.call()
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

// call has somebody look at the line. mu is held.
func (p *partition) call() {
	p.news = true
	if !p.working && !p.service.closed {
		p.working = true
		p.service.tending.Go(p.work)
	}
}

// leave takes a request out of the line, unless it is being done. mu is held.
func (p *partition) leave(r *request) bool {
	line := p.line(r.kind)
	i := slices.Index(*line, r)
	if r.busy || i < 0 {
		return false
	}
	*line = slices.Delete(*line, i, i+1)
	if r.kind == putting {
		p.call() // there may be room for who is behind it
	}
	p.release()
	return true
}

// fail ends all waiting. mu is held.
func (p *partition) fail(err error) {
	for _, k := range []kind{putting, getting, clearing} {
		line := p.line(k)
		*line = slices.DeleteFunc(*line, func(r *request) bool {
			if !r.busy {
				r.done <- err
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
	if p.working || p.watchers > 0 || len(p.puts)+len(p.gets)+len(p.clears) > 0 || p.held.items() > 0 && !p.stale {
		return
	}
	if p.service.partitions[p.at] == p {
		delete(p.service.partitions, p.at)
	}
}

// work does what is wanted until there is nothing more that can be done.
func (p *partition) work() {
	s := p.service
	for {
		s.mu.Lock()
		if !p.news || s.closed {
			p.working = false
			p.setAlarm()
			p.release()
			s.mu.Unlock()
			return
		}
		p.news = false
		b := &batch{puts: slices.Clone(p.puts), gets: slices.Clone(p.gets), clears: slices.Clone(p.clears), now: s.clock.Now()}
		for r := range b.all() {
			r.busy = true
		}
		s.mu.Unlock()

		err := b.apply(s, p)

		s.mu.Lock()
		p.settle(b, err)
		s.mu.Unlock()
	}
}

// settle answers those whose request was done, and those who do not wait. mu is held.
func (p *partition) settle(b *batch, err error) {
	stays := func(r *request) bool {
		r.busy = false
		switch {
		case err != nil:
			r.done <- err
		case b.served[r]:
			r.done <- nil
		case p.stale:
			r.done <- errGone
		case r.ctx.Err() != nil:
			r.done <- r.ctx.Err()
		case r.timeout != nil && *r.timeout <= 0:
			r.done <- r.failed()
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
