package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/wire"
)

// recorder is a caller's connection.
type recorder struct {
	mu     sync.Mutex
	frames []wire.Frame
	files  bool

	replied func() // nil = nothing is done at a Reply
}

func (r *recorder) Write(frames ...wire.Frame) error {
	if r.replied != nil && slices.ContainsFunc(frames, func(f wire.Frame) bool { return f.Type == wire.Reply }) {
		r.replied()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, frames...)
	return nil
}
func (r *recorder) Descriptors() bool { return r.files }
func (r *recorder) Buffered() int     { return 0 }

// take returns what was written, in words.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, f := range r.frames {
		list = append(list, fmt.Sprintf("%v %d/%d", f.Type, f.Call, f.Index))
	}
	r.frames = nil
	return list
}

// target keeps what it is given.
type target struct {
	mu        sync.Mutex
	inputs    []*Input
	cancelled []string
	refuse    error
	held      int
	record    func(*Call) Record
}

func (*target) Name() string { return "f" }

func (*target) Module() string { return "m" }

func (t *target) Release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
}

// host has one function.
type host struct{ *target }

func (h host) Remember(wire.OpenBody) Memory { return nil }

func (h host) Record(c *Call, _ wire.OpenBody) Record {
	if h.record == nil {
		return nil
	}
	return h.record(c)
}

func (h host) Resolve(open wire.OpenBody) (Target, error) {
	if open.Function != "fu-1" {
		return nil, errors.New("no such function")
	}
	if h.refuse != nil {
		return nil, h.refuse
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held++
	return h.target, nil
}

func (host) Answer(ctx context.Context, q ask.Query) (ask.Answer, error) {
	switch q.Op {
	case "echo":
		return ask.Answer{Result: q.Params, Data: q.Data}, nil
	case "wait":
		<-ctx.Done()
		return ask.Answer{}, ctx.Err()
	}
	return ask.Answer{}, ask.NotFound("no %s of %q", q.Op, q.From.Container)
}

func (host) Ask(op string, params json.RawMessage) (any, *wire.FailBody, bool) {
	return map[string]string{"asked": op}, nil, op == "function.find"
}

func (t *target) Submit(inputs []*Input) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inputs = append(t.inputs, inputs...)
}

func (t *target) Cancel(c *Call, index uint32, terminate bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancelled = append(t.cancelled, fmt.Sprintf("%s %d %v", c.Kind, int32(index), terminate))
}

type bench struct {
	*Caller
	t        *testing.T
	out      *recorder
	target   *target
	registry *Registry
	clock    *clock.Fake
	archive  Archive
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, out: &recorder{files: true}, target: &target{}, clock: clock.NewFake(time.Unix(1e9, 0))}
	b.registry = NewRegistry(b.clock, b.archive)
	b.connect()
	return b
}

func (b *bench) connect() {
	b.Caller = NewCaller(Config{Registry: b.registry, Sender: b.out, Host: host{b.target}})
}

func (b *bench) give(frames ...wire.Frame) {
	b.t.Helper()
	for _, f := range frames {
		if err := b.Handle(f); err != nil {
			b.t.Fatal(err)
		}
	}
	b.Settle()
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	if got := b.out.take(); !slices.Equal(got, want) {
		b.t.Errorf("got %v, want %v", got, want)
	}
}

func open(number uint32, kind string) wire.Frame {
	f, _ := wire.JSON(wire.Open, number, 0, wire.OpenBody{Function: "fu-1", Kind: kind})
	return f
}

func frame(t wire.Type, call, index uint32) wire.Frame {
	return wire.Frame{Header: wire.Header{Type: t, Call: call, Index: index}}
}

func result(in *Input) Answer { return Answer{Input: in, Frame: frame(wire.Result, 0, in.Index)} }

func TestOneCall(t *testing.T) {
	b := newBench(t)
	b.give(open(5, KindCall), frame(wire.Input, 5, 0), frame(wire.End, 5, 1))
	if len(b.target.inputs) != 1 || b.registry.Open() != 1 {
		t.Fatalf("%d inputs, %d calls", len(b.target.inputs), b.registry.Open())
	}
	b.expect()
	Deliver([]Answer{result(b.target.inputs[0])})
	b.expect("result 5/0", "end 5/1")
	if b.registry.Open() != 0 {
		t.Errorf("%d calls are open", b.registry.Open())
	}
	b.Close()
}

func TestEndComesLast(t *testing.T) {
	for seed := range uint64(50) {
		b := newBench(t)
		const n = 200
		b.give(open(1, KindMap))
		for i := range uint32(n) {
			b.give(frame(wire.Input, 1, i))
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(w)))
				for i := w * n / 4; i < (w+1)*n/4; {
					k := min(1+r.IntN(10), (w+1)*n/4-i)
					var batch []Answer
					for _, in := range b.target.inputs[i : i+k] {
						batch = append(batch, result(in))
					}
					Deliver(batch)
					i += k
				}
			})
		}
		wg.Go(func() {
			if err := b.Handle(frame(wire.End, 1, n)); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		got := b.out.take()
		if len(got) != n+2 || got[0] != "opened 1/0" || got[n+1] != fmt.Sprintf("end 1/%d", n) {
			t.Fatalf("seed %d: %d frames, the last is %s", seed, len(got), got[len(got)-1])
		}
		b.Close()
	}
}

func TestRefused(t *testing.T) {
	b := newBench(t)
	b.target.refuse = errors.New("it has no such method")
	b.give(open(1, KindMap), frame(wire.Input, 1, 0), frame(wire.Input, 1, 1), frame(wire.End, 1, 2))
	b.expect("fail 1/0", "fail 1/1", "end 1/2")
	b.give(open(2, "unheard of"), frame(wire.Input, 2, 0), frame(wire.End, 2, 1))
	b.expect("fail 2/0", "end 2/1")
	if len(b.target.inputs) != 0 || b.registry.Open() != 0 {
		t.Errorf("%d inputs, %d calls", len(b.target.inputs), b.registry.Open())
	}
	b.Close()
}

func TestBrokenProtocol(t *testing.T) {
	for name, frames := range map[string][]wire.Frame{
		"opened twice":   {open(1, KindMap), open(1, KindMap)},
		"wrong end":      {open(1, KindMap), frame(wire.End, 1, 3)},
		"after the end":  {open(1, KindMap), frame(wire.Input, 1, 0), frame(wire.End, 1, 1), frame(wire.Input, 1, 1)},
		"ended twice":    {open(1, KindMap), frame(wire.Input, 1, 0), frame(wire.End, 1, 1), frame(wire.End, 1, 1)},
		"not for a host": {frame(wire.Result, 1, 0)},
		"no JSON":        {{Header: wire.Header{Type: wire.Open}, Body: []byte("x")}},
	} {
		b := newBench(t)
		var err error
		for _, f := range frames {
			if err = b.Handle(f); err != nil {
				break
			}
		}
		if !errors.Is(err, wire.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		b.Close()
	}
}

func TestCancelAndClose(t *testing.T) {
	b := newBench(t)
	b.give(open(1, KindMap), frame(wire.Input, 1, 0), open(2, KindMap), frame(wire.Input, 2, 0), open(3, KindSpawn), frame(wire.Input, 3, 0))
	b.out.take()
	inputs := b.target.inputs
	cancel, _ := wire.JSON(wire.Cancel, 1, wire.AllInputs, wire.CancelBody{Terminate: true})
	b.give(cancel, frame(wire.Cancel, 2, 0), frame(wire.Cancel, 9, 0), frame(wire.Input, 1, 1))
	Deliver([]Answer{result(inputs[0])})
	b.expect() // nobody waits for call 1
	b.Close()
	if want := []string{"map -1 true", "map 0 false", "map -1 false"}; !slices.Equal(b.target.cancelled, want) {
		t.Errorf("cancelled %v, want %v", b.target.cancelled, want)
	}
	Deliver([]Answer{result(inputs[1]), result(inputs[2])})
	b.expect()
	if n := b.registry.Open(); n != 0 {
		t.Errorf("%d calls are open", n)
	}
}

func TestKeptAnswers(t *testing.T) {
	b := newBench(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0), frame(wire.End, 1, 1))
	id := b.target.inputs[0].Call.ID
	ask := func(number uint32, timeout any) wire.Frame {
		f, _ := wire.JSON(wire.Request, number, 0, wire.RequestBody{Op: OpGet, Params: map[string]any{"call_id": id, "timeout": timeout}})
		return f
	}
	b.out.take()
	b.give(ask(10, 0))
	b.expect("reply 10/0")
	b.give(ask(11, 5), ask(12, nil))
	b.clock.Advance(10 * time.Second)
	b.expect("reply 11/0")
	b.Close() // forgets 12

	b.connect()
	b.give(ask(13, nil))
	Deliver([]Answer{result(b.target.inputs[0])})
	b.expect("result 13/0", "reply 13/0")
	b.clock.Advance(KeepFor - time.Second)
	b.give(ask(14, nil))
	b.expect("result 14/0", "reply 14/0")
	b.clock.Advance(time.Minute)
	b.give(ask(15, nil))
	if fail := b.lastFail(); fail.Kind != wire.FailExpired {
		t.Errorf("%+v", fail)
	}
	b.Close()
}

// TestInfoKnowsWhatWasTold asks how far a call is as soon as somebody who waited
// has its answer.
func TestInfoKnowsWhatWasTold(t *testing.T) {
	b := newBench(t)
	b.give(open(1, KindSpawn), frame(wire.Input, 1, 0), frame(wire.End, 1, 1))
	in := b.target.inputs[0]
	b.give(get(2, in.Call.ID, 0))
	asked := false
	b.out.replied = func() {
		asked = true
		if info := in.Call.info(); !info.Done || info.Answered != 1 {
			t.Errorf("%+v", info)
		}
	}
	Deliver([]Answer{result(in)})
	b.out.replied = nil
	if !asked {
		t.Error("the answer was not given")
	}
	b.Close()
}

func (b *bench) lastFail() wire.FailBody {
	b.t.Helper()
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	var body wire.ReplyBody
	if err := b.out.frames[len(b.out.frames)-1].Decode(&body); err != nil || body.Error == nil {
		b.t.Fatal(err)
	}
	return *body.Error
}

func TestKeptBytes(t *testing.T) {
	b := newBench(t)
	const each = 100 << 20
	for i := range uint32(7) {
		b.give(open(i+1, KindSpawn), frame(wire.Input, i+1, 0), frame(wire.End, i+1, 1))
		in := b.target.inputs[i]
		file, err := wire.NewFile()
		if err != nil {
			t.Fatal(err)
		}
		a := result(in)
		a.Frame.File, a.Frame.FileSize = file, each
		Deliver([]Answer{a})
	}
	for i, in := range b.target.inputs {
		_, fail := b.registry.find(in.Call.ID)
		if kept := i >= 2; kept != (fail == nil) {
			t.Errorf("call %d: %+v", i, fail)
		}
	}
	b.Close()
	b.registry.Close()
}

func TestList(t *testing.T) {
	var l, other List
	ins := make([]*Input, 5)
	for i := range ins {
		ins[i] = &Input{Index: uint32(i)}
	}
	l.PushBack(ins[1])
	l.PushBack(ins[2])
	l.PushFront(ins[0])
	l.PushBack(ins[3])
	ins[2].Remove()
	ins[2].Remove()
	other.PushBack(ins[2])
	ins[3].Remove()
	l.PushBack(ins[4])
	var got []uint32
	for in := l.Front(); in != nil; in = in.Next() {
		got = append(got, in.Index)
	}
	if !slices.Equal(got, []uint32{0, 1, 4}) || l.Len() != 3 || other.Len() != 1 || !ins[2].In(&other) || ins[3].In(&l) {
		t.Errorf("%v, %d, %d", got, l.Len(), other.Len())
	}
}

// FuzzCaller gives a Caller frames in any order.
func FuzzCaller(f *testing.F) {
	f.Add([]byte{3, 1, 0, 4, 1, 0, 5, 1, 1, 10, 1, 0})
	f.Add([]byte{3, 1, 2, 4, 1, 0, 10, 1, 255, 5, 1, 1})
	kinds := []string{KindCall, KindMap, KindSpawn, KindGenerator, "other"}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &bench{t: t, out: &recorder{files: true}, target: &target{}, clock: clock.NewFake(time.Unix(1e9, 0))}
		b.registry = NewRegistry(b.clock, b.archive)
		b.connect()
		given := 0
		for ; len(data) >= 3; data = data[3:] {
			fr := frame(wire.Type(data[0]%17+1), uint32(data[1]%4), uint32(data[2]))
			switch fr.Type {
			case wire.Open:
				fr = open(fr.Call, kinds[int(data[2])%len(kinds)])
			case wire.Request:
				fr.Body = fmt.Appendf(nil, `{"op":"call.get","params":{"timeout":%d}}`, data[2])
			case wire.Cancel:
				if data[2] == 255 {
					fr.Index = wire.AllInputs
				}
			}
			if b.Handle(fr) != nil {
				break
			}
			if data[2]%3 == 0 {
				b.Settle()
			}
		}
		b.Close()
		for _, in := range b.target.inputs {
			Deliver([]Answer{result(in)})
			given++
		}
		if n := b.registry.Open(); n != 0 {
			t.Errorf("%d calls are open after %d answers", n, given)
		}
	})
}
