package call

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gx-dev/gx/wire"
)

// Origin is the input whose code made a call.
type Origin struct {
	Call  *Call
	Index uint32
}

// What is remembered of a call for its graph.
const (
	maxKin    = 1000 // calls made by its inputs that have ended
	maxStates = 256  // inputs
	maxNodes  = 10_000
)

// family is what a call knows of its inputs and of the calls that they made.
// The call's mu guards it.
type family struct {
	open   map[*Call]struct{} // calls of its inputs that have not ended
	past   []*Call            // those that have, as far as they are remembered
	states []inputState
}

// inputState is how far one of the first inputs has come.
type inputState struct {
	container string
	status    Status
}

// Status is how far an input has come, by the names that users of Modal know.
type Status string

// The states of an input.
const (
	Pending    Status = "pending"
	Running    Status = "running"
	Success    Status = "success"
	Failure    Status = "failure"
	TimedOut   Status = "timeout"
	Terminated Status = "terminated"
)

// join makes the call known to the one whose input made it.
func (c *Call) join() {
	p := c.Parent.Call
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.family.open == nil {
		p.family.open = map[*Call]struct{}{}
	}
	p.family.open[c] = struct{}{}
}

// leave says that the call has ended.
func (c *Call) leave() {
	p := c.Parent.Call
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.family.open, c)
	if len(p.family.past) < maxKin {
		p.family.past = append(p.family.past, c)
	}
}

// AwaitedBy lists the calls of an input's code whose answers it waits for: not
// the spawned ones, and not those that have an answer for all they were given.
func (o Origin) AwaitedBy() []*Call {
	o.Call.mu.Lock()
	defer o.Call.mu.Unlock()
	var list []*Call
	for c := range o.Call.family.open {
		if c.Parent.Index == o.Index && c.Kind != KindSpawn {
			list = append(list, c)
		}
	}
	return list
}

// Identify gives a call that has no id this one, and returns the one it has.
func (c *Call) Identify(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ID == "" {
		c.ID = id
	}
	return c.ID
}

// Idle reports whether every input that the call was given has its answer.
func (c *Call) Idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered == c.received
}

// Began notes that a container was given an input. It is cheap for all but the
// first inputs of a call.
func (c *Call) Began(index uint32, container string) {
	if index >= maxStates {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.family.state(index) = inputState{container: container, status: Running}
}

func (f *family) state(index uint32) *inputState {
	for int(index) >= len(f.states) {
		f.states = append(f.states, inputState{status: Pending})
	}
	return &f.states[index]
}

// answered notes how inputs ended.
func (f *family) answered(answers []Answer) {
	for i := range answers {
		a := &answers[i]
		if a.Frame.Type == wire.Item || a.Frame.Index >= maxStates {
			continue
		}
		f.state(a.Frame.Index).status = statusOf(a.Frame)
	}
}

func statusOf(f wire.Frame) Status {
	if f.Type == wire.Result {
		return Success
	}
	if f.Type == wire.Fail {
		var body wire.FailBody
		if f.Decode(&body) == nil {
			switch body.Kind {
			case wire.FailTimeout:
				return TimedOut
			case wire.FailCancelled:
				return Terminated
			}
		}
	}
	return Failure
}

// Graph is a call's inputs, and the calls that these made.
type Graph struct {
	Inputs []Node `json:"inputs"`
	// More is how many inputs and calls were left out.
	More int64 `json:"more,omitempty"`
}

// Node is one input in a Graph.
type Node struct {
	InputID   string `json:"input_id"`
	CallID    string `json:"function_call_id"`
	Container string `json:"container_id"`
	Status    Status `json:"status"`
	Function  string `json:"function_name"`
	Module    string `json:"module_name"`
	Children  []Node `json:"children"`
}

// Graph draws the call and what came of it, as far as it is remembered: at most
// 10,000 inputs in all.
func (c *Call) Graph() Graph {
	var g Graph
	left := maxNodes
	g.Inputs = c.nodes(&left, &g.More)
	return g
}

func (c *Call) nodes(left *int, more *int64) []Node {
	c.mu.Lock()
	states := slices.Clone(c.family.states)
	received := c.received
	kin := slices.Clone(c.family.past)
	for k := range c.family.open {
		kin = append(kin, k)
	}
	id := c.ID
	c.mu.Unlock()
	slices.SortFunc(kin, func(a, b *Call) int { return a.Created.Compare(b.Created) })
	shown := min(received, maxStates)
	*more += received - shown
	nodes := make([]Node, 0, shown)
	for i := range uint32(shown) {
		if *left == 0 {
			*more++
			continue
		}
		*left--
		n := Node{
			InputID: fmt.Sprintf("in-%s-%d", strings.TrimPrefix(id, "fc-"), i), CallID: id, Status: Pending,
			Function: c.Target.Name(), Module: c.Target.Module(), Children: []Node{},
		}
		if c.Method != "" {
			n.Function += "." + c.Method
		}
		if int(i) < len(states) {
			n.Container, n.Status = states[i].container, states[i].status
		}
		for _, k := range kin {
			if k.Parent.Index == i {
				n.Children = append(n.Children, k.nodes(left, more)...)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}
