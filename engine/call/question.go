package call

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/wire"
)

// maxQuestions is how many questions of one connection may be open.
const maxQuestions = 10_000

// maxQuestion is the most bytes of a question's body.
const maxQuestion = 65 << 20

// maxSpare is how many goroutines of one connection wait for further questions.
const maxSpare = 16

// asked is a question that is being answered.
type asked struct {
	ctx    context.Context
	cancel context.CancelFunc
	number uint32
	query  ask.Query
}

// question takes an Ask. It is answered in another goroutine, which has no
// other meanwhile: it may wait, as long as the connection is there.
func (c *Caller) question(f wire.Frame) error {
	body, err := whole(f)
	if err != nil {
		return err
	}
	var head wire.AskBody
	data, err := wire.DecodeMessage(body, &head)
	if err != nil {
		return err
	}
	number := f.Call
	ctx, cancel := context.WithCancel(c.life)
	c.mu.Lock()
	full, twice := len(c.questions) >= maxQuestions, c.questions[number] != nil
	if !full && !twice {
		c.questions[number] = cancel
	}
	c.mu.Unlock()
	switch {
	case twice:
		cancel()
		return fmt.Errorf("%w: question %d was asked twice", wire.ErrProtocol, number)
	case full:
		cancel()
		c.answer(number, ask.Answer{}, ask.Refused("this connection has %d questions open, which is the limit", maxQuestions))
		return nil
	}
	q := asked{ctx, cancel, number, ask.Query{Op: head.Op, Params: head.Params, Data: data, From: c.from}}
	select {
	case c.spare <- q:
	default:
		c.asking.Go(func() { c.respond(q) })
	}
	return nil
}

// respond answers a question, and those that come after it: what answers them
// needs a large stack, and growing a new one takes as long as the half of a
// small answer.
func (c *Caller) respond(q asked) {
	for {
		c.respondTo(q)
		if c.spares.Add(1) > maxSpare {
			c.spares.Add(-1)
			return
		}
		select {
		case q = <-c.spare:
			c.spares.Add(-1)
		case <-c.life.Done():
			return
		}
	}
}

func (c *Caller) respondTo(q asked) {
	defer q.cancel()
	a, err := c.host.Answer(q.ctx, q.query)
	if q.ctx.Err() == nil {
		c.relax()
	}
	c.mu.Lock()
	delete(c.questions, q.number)
	c.mu.Unlock()
	if q.ctx.Err() == nil {
		c.answer(q.number, a, err)
	}
}

// forgetQuestion cancels a question; false = there is none of this number.
func (c *Caller) forgetQuestion(number uint32) bool {
	c.mu.Lock()
	cancel := c.questions[number]
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return cancel != nil
}

// whole reads a payload that travels as a descriptor.
func whole(f wire.Frame) ([]byte, error) {
	if f.File == nil {
		return f.Body, nil
	}
	defer closePayload(f)
	if f.FileSize > maxQuestion {
		return nil, fmt.Errorf("%w: %w: a question of %d bytes, at most %d are allowed", wire.ErrProtocol, wire.ErrTooLarge, f.FileSize, maxQuestion)
	}
	body := make([]byte, f.FileSize)
	if _, err := f.File.ReadAt(body, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a question: %w", err)
	}
	return body, nil
}

// answer sends what came of a question.
func (c *Caller) answer(number uint32, a ask.Answer, failed error) {
	head := wire.ReplyBody{Result: a.Result}
	if failed != nil {
		head = wire.ReplyBody{Error: FailureOf(failed)}
		a.Data = nil
	}
	body, err := wire.EncodeMessage(head, a.Data)
	if err != nil || len(body) > wire.MaxBody {
		if err == nil {
			err = fmt.Errorf("an answer of %d bytes: %w", len(body), wire.ErrTooLarge)
		}
		body, _ = wire.EncodeMessage(wire.ReplyBody{Error: FailureOf(err)}, nil) // a message is always encodable
	}
	c.send([]wire.Frame{{Header: wire.Header{Type: wire.Answer, Call: number}, Body: body}})
}

// FailureOf is an error of package ask as it is told.
func FailureOf(err error) *wire.FailBody {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &wire.FailBody{Kind: wire.FailCancelled, Message: "the host is ending"}
	}
	return &wire.FailBody{Kind: ask.Kind(err), Message: err.Error()}
}
