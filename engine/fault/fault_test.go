package fault

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Rule{
		"oom@call=3":               {Kind: OOM, Call: 3},
		"oom":                      {Kind: OOM, Call: 1},
		"gpu-lost:p=0.01":          {Kind: GPULost, P: 0.01},
		"gpu-lost@call=2:card=1":   {Kind: GPULost, Call: 2, Card: 1},
		"preempt":                  {Kind: Preempt, Call: 1},
		"preempt=2s@call=7":        {Kind: Preempt, Call: 7, Delay: 2 * time.Second},
		"slow-start=20s":           {Kind: SlowStart, P: 1, Delay: 20 * time.Second},
		"slow-start=1.5s@start=2":  {Kind: SlowStart, Call: 2, Delay: 1500 * time.Millisecond},
		"xid=79":                   {Kind: Xid, Xid: 79, Call: 1},
		" xid=94 @ call=2 ":        {Kind: Xid, Xid: 94, Call: 2},
		"slow-start=100ms : p=0.5": {Kind: SlowStart, P: 0.5, Delay: 100 * time.Millisecond},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "@", "oops", "oom=3", "oom@call=0", "oom@call=x", "oom@start=1", "oom@p=2", "oom@p=0", "oom@p=NaN", "oom@call=1:p=0.5", "xid", "xid=0", "xid=x", "slow-start", "slow-start=-1s",
		"slow-start=2h", "slow-start=1s@call=1", "preempt=x", "oom@card=99", "preempt@card=0", "oom@when=now", strings.Repeat("x", 1000),
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestPlan(t *testing.T) {
	texts := []string{"oom@call=3", "gpu-lost:p=0.1", "slow-start=2s@start=2", "preempt@call=3"}
	history := func(seed uint64) (list []string) {
		p, err := NewPlan(texts, seed)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			n, rules := p.Call("f")
			for _, r := range rules {
				list = append(list, fmt.Sprint(n, " ", r))
			}
			p.Call("g") // others do not matter
		}
		return list
	}
	one := history(1)
	if !reflect.DeepEqual(one, history(1)) {
		t.Error("the same seed has other faults")
	}
	if reflect.DeepEqual(one, history(2)) {
		t.Error("another seed has the same faults")
	}
	if n := len(one) - 2; n < 60 || n > 140 {
		t.Errorf("%d of 1000 calls lost the card, with a probability of 0.1", n)
	}
	if all := strings.Join(one, ", "); !strings.Contains(all, "3 oom") || !strings.Contains(all, "3 preempt") {
		t.Error(all)
	}
	p, _ := NewPlan(texts, 1)
	for i, want := range []time.Duration{0, 2 * time.Second, 0} {
		if n, got := p.Start("f"); got != want || n != i+1 {
			t.Errorf("start %d takes %v longer, want %v", n, got, want)
		}
	}
	var none *Plan
	if n, rules := none.Call("f"); n != 0 || rules != nil {
		t.Error("no plan has no faults")
	}
	if p, err := NewPlan(nil, 1); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := NewPlan([]string{"oom", "nonsense"}, 1); err == nil {
		t.Error("nonsense")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"oom@call=3", "gpu-lost:p=0.01", "xid=79", "slow-start=20s", "preempt=1s@call=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if (r.Call > 0) == (r.P > 0) || r.P > 1 || r.Delay < 0 || r.Delay > maxDelay || r.Card < 0 {
			t.Errorf("%q: %+v", s, r)
		}
	})
}
