package pool

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	const ms = time.Millisecond
	base := Settings{Window: time.Minute, Target: 1, Probe: 4}
	with := func(change func(*Snapshot)) Snapshot {
		s := Snapshot{Settings: base}
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		s    Snapshot
		want Decision
	}{
		{"nothing to do", with(func(*Snapshot) {}), Decision{}},
		{"the first input", with(func(s *Snapshot) { s.Queued = 1 }), Decision{Want: 1, Start: 1, Next: look}},
		{"its container is starting", with(func(s *Snapshot) { s.Queued, s.Starting = 1, 1 }), Decision{Want: 1, Next: look}},
		{"a map from cold", with(func(s *Snapshot) { s.Queued = 1000 }), Decision{Want: 4, Start: 4, Next: look}},
		{"a map of trivial inputs", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup = 950, 50, 1, 10*time.Microsecond, 100*ms
		}), Decision{Want: 1, Next: look}},
		{"a map of 0.5 s each, one container is warm", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup = 4, 1, 1, 500*ms, 150*ms
		}), Decision{Want: 5, Start: 4, Next: look}},
		{"slow inputs show before any has ended", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Oldest = 6, 4, 4, 250*ms
		}), Decision{Want: 9, Start: 4, Next: look}},
		{"no more than double at once", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Starting, s.Duration, s.Startup = 100, 10, 10, 3, time.Second, 100*ms
		}), Decision{Want: 110, Start: 7, Next: look}},
		{"a busy machine", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup, s.Busy = 100, 2, 2, time.Second, 100*ms, 0.97
		}), Decision{Want: 4, Start: 2, Next: look}},
		{"a busy machine ends nothing", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup, s.Busy = 100, 9, 9, time.Second, 100*ms, 0.97
		}), Decision{Want: 9, Next: look}},
		{"all wait, perhaps for each other", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Oldest, s.Newest = 5, 4, 4, time.Millisecond, 400*ms, 300*ms
		}), Decision{Want: 8, Start: 4, Next: look}},
		{"all wait, and more are coming", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Starting, s.Duration, s.Oldest, s.Newest = 5, 4, 4, 4, time.Millisecond, 400*ms, 300*ms
		}), Decision{Want: 8, Next: look}},
		{"all compute", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Newest, s.Busy = 50, 4, 4, time.Second, 900*ms, 0.99
		}), Decision{Want: 4, Next: look}},
		{"all seem to compute, for long", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Newest, s.Busy = 50, 4, 4, time.Second, 6*time.Second, 0.99
		}), Decision{Want: 5, Start: 1, Next: look}},
		{"min is not held up", with(func(s *Snapshot) { s.Min = 20 }), Decision{Want: 20, Start: 20}},
		{"a hiccup of a trivial function", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup, s.Oldest = 10_000, 400, 4, 10*time.Microsecond, 100*ms, 150*ms
		}), Decision{Want: 4, Next: look}},
		{"a slow start is no help for a short queue", with(func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup = 4, 1, 1, 500*ms, 8*time.Second
		}), Decision{Want: 1, Next: look}},
		{"max", with(func(s *Snapshot) { s.Queued, s.Duration, s.Max = 100, time.Second, 3 }), Decision{Want: 3, Start: 3, Next: look}},
		{"min", with(func(s *Snapshot) { s.Min = 2 }), Decision{Want: 2, Start: 2}},
		{"buffer only while busy", with(func(s *Snapshot) { s.Buffer, s.Running, s.Ready = 2, 1, 1 }), Decision{Want: 3, Start: 2}},
		{"no buffer when idle", with(func(s *Snapshot) { s.Buffer, s.Ready, s.Idle = 2, 1, []time.Duration{time.Second} }), Decision{Next: 59 * time.Second}},
		{"concurrency", with(func(s *Snapshot) { s.Target, s.Queued, s.Duration = 10, 25, time.Second }), Decision{Want: 3, Start: 3, Next: look}},
		{"idle for long enough", with(func(s *Snapshot) {
			s.Ready, s.Idle = 3, []time.Duration{2 * time.Minute, time.Second, time.Minute}
		}), Decision{Stop: 2, Next: 59 * time.Second}},
		{"min stays", with(func(s *Snapshot) {
			s.Ready, s.Min, s.Idle = 2, 1, []time.Duration{2 * time.Minute, 2 * time.Minute}
		}), Decision{Want: 1, Stop: 1}},
		{"after failures", with(func(s *Snapshot) { s.Queued, s.Hold = 1, 10*ms }), Decision{Want: 1, Next: 10 * ms}},
		{"closing", with(func(s *Snapshot) {
			s.Closing, s.Queued, s.Ready, s.Min, s.Idle = true, 5, 2, 2, []time.Duration{0, 0}
		}), Decision{Stop: 2, Next: look}},
	} {
		got := Decide(c.s)
		if got.Rules = 0; got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// simulated is a pool whose containers take inputs one after the other.
type simulated struct {
	Snapshot
	inputs []int // of each ready container: inputs it has
	idle   []time.Duration
}

func (p *simulated) snapshot() Snapshot {
	s := p.Snapshot
	s.Ready, s.Running, s.Idle = len(p.inputs), 0, nil
	for i, n := range p.inputs {
		s.Running += n
		if n == 0 {
			s.Idle = append(s.Idle, p.idle[i])
		}
	}
	return s
}

// TestProperties runs pools through random histories.
func TestProperties(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := &simulated{Snapshot: Snapshot{Settings: Settings{
			Min: r.IntN(3), Max: r.IntN(12), Buffer: r.IntN(3), Window: time.Duration(r.IntN(5)) * time.Second, Target: 1 + r.IntN(3), Probe: 1 + r.IntN(4),
		}}}
		if p.Max > 0 {
			p.Min = min(p.Min, p.Max)
		}
		step := func(arrive bool) {
			if arrive {
				p.Queued += r.IntN(20)
			}
			for range r.IntN(p.Starting + 1) {
				p.Starting--
				p.inputs, p.idle = append(p.inputs, 0), append(p.idle, 0)
			}
			for i := range p.inputs {
				p.inputs[i] -= r.IntN(p.inputs[i] + 1)
				if p.inputs[i] == 0 {
					p.idle[i] += time.Second
				}
				for p.inputs[i] < p.Target && p.Queued > 0 { // as the function does before it decides
					p.inputs[i]++
					p.Queued--
					p.idle[i] = 0
				}
			}
			p.Duration = time.Duration(r.IntN(2)) * time.Duration(r.IntN(3000)) * time.Millisecond
			s := p.snapshot()
			d := Decide(s)
			have := s.Starting + s.Ready
			switch {
			case p.Max > 0 && have+d.Start > p.Max:
				t.Fatalf("seed %d: above max: %+v %+v", seed, s, d)
			case d.Start > 0 && d.Stop > 0:
				t.Fatalf("seed %d: starts and stops: %+v %+v", seed, s, d)
			case d.Stop > len(s.Idle):
				t.Fatalf("seed %d: stops what is not idle: %+v %+v", seed, s, d)
			case s.Queued > 0 && have+d.Start == 0:
				t.Fatalf("seed %d: inputs wait for nothing: %+v %+v", seed, s, d)
			case s.Queued > 0 && d.Next == 0:
				t.Fatalf("seed %d: nobody looks at the queue again: %+v %+v", seed, s, d)
			case have-d.Stop < p.Min && d.Stop > 0:
				t.Fatalf("seed %d: below min: %+v %+v", seed, s, d)
			}
			p.Starting += d.Start
			for range d.Stop { // the longest idle
				oldest := -1
				for i, n := range p.inputs {
					if n == 0 && (oldest < 0 || p.idle[i] > p.idle[oldest]) {
						oldest = i
					}
				}
				p.inputs = append(p.inputs[:oldest], p.inputs[oldest+1:]...)
				p.idle = append(p.idle[:oldest], p.idle[oldest+1:]...)
			}
		}
		for range 50 {
			step(true)
		}
		for range 2000 {
			step(false)
		}
		if s := p.snapshot(); s.Queued+s.Running > 0 || s.Starting+s.Ready != p.Min {
			t.Fatalf("seed %d: does not come to rest at %d: %+v", seed, p.Min, s)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		d           time.Duration
		concurrency int
		want        int
	}{
		{0, 1, 1}, {time.Second, 1, 1}, {time.Second, 8, 8}, {2 * time.Millisecond, 1, 1}, {time.Millisecond, 1, 2},
		{20 * time.Microsecond, 1, 100}, {20 * time.Microsecond, 2, 200}, {1, 1, maxWindow},
	} {
		if got := Window(c.d, c.concurrency); got != c.want {
			t.Errorf("Window(%v, %d) = %d, want %d", c.d, c.concurrency, got, c.want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m Meter
	if m.Duration() != 0 {
		t.Error("nothing was measured")
	}
	m.Add(1, time.Second)
	for range 100 {
		m.Add(64, 64*time.Microsecond)
	}
	if d := m.Duration(); d > 2*time.Microsecond {
		t.Errorf("%v", d)
	}
}

func TestLedger(t *testing.T) {
	l := NewLedger(Capacity{CPU: 1, Memory: 4 << 30, Containers: 3})
	a, b := Owner{"app", "a"}, Owner{"app", "b"}
	small := Capacity{CPU: 0.1, Memory: 1 << 30, Containers: 1}
	woken := 0
	wake := func() { woken++ }
	for range 3 {
		if _, short, ok := l.Reserve(a, wake, small); !ok {
			t.Fatal(short)
		}
	}
	_, short, ok := l.Reserve(a, wake, Capacity{CPU: 1, Memory: 2 << 30, Containers: 1})
	for _, word := range []string{"3 of 3 are running", "1 CPU cores: 0.3 of 1", "2 GiB of memory: 3 GiB of 4 GiB"} {
		if ok || !strings.Contains(short, word) {
			t.Errorf("%q does not say %q", short, word)
		}
	}
	missing, holders := l.Missing(small)
	if len(missing) != 1 || missing[0].Resource != "containers" || len(holders) != 1 || holders[0].Who != a || holders[0].Containers != 3 {
		t.Errorf("%+v is missing, %+v have it", missing, holders)
	}
	if _, _, ok := l.Reserve(a, wake, small); ok {
		t.Error("one too many")
	}
	if _, _, ok := l.Reserve(b, wake, small); ok {
		t.Error("one too many")
	}
	l.Forget(b)
	l.Forget(a)
	woken = 0
	if _, _, ok := l.Reserve(b, wake, small); ok {
		t.Error("one too many")
	}
	l.Release(a, small)
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
	l.Forget(b)
	l.Release(a, small)
	l.Release(a, small)
	if used := l.Used(); used.Containers != 0 || used.Memory != 0 || used.CPU > 1e-9 {
		t.Errorf("%+v is left", used)
	}
	if _, holders := l.Missing(small); len(holders) != 0 {
		t.Errorf("%+v still hold something", holders)
	}
	if got := l.Clamp(Capacity{CPU: 64, Memory: 1, Containers: 1}); !reflect.DeepEqual(got, Capacity{CPU: 1, Memory: 1, Containers: 1}) {
		t.Errorf("%+v", got)
	}
}

// TestFairness has one app fill a host before another comes.
func TestFairness(t *testing.T) {
	one := Capacity{CPU: 1, Memory: 1 << 30, Containers: 1}
	nobody := func() {}
	l := NewLedger(Capacity{CPU: 8, Memory: 64 << 30, Containers: 100})
	early, other, late := Owner{"early", "f"}, Owner{"early", "g"}, Owner{"late", "h"}
	for range 6 {
		l.Reserve(early, nobody, one)
	}
	for range 2 {
		l.Reserve(other, nobody, one)
	}
	if _, found := l.Debtor(late); found {
		t.Error("somebody should give, though nobody waits")
	}
	got := map[Owner]int{early: 6, other: 2}
	for turn := range 20 {
		// Everybody always wants more; who owes ends a container.
		for _, o := range []Owner{early, other, late} {
			for {
				if _, _, ok := l.Reserve(o, nobody, one); !ok {
					break
				}
				got[o]++
			}
		}
		debtor, found := l.Debtor(late)
		if !found {
			debtor, found = l.Debtor(other)
		}
		if !found {
			break
		}
		if turn == 19 {
			t.Fatal("it never ends")
		}
		l.Release(debtor, one)
		got[debtor]--
	}
	if got[late] != 4 || got[early] != 2 || got[other] != 2 {
		t.Errorf("%v: each app should have half, and within it each function", got)
	}
}

// TestCards has functions ask for a host's few cards.
func TestCards(t *testing.T) {
	need := func(model string, n int) Capacity {
		return Capacity{CPU: 0.1, Memory: 1 << 20, Containers: 1, Cards: map[string]int{model: n}}
	}
	l := NewLedger(Capacity{CPU: 8, Memory: 64 << 30, Containers: 100, Cards: map[string]int{"A100-80GB": 1, "T4": 2}})
	a, b, c := Owner{"a", "f"}, Owner{"b", "f"}, Owner{"c", "f"}
	woken := 0
	wake := func() { woken++ }
	which, _, ok := l.Reserve(a, wake, need("H100", 1), need("A100-80GB", 1))
	if !ok || which != 1 {
		t.Fatalf("took %d, %v; the first that is free is 1", which, ok)
	}
	_, short, ok := l.Reserve(b, wake, need("A100-80GB", 1), need("T4", 4))
	if want := "an A100-80GB: 1 of 1 in use; or 4 × T4: 0 of 2 in use"; ok || short != want {
		t.Errorf("%q, want %q", short, want)
	}
	missing, holders := l.Missing(need("A100-80GB", 1))
	if len(missing) != 1 || missing[0].Resource != "gpu" || missing[0].Card != "A100-80GB" || holders[0].Cards["A100-80GB"] != 1 {
		t.Errorf("%+v is missing, %+v have it", missing, holders)
	}
	if _, short, ok := l.Reserve(c, wake, need("T4", 1)); !ok {
		t.Errorf("a T4 is free, and nobody who waits has use of one: %s", short)
	}
	if !l.Helps(a, b) || !l.Helps(c, b) || l.Helps(Owner{"d", "f"}, b) {
		t.Error("b has use of what a and c have, and of nobody else")
	}
	woken = 0
	l.Release(a, need("A100-80GB", 1))
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
	if _, short, ok := l.Reserve(b, wake, need("A100-80GB", 1)); !ok {
		t.Error(short)
	}
	l.Release(b, need("A100-80GB", 1))
	l.Release(c, need("T4", 1))
	if used := l.Used(); len(used.Cards) != 0 {
		t.Errorf("%+v is left", used)
	}
}
