package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

// What a container sees of its cards, in every runtime.
func TestCardsInContainers(t *testing.T) {
	for _, runtime := range []string{"process", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			h := newHost(t, runtime)
			a := h.start("cards", app.Function{Name: "card", GPU: []string{"A100-80GB:2"}}, app.Function{Name: "devices", GPU: []string{"T4"}}, app.Function{Name: "smi", GPU: []string{"L4"}})
			c := a.dial()
			c.expect(c.call("card", args(0)), "2 x NVIDIA A100-SXM4-80GB 0,1")
			answer := c.call("smi", args(0))
			if answer.Type != wire.Result {
				c.t.Fatal(c.failure(answer))
			}
			data, err := answer.ReadPayload(wire.MaxPayload)
			if err != nil {
				t.Fatal(err)
			}
			if text := unpickle(data).(string); !strings.HasPrefix(text, "GPU 0: NVIDIA L4 (UUID: GPU-") {
				t.Errorf("nvidia-smi -L: %s", text)
			}
			if runtime == "runc" {
				c.expect(c.call("devices", args(0)), "nvidia-uvm nvidia0 nvidiactl")
			}
			c.close()
		})
	}
}

// Several containers of a function, most of them forked, have a page each.
func TestCardsOfForks(t *testing.T) {
	h := newHost(t, "runc")
	a := h.start("cards", app.Function{Name: "hold", GPU: []string{"T4"}, Scaling: app.Scaling{Min: 3}})
	c := a.dial()
	n := c.open("map", "hold", "", args(0), args(0), args(0))
	waitFor(t, "memory in use", func() bool {
		used := 0
		for _, ct := range h.Containers() {
			if ct.GPUUsed == 3<<30 {
				used++
			}
		}
		return used == 3
	})
	gpus, err := h.GPUs(t.Context())
	if err != nil || gpus.Stock != nil || len(gpus.Cards) != 3 {
		t.Errorf("%+v, %v", gpus, err)
	}
	seen := map[string]bool{}
	for _, g := range gpus.Cards {
		seen[g.UUID] = true
		if g.Function != "hold" || g.AppName != "test" || g.Used != 3<<30 || g.Card != "T4" {
			t.Errorf("%+v", g)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
	h.release()
	for _, f := range c.collect(n) {
		c.expect(f, "1 x Tesla T4 0")
	}
	c.close()
}

// One card, two functions: the second waits, says for what, and gets it.
func TestCardsAreWaitedFor(t *testing.T) {
	h := newHostWith(t, "process", map[string]int{"A100-80GB": 1, "T4": 1})
	a := h.start("cards", app.Function{Name: "hold", GPU: []string{"A100-80GB"}}, app.Function{Name: "card", GPU: []string{"A100"}},
		app.Function{Name: "who", GPU: []string{"H100", "A100-80GB", "T4"}})
	c := a.dial()
	first := c.open("map", "hold", "", args(0))
	waitFor(t, "the first", func() bool {
		list := h.Containers()
		return len(list) == 1 && list[0].Running == 1
	})
	other := a.dial()
	other.call("who", args(0)) // the first of its list that is free is the T4
	second := other.open("map", "card", "", args(0))
	var waiting api.Waiting
	waitFor(t, "waiting", func() bool {
		gpus, err := h.GPUs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(gpus.Waiting) == 1 {
			waiting = gpus.Waiting[0]
		}
		return len(gpus.Waiting) == 1
	})
	if waiting.For != "an A100-80GB: 1 of 1 in use" || waiting.Function != "card" {
		t.Errorf("%+v", waiting)
	}
	w := h.why("card", func(w api.Why) bool { return len(w.Functions) == 1 && w.Functions[0].Waits != nil })
	says(t, w.Answer, "an A100-80GB: 1 of 1 in use by test/hold (1 container, 1 × A100-80GB)")
	h.release()
	for _, f := range c.collect(first) {
		c.expect(f, "1 x NVIDIA A100-SXM4-80GB 0")
	}
	for _, f := range other.collect(second) { // the idle container gives its card up
		c.expect(f, "1 x NVIDIA A100-SXM4-80GB 0")
	}
	c.close()
	other.close()
	if err := h.StopApp(t.Context(), "test", false); err != nil {
		t.Fatal(err)
	}
	<-a.over
	told := false
	cards := map[string]bool{}
	for _, e := range a.events {
		told = told || e.Waiting != nil && e.Waiting.For == "an A100-80GB: 1 of 1 in use"
		if e.Stopped != nil {
			for _, u := range e.Stopped.Usage {
				cards[u.Function+" "+u.GPU] = true
			}
		}
	}
	if !told {
		t.Error("nobody was told of the waiting")
	}
	if !cards["who T4"] {
		t.Errorf("the bill has %v", cards)
	}
}

// A card that the host never has is a mistake that is told at the start.
func TestCardsThatAreNot(t *testing.T) {
	h := newHostWith(t, "process", map[string]int{"T4": 1})
	m := h.manifest(files{"app.py": "def f(x):\n    return x\n"}, app.Function{Name: "f", Module: "app", GPU: []string{"H100"}})
	_, err := h.StartApp(t.Context(), api.SessionRequest{Manifest: m, Images: []string{h.image()}})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "this host has none of H100; it has 1 × T4") {
		t.Error(err)
	}
}
