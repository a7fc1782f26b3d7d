package call

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/wire"
)

// How long the answers of spawned calls are kept that have no Record: so long
// after the call's end, and no more than so many bytes of all calls together
// (the oldest go first). They are in memory, so they end with the host.
const (
	KeepFor   = 24 * time.Hour
	KeepBytes = 512 << 20
)

// maxExpired is how many calls are remembered whose answers are not.
const maxExpired = 10_000

// Registry knows a host's calls by their ids, and keeps the answers of spawned
// ones. It is safe for concurrent use.
type Registry struct {
	clock   clock.Clock
	archive Archive
	numbers atomic.Uint32

	mu       sync.Mutex
	calls    map[string]*Call
	finished []*Call             // spawned ones that have ended, in that order
	expired  map[string]struct{} // remembered for a while, for a better message
	bytes    int64               // of all answers that are kept
	open     int                 // calls that have not ended
}

// NewRegistry makes a Registry. Calls that have a Record are looked for in the
// archive once they have ended; nil = there are none.
func NewRegistry(c clock.Clock, archive Archive) *Registry {
	if archive == nil {
		archive = noArchive{}
	}
	return &Registry{clock: c, archive: archive, calls: map[string]*Call{}, expired: map[string]struct{}{}}
}

// NewID makes an id: the prefix, a dash, and 16 characters of [a-z2-7].
func NewID(prefix string) string {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
}

// Spawned is a spawned call that has not ended, or not long ago; nil = there is
// none.
func (r *Registry) Spawned(id string) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[id]
}

// Ended reports whether all inputs of the call have answers.
func (c *Call) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.finished.IsZero()
}

// Open is how many calls have not ended.
func (r *Registry) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// opened gives a call its number and its id.
func (r *Registry) opened(c *Call) {
	// 31 bits: the highest bit marks calls that runners open. A number comes
	// again after two thousand million calls.
	c.Number = r.numbers.Add(1) &^ wire.RunnerCall
	if c.Kind != KindCall && c.Kind != KindWeb && c.ID == "" {
		c.ID = NewID("fc")
	}
	c.join()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	if c.Kind == KindSpawn {
		r.calls[c.ID] = c
	}
}

// ended is told when a call has ended, once.
func (r *Registry) ended(c *Call) {
	if c.refused != nil {
		return
	}
	c.leave()
	c.Target.Release()
	if c.Memory != nil {
		c.Memory.Release()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	switch {
	case c.record != nil && len(c.kept) == 0:
		delete(r.calls, c.ID) // the archive has it
	case c.Kind == KindSpawn:
		r.finished = append(r.finished, c)
		r.expire()
	}
}

// expire forgets what is kept for too long, or is too much. mu is held.
func (r *Registry) expire() {
	now := r.clock.Now()
	for len(r.finished) > 0 {
		c := r.finished[0]
		c.mu.Lock()
		if now.Sub(c.finished) < KeepFor && r.bytes <= KeepBytes {
			c.mu.Unlock()
			break
		}
		r.bytes -= c.keptSize
		for _, f := range c.kept {
			closePayload(f)
		}
		c.kept, c.keptSize = nil, 0
		c.mu.Unlock()
		delete(r.calls, c.ID)
		r.finished = r.finished[1:]
		r.expired[c.ID] = struct{}{}
	}
	if len(r.expired) > maxExpired {
		clear(r.expired)
	}
}

// keep keeps the answers of a spawned call, and answers those who wait for
// them. The files of other calls' answers are closed.
func (c *Call) keep(answers []Answer) {
	if c.Kind != KindSpawn || c.refused != nil {
		for i := range answers {
			closePayload(answers[i].Frame)
		}
		return
	}
	var size int64
	var due []*wait
	c.mu.Lock()
	if c.kept == nil {
		c.kept = map[uint32]wire.Frame{}
	}
	for i := range answers {
		f := answers[i].Frame
		if f.Type == wire.Item {
			closePayload(f)
			continue
		}
		f.Body = bytes.Clone(f.Body) // not the reader's whole chunk
		c.kept[f.Index] = f
		size += int64(len(f.Body)) + f.FileSize
		for j := 0; j < len(c.waiting); j++ {
			if w := c.waiting[j]; w.index == f.Index {
				due = append(due, w)
				c.waiting = append(c.waiting[:j], c.waiting[j+1:]...)
				j--
			}
		}
	}
	c.keptSize += size
	c.mu.Unlock()
	c.registry.mu.Lock()
	c.registry.bytes += size
	c.registry.mu.Unlock()
	for _, w := range due {
		w.answer(c)
	}
}

// Close lets go of everything that is kept.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, c := range r.calls {
		c.mu.Lock()
		for _, f := range c.kept {
			closePayload(f)
		}
		c.kept = nil
		c.mu.Unlock()
		delete(r.calls, id)
	}
	r.finished, r.bytes = nil, 0
}
