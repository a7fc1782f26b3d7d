package call

import (
	"os"
	"time"

	"github.com/gx-dev/gx/wire"
)

// Input is one input of a call, from its coming to its answer. Its owner is the
// function that it was submitted to, under whose lock everything but the first
// block is read and written.
type Input struct {
	Call  *Call
	Index uint32
	Body  []byte   // the payload, or
	File  *os.File // the file that holds it
	Size  int64    // bytes in File

	Attempt  uint16    // of the newest attempt, from 1
	Failures int       // attempts that failed by the user's doing
	Lost     int       // containers that died while they ran it and nothing else
	Since    time.Time // when the attempt began to run; zero while it waits
	Logged   uint64    // sequence number of the last line that the attempt printed
	Once     bool      // it cannot be tried again: nobody knows what an attempt has done
	Items    bool      // items of it went to the caller: it cannot be tried again
	Done     bool      // it was answered, or forgotten; a container may still be at it
	Recalled bool      // its container was asked to give it back unstarted
	Overdue  bool      // its attempt has run for longer than it may, and has not ended
	Suspect  bool      // a container died that had others too: it is run by itself
	Came     time.Time // when it was submitted
	// Container is the one that was given the newest attempt.
	Container string
	Batch     *Batch // that it is being run in; nil = it runs by itself

	held       int64 // bytes that the input's caller is charged for
	next, prev *Input
	list       *List
}

// Batch is inputs that a container runs together, under the same lock as they.
type Batch struct {
	Left int // inputs that the container has not answered
	Live int // of those, the ones that somebody still waits for
}

// Again returns an input that takes this one's place, payload included, while a
// container is still at this one and will not be listened to.
func (in *Input) Again() *Input {
	again := *in
	again.next, again.prev, again.list = nil, nil, nil
	again.Done, again.Recalled, again.Overdue, again.Batch = false, false, false, nil
	in.Done, in.Body, in.File = true, nil, nil
	return &again
}

// Frame is the input as it goes to a runner.
func (in *Input) Frame() wire.Frame {
	kind := wire.Input
	if in.Call.Kind == KindWeb {
		kind = wire.WebRequest
	}
	return wire.Frame{
		Header: wire.Header{Type: kind, Call: in.Call.Number, Index: in.Index, Attempt: in.Attempt},
		Body:   in.Body, File: in.File, FileSize: in.Size,
	}
}

// Drop lets go of the payload. It must not be waiting to be written.
func (in *Input) Drop() {
	if in.File != nil {
		_ = in.File.Close()
		in.File = nil
	}
	in.Body = nil
}

// List is a list of inputs, in which each is at most once, and which gives any
// of them up at once. The zero value is empty.
type List struct {
	first, last *Input
	n           int
}

// Len is how many inputs are in the list.
func (l *List) Len() int { return l.n }

// Front is the first input, nil if there is none.
func (l *List) Front() *Input { return l.first }

// Back is the last input, nil if there is none.
func (l *List) Back() *Input { return l.last }

// Next is the input behind in, nil at the end.
func (in *Input) Next() *Input { return in.next }

// In reports whether the input is in l.
func (in *Input) In(l *List) bool { return in.list == l }

// PushBack appends an input that is in no list.
func (l *List) PushBack(in *Input) {
	in.list, in.prev, in.next = l, l.last, nil
	if l.last == nil {
		l.first = in
	} else {
		l.last.next = in
	}
	l.last = in
	l.n++
}

// PushFront puts an input that is in no list before the others.
func (l *List) PushFront(in *Input) {
	in.list, in.prev, in.next = l, nil, l.first
	if l.first == nil {
		l.last = in
	} else {
		l.first.prev = in
	}
	l.first = in
	l.n++
}

// Remove takes an input out of the list that it is in, if it is in one.
func (in *Input) Remove() {
	l := in.list
	if l == nil {
		return
	}
	if in.prev == nil {
		l.first = in.next
	} else {
		in.prev.next = in.next
	}
	if in.next == nil {
		l.last = in.prev
	} else {
		in.next.prev = in.prev
	}
	in.list, in.next, in.prev = nil, nil, nil
	l.n--
}
