package metering

import (
	"math"
	"testing"
	"time"

	"github.com/gx-dev/gx/gpu"
)

func TestUsage(t *testing.T) {
	price := gpu.ListPrices().PerSecond("A10G", 2, 2, 1<<30)
	m := New(Rate{Function: "f", Cores: 2, Memory: 1 << 30, GPU: "A10G", GPUs: 2, Emulated: true, Price: price})
	start := time.Unix(1e9, 0)
	m.Started("a", start)
	m.Started("b", start.Add(time.Second))
	m.Inputs(10, 1)
	m.Ended("a", start.Add(5*time.Second))
	m.Ended("a", start.Add(50*time.Second))
	u := m.Usage(start.Add(11 * time.Second))
	if u.Containers != 2 || u.Inputs != 10 || u.Failed != 1 || u.Seconds != 15 || !u.Emulated || u.GPUs != 2 {
		t.Errorf("%+v", u)
	}
	card, _ := gpu.Lookup("A10G")
	if want := 15 * (2*card.Price + 2*gpu.CorePrice + gpu.MemoryPrice); math.Abs(u.Cost-want) > 1e-9 {
		t.Errorf("cost %v, want %v", u.Cost, want)
	}
}
