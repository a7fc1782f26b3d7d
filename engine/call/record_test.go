package call

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/wire"
)

// ledger is a Record that writes when the test says so.
type ledger struct {
	came      []uint32
	answers   map[uint32]wire.Frame
	pending   []func(error)
	full      bool
	keepsBack bool
	forgotten bool
}

func (l *ledger) Came(in *Input) error {
	if l.full {
		return errors.New("there is no room")
	}
	l.came = append(l.came, in.Index)
	return nil
}

func (l *ledger) Complete(_ int64, then func(error)) { l.pending = append(l.pending, then) }

func (l *ledger) Answered(frames []wire.Frame, then func(error)) {
	l.pending = append(l.pending, func(err error) {
		if err == nil {
			for _, f := range frames {
				l.answers[f.Index] = f
			}
		}
		then(err)
	})
}

func (l *ledger) Returned(*Input) bool { return l.keepsBack }

func (l *ledger) Answer(index uint32) (wire.Frame, error) {
	f, ok := l.answers[index]
	if !ok {
		return f, ErrUnanswered
	}
	return f, nil
}

func (l *ledger) Forget() { l.forgotten = true }

// write writes what is pending.
func (l *ledger) write(err error) {
	for _, then := range l.pending {
		then(err)
	}
	l.pending = nil
}

func (l *ledger) Past(id string) (Past, error) {
	switch id {
	case "fc-here":
		return past{l}, nil
	case "fc-gone":
		return nil, ErrExpired
	}
	return nil, ErrUnknown
}

type past struct{ *ledger }

func (p past) Info() CallInfo {
	return CallInfo{CallID: "fc-here", Inputs: int64(len(p.answers)), Done: true}
}
func (p past) Graph() Graph { return Graph{} }

func newRecorded(t *testing.T) (*bench, *ledger) {
	b := newBench(t)
	l := &ledger{answers: map[uint32]wire.Frame{}}
	b.registry = NewRegistry(b.clock, l)
	b.connect()
	b.target.record = func(*Call) Record { return l }
	return b, l
}

func get(number uint32, id string, index uint32) wire.Frame {
	f, _ := wire.JSON(wire.Request, number, 0, wire.RequestBody{Op: OpGet, Params: map[string]any{"call_id": id, "index": index}})
	return f
}

// TestRecorded sees that nothing is told before it is written.
func TestRecorded(t *testing.T) {
	b, l := newRecorded(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0), frame(wire.Input, 1, 1))
	require.Equal(t, []uint32{0, 1}, l.came)
	require.Len(t, b.target.inputs, 2, "they are begun at once")
	inputs := b.target.inputs
	id := inputs[0].Call.ID
	Deliver([]Answer{result(inputs[0])})
	b.give(frame(wire.End, 1, 2), get(7, id, 0), get(8, id, 1))
	b.expect()
	l.write(nil)
	b.expect("result 7/0", "reply 7/0", "opened 1/0")
	b.give(get(9, id, 0))
	b.expect("result 9/0", "reply 9/0")
	Deliver([]Answer{result(inputs[1])})
	b.expect()
	require.Equal(t, 1, b.registry.Open())
	l.write(nil)
	b.expect("result 8/1", "reply 8/0")
	require.Zero(t, b.registry.Open())
	require.Empty(t, b.registry.calls, "the archive has it")
	require.Zero(t, b.target.held)
	b.give(get(10, "fc-here", 1), get(11, "fc-gone", 0))
	b.expect("result 10/1", "reply 10/0", "reply 11/0")
	b.Close()
}

// TestRecordFull has a call refused in its midst.
func TestRecordFull(t *testing.T) {
	b, l := newRecorded(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0))
	l.full = true
	b.give(frame(wire.Input, 1, 1), frame(wire.Input, 1, 2), frame(wire.End, 1, 3))
	b.expect("fail 1/1")
	require.True(t, l.forgotten)
	require.Equal(t, []string{"spawn -1 false"}, b.target.cancelled)
	DeliverNow([]Answer{Fail(b.target.inputs[0], wire.FailBody{Kind: wire.FailCancelled})})
	require.Empty(t, l.pending)
	require.Zero(t, b.registry.Open())
	b.Close()
}

// TestRecordBroken cannot write the call, and then an answer of another one.
func TestRecordBroken(t *testing.T) {
	b, l := newRecorded(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0), frame(wire.End, 1, 1))
	l.write(errors.New("the disk is full"))
	b.expect("fail 1/0")
	require.True(t, l.forgotten)
	b.give(open(2, KindSpawn), frame(wire.Input, 2, 0), frame(wire.End, 2, 1))
	l.write(nil)
	b.expect("opened 2/0")
	in := b.target.inputs[1]
	Deliver([]Answer{result(in)})
	l.write(errors.New("the disk is full"))
	b.give(get(3, in.Call.ID, 0))
	b.expect("result 3/0", "reply 3/0") // from memory
	b.clock.Advance(KeepFor + time.Minute)
	b.give(get(4, in.Call.ID, 0))
	require.Equal(t, wire.FailExpired, b.lastFail().Kind)
	b.Close()
}

// TestRecordedCallerGoes has the caller go away before it has said all.
func TestRecordedCallerGoes(t *testing.T) {
	b, l := newRecorded(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0))
	in := b.target.inputs[0]
	b.Close()
	l.write(nil)
	b.expect()
	require.Empty(t, b.target.cancelled)
	Deliver([]Answer{result(in)})
	l.write(nil)
	require.Zero(t, b.registry.Open())
	require.Len(t, l.answers, 1)
}

// TestReturned has a function end, and another one go on.
func TestReturned(t *testing.T) {
	b, l := newRecorded(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0), frame(wire.Input, 1, 1), frame(wire.End, 1, 2))
	l.write(nil)
	l.keepsBack = true
	fail := Fail(b.target.inputs[0], wire.FailBody{Kind: wire.FailCancelled})
	fail.Closing = true
	DeliverNow([]Answer{fail, result(b.target.inputs[1])})
	l.write(nil)
	require.Equal(t, 1, b.registry.Open())
	require.Len(t, l.answers, 1)

	registry := NewRegistry(b.clock, l)
	c := registry.Restore(b.target, Restored{ID: "fc-old", Inputs: 2, Answered: []uint32{1}, Record: l})
	require.Equal(t, 1, registry.Open())
	Deliver([]Answer{result(&Input{Call: c, Index: 0})})
	l.write(nil)
	require.Zero(t, registry.Open())
	require.Len(t, l.answers, 2)
}
