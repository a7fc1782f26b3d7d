package engine

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

func TestFailures(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions",
			app.Function{Name: "fails"}, app.Function{Name: "leaves"}, app.Function{Name: "crashes"},
			app.Function{Name: "closes"}, app.Function{Name: "forks"}, app.Function{Name: "square"})
		c := a.dial()
		defer c.close()
		for _, f := range []struct {
			function string
			input    any
			kind     string
			words    []string
		}{
			{"fails", 3, "ValueError", []string{"no 3"}},
			{"leaves", 3, wire.FailLost, []string{"exit status 3", "os._exit"}},
			{"leaves", 0, wire.FailLost, []string{"exit status 0"}},
			{"crashes", 0, wire.FailLost, []string{"SIGSEGV", "native code"}},
			{"closes", 0, wire.FailLost, []string{"3 containers died", "lost its connection"}},
		} {
			kind, message := c.callFails(f.function, args(f.input))
			if kind != f.kind {
				t.Errorf("%s(%v): %s: %s; want %s", f.function, f.input, kind, message, f.kind)
			}
			for _, w := range f.words {
				if !strings.Contains(message, w) {
					t.Errorf("%s(%v): %q does not say %q", f.function, f.input, message, w)
				}
			}
		}
		c.expect(c.call("forks", args(0)), 3)
		c.expect(c.call("square", args(3)), 9)
	})
}

func TestPoison(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "slow"})
		c := a.dial()
		defer c.close()
		number := c.open("call", "slow", "", args(60.0))
		stop := make(chan struct{})
		var killer sync.WaitGroup
		kills := map[string]bool{}
		killer.Go(func() {
			for {
				for _, k := range h.Containers() {
					if k.Running > 0 && !kills[k.ID] {
						kills[k.ID] = true
						h.runtime.kill(t, k.ID)
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
		got := c.collect(number)
		close(stop)
		killer.Wait()
		kind, message := c.failure(got[0])
		if kind != wire.FailLost || !strings.Contains(message, "3 containers died") || !strings.Contains(message, "SIGKILL") || len(kills) != 3 {
			t.Errorf("after %d kills: %s: %s", len(kills), kind, message)
		}
	})
}

// TestKills kills containers at random while a map runs: two for each lot of its
// inputs, so that none of them is what three containers died of.
func TestKills(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "pause", Scaling: app.Scaling{Max: 4}})
		c := a.dial()
		defer c.close()
		const lots, lot = 5, 500
		random := rand.New(rand.NewPCG(1, 2))
		kill := func() {
			waitFor(t, "a container that is ready", func() bool {
				var ready []string
				for _, k := range h.Containers() {
					if k.State == "ready" {
						ready = append(ready, k.ID)
					}
				}
				if len(ready) > 0 {
					h.runtime.kill(t, ready[random.IntN(len(ready))])
				}
				return len(ready) > 0
			})
		}
		const number = 77
		open, err := wire.JSON(wire.Open, number, 0, wire.OpenBody{Function: a.Started().Functions["pause"], Kind: "map"})
		if err != nil {
			t.Fatal(err)
		}
		c.write(open)
		got := map[uint32]bool{}
		for i := range lots {
			var inputs []wire.Frame
			for k := i * lot; k < (i+1)*lot; k++ {
				inputs = append(inputs, wire.Frame{Header: wire.Header{Type: wire.Input, Call: number, Index: uint32(k)}, Body: args(k)})
			}
			c.write(inputs...)
			first, second := i*lot+1+random.IntN(lot/2), i*lot+1+random.IntN(lot/2)
			for len(got) < (i+1)*lot {
				f := c.read()
				if f.Call != number {
					t.Fatalf("a %v frame of call %d came", f.Type, f.Call)
				}
				if f.Type == wire.Opened {
					continue
				}
				c.expect(f, int(f.Index))
				if got[f.Index] {
					t.Fatalf("input %d was answered twice", f.Index)
				}
				got[f.Index] = true
				for _, at := range []int{first, second} {
					if len(got) == at {
						kill()
					}
				}
			}
		}
		c.write(wire.Frame{Header: wire.Header{Type: wire.End, Call: number, Index: lots * lot}})
		if f := c.read(); f.Type != wire.End {
			t.Errorf("%v of input %d came after all answers", f.Type, f.Index)
		}
	})
}

func TestStartFailures(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		for _, f := range []struct {
			module  string
			timeout float64
			kind    string
			words   []string
		}{
			{"broken", 0, "ModuleNotFoundError", []string{"nothing_of_this_name"}},
			{"dies", 0, wire.FailStart, []string{"exit status 7", "about to leave"}},
			{"hangs", 1, wire.FailStart, []string{"startup_timeout of 1s", "importing for a long time"}},
			{"functions", 0, "gx.exception.ExecutionError", []string{"absent"}},
		} {
			name := "square"
			if f.module == "functions" {
				name = "absent"
			}
			a := h.start(f.module, app.Function{Name: name, StartupTimeout: f.timeout})
			c := a.dial()
			begun := time.Now()
			got := c.collect(c.open("map", name, "", args(1), args(2), args(3)))
			if len(got) != 3 {
				t.Fatalf("%s: %d answers", f.module, len(got))
			}
			for i, answer := range got {
				kind, message := c.failure(answer)
				if kind != f.kind {
					t.Errorf("%s: input %d: %s: %s", f.module, i, kind, message)
				}
				for _, w := range f.words {
					if !strings.Contains(message, w) {
						t.Errorf("%s: %q does not say %q", f.module, message, w)
					}
				}
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("%s: it took %v", f.module, took)
			}
			c.close()
			a.stop(true)
		}
	})
}

func TestOutOfMemory(t *testing.T) {
	h := newHost(t, "runc")
	a := h.start("functions", app.Function{Name: "hog", Memory: app.Limit{Max: 64}})
	c := a.dial()
	defer c.close()
	kind, message := c.callFails("hog", args(200))
	if kind != wire.FailOOM || !strings.Contains(message, "64 MiB") || !strings.Contains(message, "memory=") {
		t.Errorf("%s: %s", kind, message)
	}
	c.expect(c.call("hog", args(1)), 1)
}

func TestTimeout(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "slow", Timeout: 3}, app.Function{Name: "stubborn", Timeout: 3, Scaling: app.Scaling{Max: 1}},
			app.Function{Name: "flaky", Retries: app.Retries{Max: 3, Initial: 0.05, Factor: 2, Longest: 1}})
		c := a.dial()
		defer c.close()
		begun := time.Now()
		kind, message := c.callFails("slow", args(600.0))
		if kind != wire.FailTimeout || !strings.Contains(message, "3s") {
			t.Errorf("%s: %s", kind, message)
		}
		c.expect(c.call("slow", args(0.0)), 0.0)
		// One that swallows the cancellation has its container killed; the next
		// input does not suffer.
		got := c.collect(c.open("map", "stubborn", "", args(600.0), args(0.0)))
		if kind, message = c.failure(got[0]); kind != wire.FailTimeout {
			t.Errorf("%s: %s", kind, message)
		}
		c.expect(got[1], 0.0)
		if took := time.Since(begun); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestRetries(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions",
		app.Function{Name: "flaky", Retries: app.Retries{Max: 3, Initial: 0.01, Factor: 2, Longest: 1}},
		app.Function{Name: "fails", Retries: app.Retries{Max: 2}},
		app.Function{Name: "leaves", Retries: app.Retries{Max: 1}})
	c := a.dial()
	f := c.call("flaky", args(h.dir+"/attempts"))
	c.expect(f, 3)
	if f.Attempt != 3 {
		t.Errorf("it was attempt %d", f.Attempt)
	}
	if kind, _ := c.callFails("fails", args(1)); kind != "ValueError" {
		t.Error(kind)
	}
	if kind, _ := c.callFails("leaves", args(1)); kind != wire.FailLost {
		t.Error(kind)
	}
	c.close()
	a.stop(false)
	if n := strings.Count(a.text(), "is tried again"); n != 5 {
		t.Errorf("%d retries were told:\n%s", n, a.text())
	}
}
