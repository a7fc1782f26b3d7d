// Package fault reads which faults a run is to have, and decides when each
// happens, so that the same seed gives the same faults. It causes none itself.
package fault

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind string

// The kinds of faults.
const (
	OOM       Kind = "oom"        // the next allocation on the GPU fails
	GPULost   Kind = "gpu-lost"   // the GPU falls off the bus (Xid 79)
	Xid       Kind = "xid"        // the GPU's driver reports an Xid error
	Preempt   Kind = "preempt"    // the container is ended, within its grace period
	SlowStart Kind = "slow-start" // the container takes longer to start
)

// Rule is one fault and when it happens.
type Rule struct {
	Kind  Kind
	Xid   int           // of Xid
	Delay time.Duration // of SlowStart; of Preempt: after the call's begin
	Card  int           // index of the GPU
	// Call is the call at which it happens, and for SlowStart the start, counted
	// by function from 1; 0 = at any, with probability P.
	Call int
	P    float64
}

// Limits of what a rule may say.
const (
	maxText  = 200
	maxRules = 100
	maxDelay = time.Hour
	maxCall  = 1 << 31
	maxXid   = 1000
	maxCard  = 15
)

// Parse reads a rule: a kind, for some with a value (xid=79, slow-start=20s,
// preempt=2s), and then, behind "@" or ":", call=N (the Nth call of a function,
// from 1; start=N for slow-start), p=P (each call with this probability) or
// card=I. Without either a fault happens at the first call, and slow-start at
// every start.
func Parse(text string) (Rule, error) {
	if len(text) > maxText {
		return Rule{}, fmt.Errorf("a fault of %d characters", len(text))
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == '@' || r == ':' })
	if len(parts) == 0 {
		return Rule{}, refused(text, "it says nothing")
	}
	kind, value, valued := strings.Cut(strings.TrimSpace(parts[0]), "=")
	r := Rule{Kind: Kind(strings.TrimSpace(kind))}
	if err := r.take(strings.TrimSpace(value), valued); err != nil {
		return Rule{}, refused(text, err.Error())
	}
	for _, part := range parts[1:] {
		if err := r.condition(part); err != nil {
			return Rule{}, refused(text, err.Error())
		}
	}
	switch {
	case r.Call > 0 && r.P > 0:
		return Rule{}, refused(text, "it happens at one call, or with a probability, and not both")
	case r.Call == 0 && r.P == 0 && r.Kind == SlowStart:
		r.P = 1
	case r.Call == 0 && r.P == 0:
		r.Call = 1
	}
	return r, nil
}

func refused(text, why string) error {
	return fmt.Errorf("the fault %q: %s; write it as oom@call=3, gpu-lost:p=0.01, xid=79, preempt, slow-start=20s", text, why)
}

// take reads what stands behind the kind.
func (r *Rule) take(value string, valued bool) (err error) {
	switch r.Kind {
	case OOM, GPULost:
		if valued {
			return fmt.Errorf("%s has no value", r.Kind)
		}
	case Xid:
		r.Xid, err = number(value, 1, maxXid)
		if err != nil {
			return fmt.Errorf("xid needs the number of an Xid error, as xid=79: %w", err)
		}
	case Preempt:
		if valued {
			r.Delay, err = delay(value)
		}
	case SlowStart:
		if r.Delay, err = delay(value); err != nil {
			return fmt.Errorf("slow-start needs a duration, as slow-start=20s: %w", err)
		}
	default:
		return errors.New("there is no such kind")
	}
	return err
}

// condition reads one of the parts that say when.
func (r *Rule) condition(part string) (err error) {
	key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
	switch {
	case key == "call" && r.Kind != SlowStart, key == "start" && r.Kind == SlowStart:
		r.Call, err = number(value, 1, maxCall)
	case key == "p":
		r.P, err = strconv.ParseFloat(value, 64)
		if err != nil || !(r.P > 0 && r.P <= 1) {
			err = fmt.Errorf("the probability %q has to be above 0 and at most 1", value)
		}
	case key == "card" && (r.Kind == OOM || r.Kind == GPULost || r.Kind == Xid):
		r.Card, err = number(value, 0, maxCard)
	default:
		err = fmt.Errorf("%q is not known here", part)
	}
	return err
}

func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q has to be a number from %d to %d", text, least, most)
	}
	return n, nil
}

func delay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDelay {
		return 0, fmt.Errorf("%q has to be a duration of at most %v", text, maxDelay)
	}
	return d, nil
}

// String writes the fault, without when it happens.
func (r Rule) String() string {
	switch r.Kind {
	case Xid:
		return fmt.Sprintf("xid=%d", r.Xid)
	case SlowStart:
		return fmt.Sprintf("slow-start=%v", r.Delay)
	}
	return string(r.Kind)
}

// Plan decides when the faults of one app happen. What it decides depends on its
// seed, and on how often it was asked for the same function, and on nothing
// else. A nil Plan has no faults. It is safe for concurrent use.
type Plan struct {
	rules []Rule
	seed  uint64

	mu     sync.Mutex
	calls  map[string]int // by function
	starts map[string]int
}

// NewPlan reads rules; nil = there are none.
func NewPlan(texts []string, seed uint64) (*Plan, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if len(texts) > maxRules {
		return nil, fmt.Errorf("%d faults; at most %d are allowed", len(texts), maxRules)
	}
	p := &Plan{seed: seed, calls: map[string]int{}, starts: map[string]int{}}
	for _, text := range texts {
		r, err := Parse(text)
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// Call is what happens at the next call of a function, and which it is, from 1.
func (p *Plan) Call(function string) (n int, happens []Rule) {
	if p == nil {
		return 0, nil
	}
	return p.next(p.calls, function, func(r Rule) bool { return r.Kind != SlowStart })
}

// Start is by how much the next start of one of a function's containers is to
// take longer, and which start it is, from 1.
func (p *Plan) Start(function string) (n int, longer time.Duration) {
	if p == nil {
		return 0, 0
	}
	n, happens := p.next(p.starts, function, func(r Rule) bool { return r.Kind == SlowStart })
	for _, r := range happens {
		longer += r.Delay
	}
	return n, longer
}

func (p *Plan) next(counts map[string]int, function string, concerns func(Rule) bool) (n int, happens []Rule) {
	p.mu.Lock()
	counts[function]++
	n = counts[function]
	p.mu.Unlock()
	for i, r := range p.rules {
		if concerns(r) && (r.Call == n || r.Call == 0 && p.chance(i, function, n) < r.P) {
			happens = append(happens, r)
		}
	}
	return n, happens
}

// chance is a number from 0 to 1 that looks random, and is the same each time.
func (p *Plan) chance(rule int, function string, n int) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s %d", p.seed, rule, function, n)
	x := h.Sum64() // mixed once more: texts that differ at their end alone hash to neighbours
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return float64(x>>11) / math.Exp2(53)
}
