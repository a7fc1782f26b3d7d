package call

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/wire"
)

// Operations of a Request, and their parameters.
//
//	call.get     call_id, index, timeout   the answer of a spawned call's input. The Result, Error or
//	                                       Fail comes first, bearing the request's number as its call and
//	                                       the input's index; then the Reply {"status":"done"}. If there
//	                                       is no answer within timeout seconds (null = wait without
//	                                       limit) only the Reply {"status":"pending"} comes.
//	call.cancel  call_id, terminate        cancels what is not answered yet
//	call.info    call_id                   CallInfo
//	call.graph   call_id                   Graph: its inputs, and the calls that they made
//
// Host.Ask answers all others.
//
// An unknown call is answered with an Error of kind "not_found", one whose
// answers are not kept any more with kind "expired".
const (
	OpGet    = "call.get"
	OpCancel = "call.cancel"
	OpInfo   = "call.info"
	OpGraph  = "call.graph"
)

// maxWaits is how many waiting requests one call may have.
const maxWaits = 100_000

type params struct {
	CallID    string   `json:"call_id"`
	Index     uint32   `json:"index"`
	Timeout   *float64 `json:"timeout"`
	Terminate bool     `json:"terminate"`
}

// CallInfo is the result of OpInfo.
type CallInfo struct {
	CallID   string  `json:"call_id"`
	Function string  `json:"function"`
	Method   string  `json:"method,omitempty"`
	Inputs   int64   `json:"inputs"`
	Answered int64   `json:"answered"`
	Failed   int64   `json:"failed"`
	Created  float64 `json:"created"` // seconds since 1970
	Done     bool    `json:"done"`
}

type getReply struct {
	Status string `json:"status"` // "done" or "pending"
}

// wait is a request for an answer that is not there yet.
type wait struct {
	caller *Caller
	number uint32 // of the request
	index  uint32
	timer  clock.Timer
}

func (c *Caller) request(f wire.Frame) error {
	var body struct {
		Op     string          `json:"op"`
		Params json.RawMessage `json:"params"`
	}
	if err := f.Decode(&body); err != nil {
		return err
	}
	var p params
	switch body.Op {
	case OpGet, OpCancel, OpInfo, OpGraph:
	default:
		result, fail, known := c.host.Ask(body.Op, body.Params)
		if !known {
			fail = &wire.FailBody{Kind: wire.FailRefused, Message: fmt.Sprintf("this host does not know the operation %q: is it older than the SDK?", body.Op)}
		}
		c.reply(f.Call, result, fail)
		return nil
	}
	if len(body.Params) > 0 {
		if err := json.Unmarshal(body.Params, &p); err != nil {
			c.reply(f.Call, nil, &wire.FailBody{Kind: wire.FailRefused, Message: fmt.Sprintf("the parameters of %q cannot be read: %v", body.Op, err)})
			return nil
		}
	}
	call, fail := c.registry.find(p.CallID)
	if fail != nil && fail.Kind == wire.FailNotFound && c.past(f.Call, body.Op, p) {
		return nil
	}
	if fail != nil {
		c.reply(f.Call, nil, fail)
		return nil
	}
	switch body.Op {
	case OpGet:
		c.get(call, f.Call, p)
	case OpCancel:
		call.Target.Cancel(call, wire.AllInputs, p.Terminate)
		c.reply(f.Call, struct{}{}, nil)
	case OpInfo:
		c.reply(f.Call, call.info(), nil)
	case OpGraph:
		c.reply(f.Call, call.Graph(), nil)
	}
	return nil
}

func (c *Caller) reply(number uint32, result any, fail *wire.FailBody) {
	f, err := wire.JSON(wire.Reply, number, 0, wire.ReplyBody{Result: result, Error: fail})
	if err != nil {
		f, _ = wire.JSON(wire.Reply, number, 0, wire.ReplyBody{Error: &wire.FailBody{Kind: wire.FailInternal, Message: err.Error()}})
	}
	c.send([]wire.Frame{f})
}

// find finds a spawned call.
func (r *Registry) find(id string) (*Call, *wire.FailBody) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	if c := r.calls[id]; c != nil {
		return c, nil
	}
	if _, was := r.expired[id]; was {
		return nil, &wire.FailBody{Kind: wire.FailExpired, Message: fmt.Sprintf("the results of call %s are not kept any more: a host keeps those of spawned calls for %v, and %d MiB in all", id, KeepFor, int64(KeepBytes)>>20)}
	}
	return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: fmt.Sprintf("this host knows no spawned call %q; results end with the host that has them", id)}
}

// get answers OpGet, now or later.
func (c *Caller) get(call *Call, number uint32, p params) {
	w := &wait{caller: c, number: number, index: p.Index}
	call.mu.Lock()
	_, there := call.kept[p.Index]
	if _, recorded := call.recorded[p.Index]; recorded {
		call.mu.Unlock()
		c.fetch(call.record, number, p.Index)
		return
	}
	var fail *wire.FailBody
	switch {
	case there:
	case call.total >= 0 && int64(p.Index) >= call.total:
		fail = noSuchInput(p, call.total)
	case len(call.waiting) >= maxWaits:
		fail = &wire.FailBody{Kind: wire.FailRefused, Message: fmt.Sprintf("%d requests are waiting for call %s", maxWaits, call.ID)}
	case p.Timeout != nil && *p.Timeout <= 0:
		call.mu.Unlock()
		c.reply(number, getReply{Status: "pending"}, nil)
		return
	default:
		if p.Timeout != nil {
			seconds := min(*p.Timeout, 365*24*3600)
			w.timer = c.registry.clock.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { w.expire(call) })
		}
		call.waiting = append(call.waiting, w)
		call.mu.Unlock()
		return
	}
	call.mu.Unlock()
	if fail != nil {
		c.reply(number, nil, fail)
		return
	}
	w.answer(call)
}

// answer sends the answer that is kept.
func (w *wait) answer(call *Call) {
	if w.timer != nil {
		w.timer.Stop()
	}
	call.mu.Lock()
	f, ok := call.kept[w.index]
	if ok {
		f.Call = w.number
		// Under the lock, so that the file is not closed meanwhile; a Writer
		// takes it over at once.
		w.caller.sendKept(f)
	}
	call.mu.Unlock()
	if !ok {
		w.caller.reply(w.number, nil, &wire.FailBody{Kind: wire.FailExpired, Message: fmt.Sprintf("the results of call %s are not kept any more", call.ID)})
		return
	}
	w.caller.reply(w.number, getReply{Status: "done"}, nil)
}

// sendKept is send, but waits for nobody.
func (c *Caller) sendKept(f wire.Frame) {
	if c.sender.Descriptors() {
		_ = c.sender.Write(f) // as in send
		return
	}
	_ = wire.Pieces(f, func(p wire.Frame) error { return c.sender.Write(p) })
}

// expire says that the time for waiting is over.
func (w *wait) expire(call *Call) {
	if call.unwait(func(other *wait) bool { return other == w }) == 0 {
		return // it is being answered
	}
	w.caller.reply(w.number, getReply{Status: "pending"}, nil)
}

// unwait takes requests off those that wait and returns how many.
func (c *Call) unwait(which func(*wait) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.waiting[:0]
	n := 0
	for _, w := range c.waiting {
		if !which(w) {
			left = append(left, w)
			continue
		}
		n++
		if w.timer != nil {
			w.timer.Stop()
		}
	}
	c.waiting = left
	return n
}

// hungUp forgets the requests of a caller that has gone.
func (r *Registry) hungUp(c *Caller) {
	r.mu.Lock()
	var calls []*Call
	for _, call := range r.calls {
		calls = append(calls, call)
	}
	r.mu.Unlock()
	for _, call := range calls {
		call.unwait(func(w *wait) bool { return w.caller == c })
	}
}

func (c *Call) info() CallInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What is kept can be had already, and is counted in a moment.
	answered := max(c.answered, int64(len(c.kept)))
	return CallInfo{
		CallID: c.ID, Function: c.Target.Name(), Method: c.Method, Inputs: c.received, Answered: answered, Failed: c.failed,
		Created: float64(c.Created.UnixMicro()) / 1e6, Done: !c.finished.IsZero() || c.total >= 0 && answered == c.total,
	}
}
