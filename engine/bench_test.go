package engine

import (
	"testing"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

// BenchmarkCall is one input after the other, each a call of its own: from a
// client written in Go, so that what is measured is the host and the runner.
func BenchmarkCall(b *testing.B) {
	h := newHost(b, "runc")
	a := h.start("functions", app.Function{Name: "square"})
	c := a.dial()
	in := args(7)
	c.call("square", in)
	for b.Loop() {
		c.call("square", in)
	}
	b.StopTimer()
	c.close()
}

// BenchmarkMap is a map of b.N inputs over four containers, with 4,000 of them
// outstanding.
func BenchmarkMap(b *testing.B) {
	h := newHost(b, "runc")
	a := h.start("functions", app.Function{Name: "square", Scaling: app.Scaling{Min: 4, Max: 4}})
	c := a.dial()
	waitForContainers(b, h, 4)
	b.ResetTimer()
	mapInputs(b, c)
	b.StopTimer()
	c.close()
}

// mapInputs gives b.N inputs to a call and takes their answers.
func mapInputs(b *testing.B, c *client) {
	b.Helper()
	open, err := wire.JSON(wire.Open, 1000, 0, wire.OpenBody{Function: c.app.Started().Functions["square"], Kind: "map"})
	if err != nil {
		b.Fatal(err)
	}
	const window = 4000
	in := args(7)
	c.write(open)
	sent, answered := 0, 0
	frames := make([]wire.Frame, 0, window)
	for answered < b.N {
		frames = frames[:0]
		for sent < b.N && sent-answered < window {
			frames = append(frames, wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1000, Index: uint32(sent)}, Body: in})
			sent++
		}
		if len(frames) > 0 {
			c.write(frames...)
		}
		for n := 0; answered < b.N && (n < window/4 || c.r.More()); n++ {
			f := c.read()
			if f.Type == wire.Opened {
				continue
			}
			answered++
			if sent-answered < window/2 && sent < b.N {
				break
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "inputs/s")
	c.write(wire.Frame{Header: wire.Header{Type: wire.End, Call: 1000, Index: uint32(sent)}})
}
