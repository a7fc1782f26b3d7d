package call

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gx-dev/gx/wire"
)

// Record keeps one spawned call where the end of the host does not reach it:
// its inputs, and then their answers. What it is told of the call it keeps in
// that order. The call's caller learns the call's id once all inputs are kept,
// and who waits for an answer gets it once that is.
type Record interface {
	// Came keeps an input, before it is submitted. The error, in a user's words,
	// refuses it.
	Came(in *Input) error
	// Complete says that the call has so many inputs. then is told when all of
	// them are kept, or why not; it is quick.
	Complete(inputs int64, then func(error))
	// Answered keeps the last answers of inputs. Their payloads are there until
	// then is told when they are kept, or why not; it is quick.
	Answered(frames []wire.Frame, then func(error))
	// Returned is told of an input that the function has not seen to, because it
	// ends, and reports whether another function will. If not, what the function
	// answered counts.
	Returned(in *Input) bool
	// Answer reads an answer that is kept; ErrUnanswered = there is none.
	Answer(index uint32) (wire.Frame, error)
	// Forget says that the call was refused.
	Forget()
}

// Archive is the spawned calls that have a Record, when they have ended.
type Archive interface {
	// Past finds a call. The error is ErrUnknown, or ErrExpired.
	Past(id string) (Past, error)
}

// Past is a spawned call that has ended.
type Past interface {
	Info() CallInfo
	Graph() Graph
	// Answer reads the answer of an input; ErrUnanswered = there is none.
	Answer(index uint32) (wire.Frame, error)
}

// Errors of records and archives that are told apart.
var (
	ErrUnknown    = errors.New("no such call")
	ErrExpired    = errors.New("the results are not kept any more")
	ErrUnanswered = errors.New("the input has no answer")
)

type noArchive struct{}

func (noArchive) Past(string) (Past, error) { return nil, ErrUnknown }

// settle has all inputs kept, and then tells the caller the call's id.
func (c *Call) settle() {
	c.mu.Lock()
	c.complete = true
	n := c.received
	c.mu.Unlock()
	c.record.Complete(n, func(err error) {
		c.mu.Lock()
		caller := c.caller
		if err != nil {
			c.mu.Unlock()
			c.refuse(caller, 0, err)
			return
		}
		c.total = n
		c.endIfDone(true)
		if caller != nil {
			_ = caller.opened(c) // a text: it cannot fail
		}
	})
}

// refuse ends a call that cannot be kept; caller may be nil.
func (c *Call) refuse(caller *Caller, index uint32, err error) {
	c.abandon()
	c.record.Forget()
	c.Target.Cancel(c, wire.AllInputs, false)
	if caller == nil {
		return
	}
	caller.forget(c.number)
	fail := Fail(&Input{Call: c, Index: index}, wire.FailBody{Kind: wire.FailRefused, Message: err.Error()})
	fail.Frame.Call = c.number
	caller.send(append(caller.frames(1), fail.Frame))
}

// put has a recorded call's answers kept; only then they are there for who asks.
func (c *Call) put(answers []Answer) *Caller {
	frames := make([]wire.Frame, 0, len(answers))
	var failed, last, held int64
	for i := range answers {
		a := &answers[i]
		if a.Frame.Type == wire.Item {
			closePayload(a.Frame)
			continue
		}
		last++
		held += a.Input.held
		if c.gone.Load() || a.Closing && c.record.Returned(a.Input) {
			closePayload(a.Frame)
			continue
		}
		if a.Failed() {
			failed++
		}
		frames = append(frames, a.Frame)
	}
	c.mu.Lock()
	c.family.answered(answers)
	caller := c.caller
	c.mu.Unlock()
	if caller != nil {
		caller.outstanding.Add(-last)
		caller.held.Add(-held)
	}
	if len(frames) > 0 {
		c.record.Answered(frames, func(err error) { c.recordedAll(frames, failed, err) })
	}
	return caller
}

// recordedAll tells who waits for answers that they are there. If they could not
// be kept, they are in memory for a while, as those of other calls.
func (c *Call) recordedAll(frames []wire.Frame, failed int64, err error) {
	var due []*wait
	var size int64
	c.mu.Lock()
	for i, f := range frames {
		if err == nil {
			if c.recorded == nil {
				c.recorded = map[uint32]struct{}{}
			}
			c.recorded[f.Index] = struct{}{}
		} else {
			if c.kept == nil {
				c.kept = map[uint32]wire.Frame{}
			}
			frames[i].Body = bytes.Clone(f.Body)
			c.kept[f.Index] = frames[i]
			size += int64(len(f.Body)) + f.FileSize
		}
		for j := 0; j < len(c.waiting); j++ {
			if w := c.waiting[j]; w.index == f.Index {
				due = append(due, w)
				c.waiting = slices.Delete(c.waiting, j, j+1)
				j--
			}
		}
	}
	c.keptSize += size
	c.mu.Unlock()
	if size > 0 {
		c.registry.mu.Lock()
		c.registry.bytes += size
		c.registry.mu.Unlock()
	}
	for _, w := range due {
		for _, f := range frames {
			if f.Index == w.index {
				w.give(f)
			}
		}
	}
	if err == nil {
		for _, f := range frames {
			closePayload(f)
		}
	}
	c.mu.Lock()
	c.answered += int64(len(frames))
	c.failed += failed
	c.endIfDone(true)
}

// give answers a wait with an answer.
func (w *wait) give(f wire.Frame) {
	if w.timer != nil {
		w.timer.Stop()
	}
	f.Call = w.number
	w.caller.sendKept(f)
	w.caller.reply(w.number, getReply{Status: "done"}, nil)
}

// fetch answers OpGet from what is recorded.
func (c *Caller) fetch(from interface {
	Answer(index uint32) (wire.Frame, error)
}, number, index uint32) {
	f, err := from.Answer(index)
	if err != nil {
		c.reply(number, nil, &wire.FailBody{Kind: wire.FailInternal, Message: fmt.Sprintf("the answer cannot be read: %v", err)})
		return
	}
	f.Call = number
	c.sendKept(f)
	closePayload(f)
	c.reply(number, getReply{Status: "done"}, nil)
}

// past answers a request about a call that has ended, if the archive has it.
func (c *Caller) past(number uint32, op string, p params) bool {
	past, err := c.registry.archive.Past(p.CallID)
	switch {
	case errors.Is(err, ErrUnknown):
		return false
	case errors.Is(err, ErrExpired):
		c.reply(number, nil, &wire.FailBody{Kind: wire.FailExpired, Message: fmt.Sprintf("the results of call %s are not kept any more", p.CallID)})
		return true
	case err != nil:
		c.reply(number, nil, &wire.FailBody{Kind: wire.FailInternal, Message: err.Error()})
		return true
	}
	switch op {
	case OpGet:
		if n := past.Info().Inputs; int64(p.Index) >= n {
			c.reply(number, nil, noSuchInput(p, n))
			return true
		}
		c.fetch(past, number, p.Index)
	case OpCancel: // it has ended
		c.reply(number, struct{}{}, nil)
	case OpInfo:
		c.reply(number, past.Info(), nil)
	case OpGraph:
		c.reply(number, past.Graph(), nil)
	}
	return true
}

func noSuchInput(p params, n int64) *wire.FailBody {
	return &wire.FailBody{Kind: wire.FailNotFound, Message: fmt.Sprintf("call %s has %d inputs, there is no number %d", p.CallID, n, p.Index)}
}

// Restored is a spawned call of which not every input has its answer.
type Restored struct {
	ID, Method string
	Created    time.Time
	Inputs     int64
	Answered   []uint32 // indexes of the inputs that have answers
	Failed     int64    // of those
	Record     Record
}

// Restore makes a call again that an earlier host had, or one that nobody in
// this process has opened. What has no answer is the caller's to submit.
func (r *Registry) Restore(target Target, from Restored) *Call {
	c := &Call{
		ID: from.ID, Kind: KindSpawn, Method: from.Method, Target: target, Created: from.Created, Restored: true,
		registry: r, record: from.Record, complete: true,
		received: from.Inputs, total: from.Inputs, answered: int64(len(from.Answered)), failed: from.Failed,
		recorded: make(map[uint32]struct{}, len(from.Answered)),
	}
	for _, i := range from.Answered {
		c.recorded[i] = struct{}{}
	}
	r.opened(c)
	return c
}
