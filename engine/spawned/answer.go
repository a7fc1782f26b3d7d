package spawned

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/wire"
)

// Answered keeps answers in place of the inputs, and has then told when they
// are kept. What frames hold must be there until then. Answers that could not be
// written, which then is told, are written later all the same, if the host lives.
func (r *Record) Answered(frames []wire.Frame, then func(error)) {
	l := r.ledger
	list := make([]answer, len(frames))
	var lost error
	for i, f := range frames {
		body, err := l.place(r.meta.ID, f.Index, outFile, payloadOf(f))
		if err != nil { // a large one, and the disk is full
			l.cfg.Log.Error("the answer of a spawned call cannot be kept", "call", r.meta.ID, "error", err)
			lost, f = err, unkept(f.Index, err)
			body = f.Body
		}
		list[i] = answer{index: f.Index, kind: f.Type, size: payloadOf(f).size(), body: body}
		if f.Type != wire.Result {
			list[i].failure = Failure(f)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	r.keep(list, func(err error) { then(errors.Join(err, lost)) }, true)
}

// answer is one that is to be kept.
type answer struct {
	index   uint32
	kind    wire.Type
	size    int64
	body    []byte // nil = in a file
	failure string // "" = a value
}

// unkept stands for an answer that there is no room for.
func unkept(index uint32, err error) wire.Frame {
	f, _ := wire.JSON(wire.Fail, 0, index, wire.FailBody{Kind: wire.FailInternal, Message: fmt.Sprintf("it was answered, and the answer could not be kept: %v", err)})
	return f
}

// again is when answers that could not be written are tried again.
const again = time.Second

// keep pushes answers, and again for as long as they cannot be written.
func (r *Record) keep(list []answer, then func(error), wait bool) {
	l := r.ledger
	var size, failed int64
	failure := ""
	for _, a := range list {
		size += a.size
		if a.failure != "" {
			failed++
			failure = cmp.Or(failure, a.failure)
		}
	}
	var freed, counted int64
	var over bool
	l.push(change{size: size, apply: func(b *batch) error {
		freed, over = 0, false
		if r.number == 0 {
			return fmt.Errorf("answers of %s: %w", r.meta.ID, errNoRow)
		}
		for _, a := range list {
			var before int64
			if err := b.query(selectSize, []any{r.key(a.index)}, &before); err != nil {
				return fmt.Errorf("input %d of %s, which was answered: %w", a.index, r.meta.ID, err)
			}
			freed += before
			if err := b.exec(updateInput, int(a.kind), a.size, a.body, r.key(a.index)); err != nil {
				return err
			}
		}
		now := l.cfg.Clock.Now()
		if err := b.query(updateCall, []any{len(list), failed, size - freed, store.Seconds(now), r.number}, &over, &counted); err != nil || !over {
			return err
		}
		if !r.meta.Scheduled || l.cfg.Ended == nil {
			return nil
		}
		return l.cfg.Ended(b.tx, Ended{ID: r.meta.ID, At: now, Failure: failure})
	}, then: func(err error) {
		switch {
		case err == nil:
			l.count(size-freed, size-freed)
			if over {
				l.count(0, -counted)
			}
			for _, a := range list {
				l.remove(r.meta.ID, a.index, inFile)
			}
		case errors.Is(err, errClosed), errors.Is(err, errNoRow), errors.Is(err, sql.ErrNoRows): // the next host finds the inputs, if there are any
		default:
			for i := range list {
				list[i].body = bytes.Clone(list[i].body)
			}
			l.cfg.Clock.AfterFunc(again, func() { r.keep(list, func(error) {}, false) })
		}
		then(err)
		l.evict()
	}}, wait)
}

// Answer reads an answer that is kept; sql.ErrNoRows = there is none.
func (r *Record) Answer(index uint32) (wire.Frame, error) { return r.read(index, outFile) }

// Input reads an input that has no answer.
func (r *Record) Input(index uint32) (wire.Frame, error) { return r.read(index, inFile) }

func (r *Record) read(index uint32, what string) (f wire.Frame, err error) {
	l := r.ledger
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading input %d of spawned call %s, or its answer: %w", index, r.meta.ID, err)
		}
	}()
	kind, size, body := 0, int64(0), []byte(nil)
	err = l.cfg.DB.Read().QueryRowContext(context.Background(), `SELECT coalesce(kind, 0), size, payload FROM spawned_inputs WHERE key = ?`, r.key(index)).Scan(&kind, &size, &body)
	if err == nil && (what == outFile) != (kind != 0) {
		err = sql.ErrNoRows
	}
	if err != nil {
		return f, err
	}
	if kind == 0 {
		kind = int(wire.Input)
	}
	return l.fetch(r.meta.ID, index, what, wire.Type(kind), size, body)
}

// Failure is what an answer says went wrong; "" = nothing.
func Failure(f wire.Frame) string {
	switch f.Type {
	case wire.Error:
		if e, _, err := wire.DecodeError(f.Body); err == nil {
			if e.Message == "" {
				return e.Type
			}
			return e.Type + ": " + e.Message
		}
		return "it raised an exception"
	case wire.Fail:
		var body wire.FailBody
		if err := f.Decode(&body); err == nil && body.Message != "" {
			return body.Message
		}
		return "it failed"
	}
	return ""
}
