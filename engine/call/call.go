// Package call is calls as their callers see them: a connection opens them,
// gives inputs, and gets each input's answer once. Where the inputs go is a
// Target's business; the package knows no container.
package call

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/wire"
)

// Kinds of calls.
const (
	KindCall      = "call"
	KindMap       = "map"
	KindSpawn     = "spawn"
	KindGenerator = "generator"
)

// Target is what calls go to: a function. Its methods return soon.
type Target interface {
	// Name is the function's name in its app, Module that of its Python module.
	Name() string
	Module() string
	// Release says that a call that Host.Resolve found the target for has
	// ended, once for each.
	Release()
	// Submit takes inputs, in their order. Each will be answered once, by
	// Deliver, unless its call is forgotten.
	Submit(inputs []*Input)
	// Cancel gives up an input, or all of a call's (wire.AllInputs). Those that
	// have not been answered get wire.FailCancelled. With terminate the
	// containers that run them are ended too.
	Cancel(c *Call, index uint32, terminate bool)
}

// Memory is results that are kept for later runs, by what made them and from
// what.
type Memory interface {
	// Recall returns the result of an input that was made before.
	Recall(in *Input) (wire.Frame, bool)
	// Keep keeps an input's result, which took so long to make. It never waits.
	// The payloads of both are there until it returns.
	Keep(in *Input, result wire.Frame, took time.Duration)
	// Release says that the call has ended, once.
	Release()
}

// Call is one call.
type Call struct {
	// ID is "fc-...". A call of KindCall, which costs the least, gets its ID
	// when its input goes to a container, under the target's lock.
	ID      string
	Number  uint32 // by which the host and runners name it
	Kind    string
	Method  string // of a class
	Target  Target
	Created time.Time
	// Parent is the input whose code made the call; its Call is nil if a client
	// made it. Depth is how many calls are above it.
	Parent Origin
	Depth  int
	// Trace is the target's record of the call, under its lock; nil before the
	// first input.
	Trace *trace.Call

	// Memory keeps the call's results, and knows those of earlier runs; nil =
	// nothing does.
	Memory Memory
	// Restored says that the call was made from what is kept of it: what it did
	// before is not known.
	Restored bool

	registry *Registry
	record   Record         // of a spawned call that outlives the host; nil = it does not
	refused  *wire.FailBody // why it was not accepted; nil = it was
	gone     atomic.Bool    // nobody waits for its answers

	receive func(wire.Frame) // gets the answers of a web request, in place of a caller

	mu       sync.Mutex
	caller   *Caller // nil once a spawned call's caller has gone
	number   uint32  // by which the caller names it
	received int64   // inputs that came
	total    int64   // inputs that will have come; -1 = not known yet
	answered int64
	failed   int64
	finished time.Time
	kept     map[uint32]wire.Frame // of a spawned call: answers by index
	recorded map[uint32]struct{}   // indexes of those that record keeps
	complete bool                  // of a call with a record: no more inputs come
	keptSize int64
	waiting  []*wait
	family   family
}

// Gone reports whether nobody waits for the call's answers any more.
func (c *Call) Gone() bool { return c.gone.Load() }

// Answer is a frame that answers an input: a Result, Error or Fail, which are
// the last, or an Item.
type Answer struct {
	Input *Input
	Frame wire.Frame
	// Closing says that the function ends, and has not seen to the input: another
	// one may.
	Closing bool
}

// Failed reports whether the answer says that the input failed.
func (a *Answer) Failed() bool { return a.Frame.Type == wire.Error || a.Frame.Type == wire.Fail }

// Fail makes the answer that the host gave an input up.
func Fail(in *Input, body wire.FailBody) Answer {
	f, err := wire.JSON(wire.Fail, in.Call.Number, in.Index, body)
	if err != nil { // a message of many megabytes
		f, _ = wire.JSON(wire.Fail, in.Call.Number, in.Index, wire.FailBody{Kind: body.Kind, Message: "the message is too long to be sent"})
	}
	f.Attempt = in.Attempt
	if in.Logged > 0 {
		f.Flags |= wire.FlagLogged
		f.Logged = in.Logged
	}
	return Answer{Input: in, Frame: f}
}

// Deliver gives answers to their callers, in their order, and closes the files
// in them. It waits for a caller that does not read.
func Deliver(answers []Answer) {
	deliver(answers, func(c *Caller) { c.relax() })
}

// DeliverNow is Deliver for who must not wait.
func DeliverNow(answers []Answer) { deliver(answers, func(*Caller) {}) }

func deliver(answers []Answer, then func(*Caller)) {
	for len(answers) > 0 {
		c := answers[0].Input.Call
		n := 1
		for n < len(answers) && answers[n].Input.Call == c {
			n++
		}
		if caller := c.deliver(answers[:n]); caller != nil {
			then(caller)
		}
		answers = answers[n:]
	}
}

// deliver gives answers to the call's caller, keeps them if the call was
// spawned, and says when all inputs are answered.
func (c *Call) deliver(answers []Answer) *Caller {
	if c.receive != nil {
		c.receiveAll(answers)
		return nil
	}
	if c.record != nil {
		return c.put(answers)
	}
	var last, failed, held int64
	for i := range answers {
		if answers[i].Frame.Type == wire.Item {
			continue
		}
		last++
		held += answers[i].Input.held
		if answers[i].Failed() {
			failed++
		}
	}
	c.mu.Lock()
	c.family.answered(answers)
	caller, number := c.caller, c.number
	// Answers are counted after they are written. So if these make the count
	// full, all others are written, and End can go along.
	full := last > 0 && c.total >= 0 && c.answered+last == c.total && !c.gone.Load()
	c.mu.Unlock()
	if caller != nil && !c.gone.Load() {
		frames := caller.frames(len(answers) + 1)
		for i := range answers {
			f := answers[i].Frame
			f.Call = number
			frames = append(frames, f)
		}
		if full {
			frames = append(frames, end(number, c.total))
		}
		caller.send(frames)
	}
	c.keep(answers)
	if last == 0 {
		return caller
	}
	if caller != nil {
		caller.outstanding.Add(-last)
		caller.held.Add(-held)
	}
	c.mu.Lock()
	c.answered += last
	c.failed += failed
	c.endIfDone(full)
	return caller
}

func end(number uint32, total int64) wire.Frame {
	return wire.Frame{Header: wire.Header{Type: wire.End, Call: number, Index: uint32(total)}}
}

// endIfDone ends the call if every input is answered; told says that its caller
// knows. mu is held, and given up.
func (c *Call) endIfDone(told bool) {
	if c.total < 0 || c.answered < c.total || !c.finished.IsZero() {
		c.mu.Unlock()
		return
	}
	c.finished = c.registry.clock.Now()
	c.Trace.Delivered(c.finished)
	caller, number, total := c.caller, c.number, c.total
	c.mu.Unlock()
	c.registry.ended(c)
	if caller == nil {
		return
	}
	caller.forget(number)
	if !told && !c.gone.Load() {
		caller.send(append(caller.frames(1), end(number, total)))
	}
}

// abandon ends a call that nobody waits for any more.
func (c *Call) abandon() {
	c.gone.Store(true)
	c.mu.Lock()
	ended := !c.finished.IsZero()
	if !ended {
		c.finished = c.registry.clock.Now()
	}
	c.mu.Unlock()
	if !ended {
		c.registry.ended(c)
	}
}
