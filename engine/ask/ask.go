// Package ask is how stored things are used: volumes, secrets, dicts, queues,
// environments. Whoever has such things offers operations by name, which take
// JSON parameters and bytes and answer with the same; containers, the user's
// own Python and the command line ask by the same names. It knows nothing of
// connections.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
)

// Kinds of errors; a kind becomes an exception of gx.exception, or an exit code.
const (
	KindNotFound = "not_found"
	KindExists   = "exists"
	KindRefused  = "refused"  // what is asked for makes no sense, or is not allowed
	KindConflict = "conflict" // somebody else has changed what it is about
	KindFull     = "full"
	KindEmpty    = "empty"
	KindTooLarge = "too_large"
	KindInternal = "internal"
)

// From is who asks. Both are "" for the user's own Python outside of an app,
// and for the command line.
type From struct {
	App       string // id
	Container string // id
}

// Query is one question.
type Query struct {
	Op     string
	Params json.RawMessage
	Data   []byte // the handler's to keep
	From   From
}

// Decode reads the parameters into a struct.
func (q Query) Decode(params any) error {
	if len(q.Params) == 0 {
		return nil
	}
	if err := json.Unmarshal(q.Params, params); err != nil {
		return Refused("the parameters of %q cannot be read: %v", q.Op, err)
	}
	return nil
}

// Answer is what comes back. Result becomes JSON; nil is an empty object.
type Answer struct {
	Result any
	Data   []byte
}

// Handler answers a query. It may wait, until ctx ends: then nobody is there
// for its answer.
type Handler func(ctx context.Context, q Query) (Answer, error)

// Service is a part of the host that answers.
type Service interface {
	// Operations are its handlers by the operations' names: "volume.list".
	Operations() map[string]Handler
}

// Error is an error that the asker can do something about.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errors of each kind, in a user's words.

// NotFound says that a thing is not there.
func NotFound(format string, args ...any) error { return failed(KindNotFound, format, args) }

// Exists says that a thing is there already.
func Exists(format string, args ...any) error { return failed(KindExists, format, args) }

// Refused says that what is asked for is wrong, or not allowed.
func Refused(format string, args ...any) error { return failed(KindRefused, format, args) }

// Conflict says that somebody else was faster.
func Conflict(format string, args ...any) error { return failed(KindConflict, format, args) }

// Full says that there is no room.
func Full(format string, args ...any) error { return failed(KindFull, format, args) }

// Empty says that there is nothing to take.
func Empty(format string, args ...any) error { return failed(KindEmpty, format, args) }

// TooLarge says that something exceeds its limit.
func TooLarge(format string, args ...any) error { return failed(KindTooLarge, format, args) }

func failed(kind, format string, args []any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Kind is an error's kind.
func Kind(err error) string {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Kind
	}
	return KindInternal
}

// Desk passes queries to the services that answer them.
type Desk struct {
	handlers map[string]Handler
}

// NewDesk makes a desk of services. Two that offer the same operation are a
// mistake of the program, which panics.
func NewDesk(services ...Service) *Desk {
	d := &Desk{handlers: map[string]Handler{}}
	for _, s := range services {
		for op, h := range s.Operations() {
			if d.handlers[op] != nil {
				panic("two services answer " + op)
			}
			d.handlers[op] = h
		}
	}
	return d
}

// Answer answers a query, in the caller's goroutine.
func (d *Desk) Answer(ctx context.Context, q Query) (a Answer, err error) {
	h := d.handlers[q.Op]
	if h == nil {
		return Answer{}, Refused("this host does not know the operation %.100q: is it older than the SDK?", q.Op)
	}
	defer func() {
		if p := recover(); p != nil { // of one query, not of the host
			err = fmt.Errorf("the host failed at %q: %v\n%s", q.Op, p, debug.Stack())
		}
	}()
	return h(ctx, q)
}
