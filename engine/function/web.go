package function

import (
	"encoding/json"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// Stream implements call.Streams.
func (f *Function) Stream(in *call.Input, frames ...wire.Frame) bool {
	f.mu.Lock()
	m := f.holder(in)
	if m == nil || in.Done {
		f.mu.Unlock()
		return false
	}
	for _, fr := range frames {
		// What went to the container cannot be given to another.
		in.Once = in.Once || fr.Type != wire.WebCredit
		m.queueFor(in, fr)
	}
	f.mu.Unlock()
	m.conn.Flush()
	return true
}

// HangUp implements call.Streams.
func (f *Function) HangUp(in *call.Input) {
	var out []call.Answer
	f.mu.Lock()
	if _, waits := f.delayed[in]; waits || in.In(&f.queue) {
		if waits {
			f.delayed[in].Stop()
			delete(f.delayed, in)
		}
		in.Remove()
		out = append(out, f.give(in, wire.FailBody{Kind: wire.FailCancelled, Message: "the client has left"}))
	}
	m := f.holder(in)
	if m != nil {
		in.Once = true // if its container ends, nobody wants another attempt
		m.queueFor(in, wire.Frame{Header: wire.Header{Type: wire.WebGone}})
	}
	f.mu.Unlock()
	if m != nil {
		m.conn.Flush()
	}
	f.deliver(out)
}

// holder is the container that is at an input, or has it ahead. mu is held.
func (f *Function) holder(in *call.Input) *member {
	for _, m := range f.members {
		if m.inputs[key{in.Call.Number, in.Index}] == in {
			return m
		}
	}
	return nil
}

// queueFor queues a frame that is about an input. f.mu is held.
func (m *member) queueFor(in *call.Input, fr wire.Frame) {
	fr.Call, fr.Index, fr.Attempt = in.Call.Number, in.Index, in.Attempt
	m.conn.Queue(fr)
}

// webOf is what a runner is told of web endpoints: by method, "" is a function.
func webOf(spec *app.Function) json.RawMessage {
	web := map[string]*app.Web{}
	if spec.Web != nil {
		web[""] = spec.Web
	}
	for _, m := range spec.Methods {
		if m.Web != nil {
			web[m.Name] = m.Web
		}
	}
	if len(web) == 0 {
		return nil
	}
	text, err := json.Marshal(web)
	if err != nil {
		return nil // cannot happen: strings and numbers
	}
	return text
}
