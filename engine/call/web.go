package call

import "github.com/gx-dev/gx/wire"

// KindWeb is the kind of a call that a web request makes: of one input, whose
// answers go to a function of this process instead of a caller's connection.
const KindWeb = "web"

// Streams is a Target whose inputs may be given more, and left, while they run.
type Streams interface {
	Target
	// Stream gives frames to the container that is at the input; false = none is.
	// The frames' Call, Index and Attempt are set by it.
	Stream(in *Input, frames ...wire.Frame) bool
	// HangUp says that nobody waits for the input any more: one that has not begun
	// is given up, and a container that is at it is told.
	HangUp(in *Input)
}

// Web makes a call of one web request, whose body is that of a WebRequest, to a
// target that was resolved for it. receive gets the answers in their order, the
// last of which is a Result, an Error or a Fail; it must not block, and what
// frames hold is its own. Submit the input.
//
// An input that is not again (see Input.Once) is not given to another container
// if the one that is at it ends.
func (r *Registry) Web(target Streams, body []byte, again bool, receive func(wire.Frame)) *Input {
	c := &Call{
		Kind: KindWeb, Target: target, Created: r.clock.Now(),
		registry: r, received: 1, total: 1, receive: receive,
	}
	r.opened(c)
	return &Input{Call: c, Body: body, Once: !again}
}

// receiveAll gives a web request's answers to who made it.
func (c *Call) receiveAll(answers []Answer) {
	for i := range answers {
		c.receive(answers[i].Frame)
		switch answers[i].Frame.Type {
		case wire.Result, wire.Error, wire.Fail:
			c.mu.Lock()
			c.answered = 1
			if answers[i].Failed() {
				c.failed = 1
			}
			c.endIfDone(true)
		}
	}
}
