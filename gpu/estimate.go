package gpu

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Work is what a program has computed on cards: counted, and not timed.
type Work struct {
	Ops  []Op  `json:"ops"`
	Peak int64 `json:"peak"` // bytes of a card's memory that were in use at once
}

// Op is a kind of operation: as many of them as Count, each one kernel.
type Op struct {
	// Kind is the arithmetic: "fp32", "tf32", "fp16", "bf16", "int8", "fp64"; or
	// "bus", for bytes that are moved to a card or off it.
	Kind  string
	FLOPs float64
	Bytes float64 // of the card's memory, read and written
	Count float64
}

// MarshalJSON writes an array: [kind, FLOPs, bytes, count].
func (o Op) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{o.Kind, o.FLOPs, o.Bytes, o.Count})
}

// UnmarshalJSON reads that array.
func (o *Op) UnmarshalJSON(b []byte) error {
	var fields []json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	if len(fields) != 4 {
		return fmt.Errorf("an operation has 4 fields, not %d", len(fields))
	}
	for i, p := range []any{&o.Kind, &o.FLOPs, &o.Bytes, &o.Count} {
		if err := json.Unmarshal(fields[i], p); err != nil {
			return err
		}
	}
	if o.FLOPs < 0 || o.Bytes < 0 || o.Count < 0 {
		return errors.New("an operation of less than nothing")
	}
	return nil
}

// maxOps bounds the kinds of operations in a Work.
const maxOps = 1 << 16

// Add adds what other containers of the same function have computed. What no
// longer fits is left out, and only makes an estimate lower.
func (w *Work) Add(other Work) {
	type key struct {
		kind         string
		flops, bytes float64
	}
	at := make(map[key]int, len(w.Ops))
	for i, o := range w.Ops {
		at[key{o.Kind, o.FLOPs, o.Bytes}] = i
	}
	for _, o := range other.Ops {
		k := key{o.Kind, o.FLOPs, o.Bytes}
		if i, ok := at[k]; ok {
			w.Ops[i].Count += o.Count
		} else if len(w.Ops) < maxOps {
			at[k] = len(w.Ops)
			w.Ops = append(w.Ops, o)
		}
	}
	w.Peak = max(w.Peak, other.Peak)
}

// Estimate is what some Work would take on a card.
type Estimate struct {
	Card    string  `json:"card"`
	Fits    bool    `json:"fits"`
	Share   float64 `json:"share"`   // of the card's memory that is in use at the most
	Seconds float64 `json:"seconds"` // good to a factor of EstimateError
	Cost    float64 `json:"cost"`    // US dollars for these seconds of the card; 0 = its price is unknown
}

// How good an Estimate is: its time to this factor, what it says of memory to
// this share. They are judged from what the method leaves out, and were not
// measured on these cards.
const (
	EstimateError  = 2.0
	EstimateMemory = 0.10
)

// What of their data sheets cards reach with PyTorch's kernels, and what a
// kernel takes at least, which is the time to launch it.
const (
	reachedRate      = 0.6
	reachedBandwidth = 0.75
	launch           = 6e-6      // seconds
	busBandwidth     = 12.0e9    // bytes per second between a machine and its card
	contextMemory    = 450 << 20 // bytes that the use of a card takes by itself
)

// Estimate is what the work would take on one card: for each operation the
// longest of its arithmetic, its memory's traffic and its launch (the roofline
// model), one after the other.
func (w Work) Estimate(c Card, p Prices) Estimate {
	total := 0.0
	for _, o := range w.Ops {
		if o.Kind == "bus" {
			total += o.Count * (10e-6 + o.Bytes/busBandwidth)
			continue
		}
		t := max(launch, o.Bytes/(c.Rates.Bandwidth*1e9*reachedBandwidth))
		if o.FLOPs > 0 {
			t = max(t, o.FLOPs/(c.Rates.of(o.Kind)*1e12*reachedRate))
		}
		total += o.Count * t
	}
	room := int64(c.CUDAMiB) << 20
	need := w.Peak + contextMemory
	return Estimate{
		Card: c.Name, Fits: need <= room, Share: float64(need) / float64(room), Seconds: total, Cost: total * p.Card(c.Name),
	}
}

// of is the rate of a kind of arithmetic, TFLOP/s. What a card has no units for
// it computes in float32, or, in double precision, at a fraction of that.
func (r Rates) of(kind string) float64 {
	rate := 0.0
	switch kind {
	case "tf32":
		rate = r.TF32
	case "fp16":
		rate = r.FP16
	case "bf16":
		rate = r.BF16
	case "int8":
		rate = r.INT8
	case "fp64":
		rate = r.FP32 / 32
	}
	return cmp.Or(rate, r.FP32)
}

// Estimates is the work on every card of the catalogue: first those that it fits,
// the cheapest first, those without a price after them.
func (w Work) Estimates(p Prices) []Estimate {
	var list []Estimate
	for _, c := range catalogue {
		list = append(list, w.Estimate(c, p))
	}
	slices.SortStableFunc(list, func(a, b Estimate) int {
		no := func(x bool) int {
			if x {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(no(!a.Fits), no(!b.Fits)), cmp.Compare(no(a.Cost == 0), no(b.Cost == 0)), cmp.Compare(a.Cost, b.Cost))
	})
	return list
}
