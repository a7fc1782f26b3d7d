package call

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/wire"
)

// What one connection may have open.
const (
	MaxCalls       = 100_000   // calls at once
	MaxOutstanding = 2_000_000 // inputs without an answer
	MaxDepth       = 100       // calls above a call
	maxHeld        = 4 << 30   // bytes of their payloads in memory
	// highWater is how many bytes may wait to be written to a caller that does
	// not read, before who has answers for it waits too.
	highWater = 32 << 20
	lookAgain = 2 * time.Millisecond // how often it looks then
	// Calls of a function are opened by the same bytes each time, so their JSON
	// is read once.
	maxOpens      = 256
	maxRemembered = 1 << 10 // bytes
)

// Sender writes frames to a caller; a *wire.Writer is one.
type Sender interface {
	Write(frames ...wire.Frame) error
	Descriptors() bool
	Buffered() int
}

// Caller is one connection that opens calls: a client's, or that of a runner
// whose user's code makes calls. Handle and Settle are called by the goroutine
// that reads the connection.
type Caller struct {
	registry *Registry
	sender   Sender
	host     Host
	origin   func(call, index uint32) (Origin, bool)
	from     ask.From

	life   context.Context // ends with the connection
	end    context.CancelFunc
	asking sync.WaitGroup // goroutines that answer questions, or wait for them
	spare  chan asked     // to those that wait
	spares atomic.Int64   // how many do

	batch    []*Input                 // came, and not yet submitted; all for the same target
	opens    map[string]wire.OpenBody // what Open frames said before, by their body
	within   wire.Frame               // of the Open that comes next; Type 0 = it comes from nowhere
	recalled []Answer                 // results that were there already
	joiner   wire.Joiner

	patience    time.Duration
	outstanding atomic.Int64 // inputs without an answer
	held        atomic.Int64 // bytes of their payloads
	closed      chan struct{}

	mu        sync.Mutex
	calls     map[uint32]*Call              // by the caller's numbers
	questions map[uint32]context.CancelFunc // those that are open, by the same
	spared    []wire.Frame
}

// Host is what callers ask for beyond calls themselves.
type Host interface {
	// Resolve finds what a call goes to, and holds it until Target.Release. The
	// error is in a user's words.
	Resolve(open wire.OpenBody) (Target, error)
	// Remember finds what keeps results of a map; nil = nothing does.
	Remember(open wire.OpenBody) Memory
	// Record finds what keeps a spawned call, which was resolved; nil = it ends
	// with the host.
	Record(c *Call, open wire.OpenBody) Record
	// Ask answers a Request that is not about a call; false = it does not know
	// the operation.
	Ask(op string, params json.RawMessage) (result any, fail *wire.FailBody, known bool)
	// Answer answers a question about what the host stores. It may wait.
	Answer(ctx context.Context, q ask.Query) (ask.Answer, error)
}

// Config is what a Caller is made of.
type Config struct {
	Registry *Registry
	Sender   Sender
	Host     Host
	From     ask.From // who asks
	// Origin finds the input that a runner's Within names; nil for clients.
	Origin func(call, index uint32) (Origin, bool)
	// Patience is how long those who have answers for it wait while it does not
	// read; 0 = for as long as it takes.
	Patience time.Duration
}

// NewCaller makes a Caller. Close it.
func NewCaller(c Config) *Caller {
	life, end := context.WithCancel(context.Background())
	return &Caller{
		registry: c.Registry, sender: c.Sender, host: c.Host, from: c.From, origin: c.Origin, patience: c.Patience, life: life, end: end,
		calls: map[uint32]*Call{}, questions: map[uint32]context.CancelFunc{}, opens: map[string]wire.OpenBody{}, closed: make(chan struct{}), spare: make(chan asked),
	}
}

// Handle takes one frame. An error means that the other side broke the
// protocol; what it asks for in vain is answered instead. Settle has to follow
// once no more frames are at hand.
func (c *Caller) Handle(f wire.Frame) error {
	whole, ok, err := c.joiner.Add(f)
	if err != nil || !ok {
		return err
	}
	f = whole
	if f.Type == wire.Input {
		return c.input(f)
	}
	switch f.Type {
	case wire.Open:
		return c.open(f)
	case wire.Within:
		c.within = f
		return nil
	case wire.End:
		return c.ended(f)
	case wire.Cancel:
		c.Settle() // so that the target knows what is cancelled
		return c.cancel(f)
	case wire.Request:
		c.Settle()
		return c.request(f)
	case wire.Ask:
		return c.question(f)
	}
	closePayload(f)
	return fmt.Errorf("%w: a %v frame came, which is not for a host", wire.ErrProtocol, f.Type)
}

func closePayload(f wire.Frame) {
	if f.File != nil {
		_ = f.File.Close()
	}
}

// Settle submits the inputs that came.
func (c *Caller) Settle() {
	if len(c.recalled) > 0 {
		DeliverNow(c.recalled)
		clear(c.recalled)
		c.recalled = c.recalled[:0]
	}
	if len(c.batch) == 0 {
		return
	}
	c.batch[0].Call.Target.Submit(c.batch)
	clear(c.batch)
	c.batch = c.batch[:0]
}

func (c *Caller) call(number uint32) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[number]
}

func (c *Caller) forget(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, number)
}

func (c *Caller) open(f wire.Frame) error {
	body, known := c.opens[string(f.Body)]
	if !known {
		if err := f.Decode(&body); err != nil {
			return err
		}
		if len(f.Body) <= maxRemembered {
			if len(c.opens) >= maxOpens {
				clear(c.opens)
			}
			c.opens[string(f.Body)] = body
		}
	}
	call := &Call{Kind: body.Kind, Method: body.Method, registry: c.registry, Created: c.registry.clock.Now(), caller: c, number: f.Call, total: -1}
	c.mu.Lock()
	_, dup := c.calls[f.Call]
	full := len(c.calls) >= MaxCalls
	if !dup {
		c.calls[f.Call] = call
	}
	c.mu.Unlock()
	if dup {
		return fmt.Errorf("%w: call %d was opened twice", wire.ErrProtocol, f.Call)
	}
	c.adopt(call)
	if err := c.admit(call, body, full); err != nil {
		call.refused = &wire.FailBody{Kind: wire.FailRefused, Message: err.Error()}
	}
	if call.refused != nil {
		return nil // each input will be told
	}
	c.registry.opened(call)
	if call.Kind == KindCall || call.record != nil { // see Call.settle
		return nil
	}
	return c.opened(call)
}

// opened tells the caller the call's id.
func (c *Caller) opened(call *Call) error {
	f, err := wire.JSON(wire.Opened, call.number, 0, wire.OpenedBody{CallID: call.ID})
	if err != nil {
		return err
	}
	c.send([]wire.Frame{f})
	return nil
}

// adopt notes which input makes a call.
func (c *Caller) adopt(call *Call) {
	within := c.within
	c.within = wire.Frame{}
	if within.Type == 0 || c.origin == nil {
		return
	}
	if parent, ok := c.origin(within.Call, within.Index); ok { // it may have ended meanwhile
		call.Parent, call.Depth = parent, parent.Call.Depth+1
	}
}

// admit finds the call's target, or says why there is none for it.
func (c *Caller) admit(call *Call, body wire.OpenBody, full bool) error {
	switch body.Kind {
	case KindCall, KindMap, KindSpawn, KindGenerator:
	default:
		return fmt.Errorf("a call of kind %q is not known to this host", body.Kind)
	}
	if full {
		return fmt.Errorf("this connection has %d calls open, which is the limit", MaxCalls)
	}
	if call.Depth > MaxDepth {
		return fmt.Errorf("calls are nested %d deep, which is the limit: each was made by an input of the one before. Does a function call itself without end?", MaxDepth)
	}
	target, err := c.host.Resolve(body)
	if err != nil {
		return err
	}
	call.Target = target
	if call.Kind == KindMap && body.Code != "" {
		call.Memory = c.host.Remember(body)
	}
	if call.Kind == KindSpawn {
		call.record = c.host.Record(call, body)
	}
	return nil
}

func (c *Caller) input(f wire.Frame) error {
	call := c.call(f.Call)
	if call == nil { // it was cancelled while the input was on its way
		closePayload(f)
		return nil
	}
	call.mu.Lock()
	late := call.total >= 0 || call.complete
	call.received++
	call.mu.Unlock()
	if late {
		closePayload(f)
		return fmt.Errorf("%w: an input of call %d came behind its End", wire.ErrProtocol, f.Call)
	}
	in := &Input{Call: call, Index: f.Index, Body: f.Body, File: f.File, Size: f.FileSize, held: int64(len(f.Body))}
	inputs, bytes := c.outstanding.Add(1), c.held.Add(int64(len(f.Body)))
	refused := call.refused
	if inputs > MaxOutstanding || bytes > maxHeld {
		refused = &wire.FailBody{Kind: wire.FailRefused, Message: fmt.Sprintf(
			"this connection has %d inputs of %d MiB without an answer; at most %d of %d MiB are allowed. Take results before giving more",
			inputs, bytes>>20, MaxOutstanding, int64(maxHeld)>>20)}
	}
	if refused != nil {
		DeliverNow([]Answer{Fail(in, *refused)})
		in.Drop()
		return nil
	}
	if call.Memory != nil {
		if f, ok := call.Memory.Recall(in); ok {
			c.recalled = append(c.recalled, Answer{Input: in, Frame: f})
			in.Drop()
			return nil
		}
	}
	if call.record != nil {
		if err := call.record.Came(in); err != nil {
			call.refuse(c, in.Index, err)
			c.outstanding.Add(-1)
			c.held.Add(-in.held)
			in.Drop()
			return nil
		}
	}
	if len(c.batch) > 0 && c.batch[0].Call.Target != call.Target {
		c.Settle()
	}
	c.batch = append(c.batch, in)
	return nil
}

func (c *Caller) ended(f wire.Frame) error {
	call := c.call(f.Call)
	if call == nil {
		return nil
	}
	call.mu.Lock()
	if call.total >= 0 || call.complete || int64(f.Index) != call.received {
		defer call.mu.Unlock()
		return fmt.Errorf("%w: End says that call %d has %d inputs, %d came", wire.ErrProtocol, f.Call, f.Index, call.received)
	}
	if call.record != nil {
		call.mu.Unlock()
		c.Settle()
		call.settle()
		return nil
	}
	call.total = call.received
	call.endIfDone(false)
	return nil
}

func (c *Caller) cancel(f wire.Frame) error {
	var body wire.CancelBody
	if err := f.Decode(&body); err != nil {
		return err
	}
	call := c.call(f.Call)
	if call == nil && c.forgetQuestion(f.Call) || call == nil || call.refused != nil {
		return nil
	}
	if f.Index == wire.AllInputs {
		c.abandon(call, body.Terminate)
		return nil
	}
	call.Target.Cancel(call, f.Index, body.Terminate)
	return nil
}

// abandon forgets a call. A spawned one is cancelled, and its inputs' fate can
// be asked for.
func (c *Caller) abandon(call *Call, terminate bool) {
	if call.Kind != KindSpawn {
		call.abandon()
		c.forget(call.number)
	}
	call.Target.Cancel(call, wire.AllInputs, terminate)
}

// Close says that the connection has ended: its calls are cancelled, but those
// that were spawned go on. Handle must not be running.
func (c *Caller) Close() {
	close(c.closed)
	c.end()
	c.Settle()
	c.joiner.Close()
	c.mu.Lock()
	var calls []*Call
	for _, call := range c.calls {
		calls = append(calls, call)
	}
	c.calls = map[uint32]*Call{}
	c.mu.Unlock()
	for _, call := range calls {
		switch {
		case call.refused != nil:
		case call.Kind == KindSpawn:
			call.detach()
		default:
			c.abandon(call, false)
		}
	}
	c.registry.hungUp(c)
	c.asking.Wait()
}

// detach lets a spawned call go on without its caller.
func (c *Call) detach() {
	c.mu.Lock()
	c.caller = nil
	if c.record != nil {
		settled := c.complete
		c.mu.Unlock()
		if !settled {
			c.settle() // no more can come
		}
		return
	}
	if c.total < 0 {
		c.total = c.received // no more can come
	}
	c.endIfDone(true)
}

// frames returns an empty list to fill and send.
func (c *Caller) frames(n int) []wire.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.spared
	c.spared = nil
	if cap(list) < n {
		return make([]wire.Frame, 0, max(n, 64))
	}
	return list[:0]
}

// send writes frames to the caller, without waiting for it to read them. Files
// in them stay open.
func (c *Caller) send(frames []wire.Frame) {
	if c.sender.Descriptors() {
		_ = c.sender.Write(frames...) // the reader of a dead connection learns of it
	} else {
		for _, f := range frames {
			if wire.Pieces(f, func(p wire.Frame) error { return c.sender.Write(p) }) != nil {
				break
			}
		}
	}
	clear(frames)
	c.mu.Lock()
	c.spared = frames
	c.mu.Unlock()
}

// relax waits while too much waits to be written to the caller. The goroutine
// that reads the caller's connection must not call it.
func (c *Caller) relax() {
	if c.sender.Buffered() <= highWater {
		return
	}
	var over <-chan time.Time
	if c.patience > 0 {
		over = time.After(c.patience)
	}
	for c.sender.Buffered() > highWater {
		select {
		case <-c.closed:
			return
		case <-over:
			return
		case <-time.After(lookAgain):
		}
	}
}
