package gpu

import (
	"encoding/json"
	"math"
	"testing"
)

func work(t *testing.T, text string) Work {
	t.Helper()
	var w Work
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEstimate(t *testing.T) {
	card, _ := Lookup("A100-80GB")
	prices := ListPrices()
	for _, c := range []struct {
		name, ops string
		want      float64 // seconds
	}{
		{"arithmetic", `["fp16", 312e12, 1e9, 2]`, 2 / 0.6},
		{"memory", `["fp16", 1e9, 2039e9, 1]`, 1 / 0.75},
		{"launches", `["fp32", 0, 100, 1e6]`, 6},
		{"tf32", `["tf32", 156e12, 0, 1]`, 1 / 0.6},
		{"fp32 without tensor cores", `["fp32", 19.5e12, 0, 1]`, 1 / 0.6},
		{"bus", `["bus", 0, 12e9, 1]`, 1.00001},
		{"nothing", ``, 0},
	} {
		ops := "[" + c.ops + "]"
		got := work(t, `{"ops": `+ops+`, "peak": 1073741824}`).Estimate(card, prices)
		if math.Abs(got.Seconds-c.want) > 1e-6*(1+c.want) {
			t.Errorf("%s: %v s, want %v", c.name, got.Seconds, c.want)
		}
		if !got.Fits || math.Abs(got.Cost-got.Seconds*card.Price) > 1e-12 {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestEstimateWithoutUnits(t *testing.T) {
	t4, _ := Lookup("T4")
	got := work(t, `{"ops": [["bf16", 8.1e12, 0, 1]], "peak": 0}`).Estimate(t4, ListPrices())
	if math.Abs(got.Seconds-1/0.6) > 1e-9 {
		t.Errorf("a T4 computes bfloat16 as float32, in %v s", got.Seconds)
	}
}

func TestEstimates(t *testing.T) {
	w := work(t, `{"ops": [["fp16", 1e12, 1e9, 10]], "peak": 42949672960}`) // 40 GiB
	list := w.Estimates(ListPrices())
	if len(list) != len(Cards()) {
		t.Fatalf("%d cards", len(list))
	}
	for i, e := range list {
		if c, _ := Lookup(e.Card); e.Fits != (c.CUDAMiB > 40*1024+450) {
			t.Errorf("%+v", e)
		}
		if i == 0 {
			continue
		}
		before := list[i-1]
		if e.Fits && !before.Fits || e.Fits == before.Fits && e.Cost > 0 && before.Cost > e.Cost {
			t.Errorf("%+v after %+v", e, before)
		}
	}
}

func TestWorkAdds(t *testing.T) {
	w := work(t, `{"ops": [["fp32", 1, 2, 3]], "peak": 5}`)
	w.Add(work(t, `{"ops": [["fp32", 1, 2, 4], ["fp16", 1, 2, 1]], "peak": 4}`))
	if len(w.Ops) != 2 || w.Ops[0].Count != 7 || w.Peak != 5 {
		t.Errorf("%+v", w)
	}
}

func FuzzWork(f *testing.F) {
	f.Add([]byte(`{"ops": [["fp32", 1, 2, 3]], "peak": 5}`))
	f.Add([]byte(`{"ops": [["fp32", 1]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var w Work
		if json.Unmarshal(b, &w) != nil {
			return
		}
		for _, e := range w.Estimates(ListPrices()) {
			if e.Seconds < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}
