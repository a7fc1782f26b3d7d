package function

import (
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// batches hands queued inputs of a batched function to containers that have
// room: as soon as there are enough for a batch, or the first of them has
// waited for as long as it may. mu is held.
func (f *Function) batches(now time.Time) (touched []*member) {
	size, wait := f.version().Spec.Batch.Size, time.Duration(f.version().Spec.Batch.Wait)*time.Millisecond
	for f.queue.Len() > 0 {
		first := f.queue.Front()
		left := wait - now.Sub(first.Came)
		if f.queue.Len() < size && left > 0 && !first.Suspect {
			if f.linger == nil {
				f.linger = f.host.Clock.AfterFunc(left, f.lingered)
			}
			break
		}
		m := f.pick(first)
		if m == nil {
			break
		}
		m.assignBatch(f.take(m, size), now)
		touched = append(touched, m)
	}
	return touched
}

// lingered looks after inputs that have waited for company.
func (f *Function) lingered() {
	f.mu.Lock()
	f.linger = nil
	touched := f.batches(f.host.Clock.Now())
	short := f.queue.Len() > 0
	f.mu.Unlock()
	for _, m := range touched {
		m.conn.Flush()
	}
	if short {
		f.kick()
	}
}

// take takes the next inputs off the queue that can be in one batch: those of
// one method, or one that is run by itself. mu is held.
func (f *Function) take(m *member, size int) []*call.Input {
	var batch []*call.Input
	for in := f.queue.Front(); in != nil && len(batch) < size; {
		next := in.Next()
		if m.takes(in) && (len(batch) == 0 || !in.Suspect && in.Call.Method == batch[0].Call.Method) {
			in.Remove()
			batch = append(batch, in)
		}
		if len(batch) > 0 && batch[0].Suspect {
			break
		}
		in = next
	}
	return batch
}

// assignBatch gives the container inputs that it is to run together. Flush has
// to follow. f.mu is held.
func (m *member) assignBatch(inputs []*call.Input, now time.Time) {
	// What the runner has to know of their calls comes before the batch.
	for _, in := range inputs {
		m.tell(in)
	}
	m.conn.Queue(wire.Frame{Header: wire.Header{Type: wire.Batch, Index: uint32(len(inputs))}})
	batch := &call.Batch{Left: len(inputs), Live: len(inputs)}
	for _, in := range inputs {
		in.Batch = batch
		m.assign(in, now)
	}
	m.batched++
}

// interrupt asks the container to stop running an input that is not waited for
// any more. Of a batch it must be the last. f.mu is held.
func (m *member) interrupt(in *call.Input, reason string) {
	if in.Batch != nil {
		if in.Batch.Live--; in.Batch.Live > 0 {
			return
		}
	}
	m.conn.Queue(cancelFrame(in, reason))
}

// leaveBatch notes that the container is done with an input. f.mu is held.
func (m *member) leaveBatch(in *call.Input) {
	if in.Batch == nil {
		return
	}
	if in.Batch.Left--; in.Batch.Left == 0 {
		m.batched--
	}
	in.Batch = nil
}
