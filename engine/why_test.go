package engine

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/trace"
)

// why asks until the answer is as wanted, and fails the test if it is not so
// within a minute.
func (h *host) why(ref string, wanted func(api.Why) bool) api.Why {
	h.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		w, err := h.Why(ref)
		if err == nil && wanted(w) {
			return w
		}
		if time.Now().After(deadline) {
			told, _ := json.MarshalIndent(w, "", " ")
			h.t.Fatalf("%v\n%s", err, told)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// waitsFor is a condition for host.why.
func waitsFor(what string) func(api.Why) bool {
	return func(w api.Why) bool { return w.Waits != nil && w.Waits.For == what }
}

func says(t *testing.T, texts []string, words ...string) {
	t.Helper()
	all := strings.Join(texts, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in\n%s", w, all)
		}
	}
}

// kept waits until a call is written to disk, which is soon after its app's end.
func (h *host) kept(call string) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, found, err := h.history.Find(call, func(w *api.Why) bool { return w.Ref == call })
		if found {
			return
		}
		if err != nil || time.Now().After(deadline) {
			h.t.Fatalf("%s is not kept: %v", call, err)
		}
	}
}

// opened reads the id that a call was given.
func (c *client) opened() string {
	c.t.Helper()
	var body struct {
		CallID string `json:"call_id"`
	}
	f := c.read()
	if err := f.Decode(&body); err != nil || body.CallID == "" {
		c.t.Fatal("no id of the call came: ", err)
	}
	return body.CallID
}

func TestWhyWaits(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions",
			app.Function{Name: "slow", Memory: app.Limit{Request: 6 << 10}, Scaling: app.Scaling{Max: 1}},
			app.Function{Name: "square", Memory: app.Limit{Request: 4 << 10}},
			app.Function{Name: "fails", Retries: app.Retries{Max: 2, Initial: 60}})
		c := a.dial()
		defer c.close()
		c.open("spawn", "slow", "", args(60.0), args(60.0))
		hog := c.opened()
		w := h.why(hog, func(w api.Why) bool { return waitsFor("max_containers")(w) && w.Call.Running == 1 })
		says(t, w.Answer, "1 of its 2 inputs waits: max_containers=1 is reached, and the only container is at work", "1 of its 2 inputs runs, the longest for")
		if w.Call.Running != 1 || w.Call.Waiting != 1 || len(w.Call.Live) != 1 || w.Call.State != "running" {
			t.Errorf("%+v", w.Call)
		}
		holder := w.Call.Live[0].Attempts[0].Container

		c.open("spawn", "square", "", args(3))
		short := c.opened()
		w = h.why(short, waitsFor("capacity"))
		says(t, w.Answer, "It waits: a container of square needs 4 GiB of memory: 6 GiB of 8 GiB are set aside by test/slow (1 container, 6 GiB)")
		if len(w.Waits.Holders) != 1 || !reflect.DeepEqual(w.Waits.Holders[0], api.Holder{App: "test", Function: "slow", Containers: 1, CPU: 0.125, Memory: 6 << 30}) {
			t.Errorf("%+v", w.Waits.Holders)
		}
		// A call that only waits has an id as soon as somebody asks.
		c.open("call", "square", "", args(4))
		w = h.why("square", func(w api.Why) bool { return len(w.Functions) == 1 && w.Functions[0].Queued == 2 })
		says(t, w.Answer, "2 inputs wait and 0 inputs run now, in 0 containers", "Inputs wait: a container of square needs 4 GiB of memory", "The pool wants 2 containers: ")
		calls := w.Functions[0].Calls
		if len(calls) != 2 || calls[1].ID == "" || calls[1].State != "waiting" {
			t.Errorf("%+v", calls)
		}
		in := h.why("in-"+calls[1].ID[3:]+"-0", waitsFor("capacity"))
		if in.Input.State != "waiting" || len(in.Input.Attempts) != 0 || in.Input.Took <= 0 {
			t.Errorf("%+v", in.Input)
		}

		c.open("spawn", "fails", "", args(5))
		w = h.why(c.opened(), waitsFor("retry"))
		says(t, w.Answer, "It waits to be tried again: retry 1 of 2 of input 0 begins in", "ValueError: no 5")
		if w.Call.State != "retrying" || w.Call.Delayed != 1 {
			t.Errorf("%+v", w.Call)
		}

		w = h.why(holder, func(w api.Why) bool { return w.Container.State == "ready" })
		says(t, w.Answer, "It was started because", "was given 1 input, and runs 1 now")

		a.stop(true)
		w = h.why(short, func(w api.Why) bool { return w.Call.State == "done" })
		says(t, w.Answer, "It failed", "cancelled: the app was stopped")
	})
}

func TestWhyStarts(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("hangs", app.Function{Name: "square"})
		c := a.dial()
		defer c.close()
		c.open("spawn", "square", "", args(3))
		id := c.opened()
		h.why(id, func(w api.Why) bool {
			return w.Waits != nil && w.Waits.For == "start" && strings.Contains(w.Waits.Text, "importing the function's module")
		})
		w := h.why("test/square", func(w api.Why) bool { return len(w.Functions) == 1 })
		f := w.Functions[0]
		if f.Starting != 1 || f.Queued != 1 || f.Want != 1 || len(f.Rules) == 0 || f.Rules[0].Rule != "one_per_input" {
			t.Errorf("%+v", f)
		}
		w = h.why(f.Containers[0].ID, func(w api.Why) bool { return true })
		last := w.Container.Phases[len(w.Container.Phases)-1]
		if w.Container.State != "starting" || last.Name != "import" || last.Took <= 0 {
			t.Errorf("%+v", w.Container)
		}
		a.stop(true)

		b := h.start("dies", app.Function{Name: "square", Scaling: app.Scaling{Min: 1}})
		w = h.why("square", func(w api.Why) bool {
			return len(w.Functions) == 1 && w.Functions[0].AppName == "test" && len(w.Functions[0].Rules) > 0 &&
				w.Functions[0].Rules[len(w.Functions[0].Rules)-1].Rule == "back_off"
		})
		says(t, w.Answer, "containers failed to start, so the next one is tried in")
		w = h.why(w.Functions[0].Containers[0].ID, func(w api.Why) bool { return w.Container.State == "ended" })
		says(t, w.Answer, "It ended by itself after", "exit status 7")
		c2 := b.dial()
		defer c2.close()
		c2.open("spawn", "square", "", args(3))
		w = h.why(c2.opened(), func(w api.Why) bool { return waitsFor("back_off")(w) || w.Call.State == "done" })
		says(t, w.Answer, "containers of square", "exit status 7")
		b.stop(true)

		d := h.start("broken", app.Function{Name: "square"})
		c3 := d.dial()
		defer c3.close()
		c3.open("spawn", "square", "", args(3))
		w = h.why(c3.opened(), func(w api.Why) bool { return w.Call.State == "done" })
		says(t, w.Answer, "It failed.", "the function's module could not be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'")
		w = h.why("square", func(w api.Why) bool {
			return len(w.Functions[0].Containers) > 0 && w.Functions[0].Containers[0].State == "ended" && w.Functions[0].App == d.ID()
		})
		says(t, []string{w.Functions[0].Containers[0].Reason}, "ModuleNotFoundError")
	})
}

func TestWhySlowAndFailed(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions",
			app.Function{Name: "slow", Scaling: app.Scaling{Max: 1}},
			app.Function{Name: "flaky", Retries: app.Retries{Max: 3, Initial: 0.05, Factor: 2, Longest: 1}},
			app.Function{Name: "leaves"})
		c := a.dial()
		number := c.open("map", "slow", "", args(0.0), args(2.0), args(0.0))
		id := c.opened()
		c.collect(number)
		w := h.why(id, func(w api.Why) bool { return w.Call.State == "done" })
		says(t, w.Answer, "It took", "An input waited for")
		if s := w.Call.Slowest; len(s) != 3 || s[0].Index != 1 || s[0].Attempts[0].Took < 2 || s[0].Attempts[0].Outcome != "ok" {
			t.Errorf("%+v", s)
		}
		var covered float64
		names := map[string]bool{}
		for i, p := range w.Call.Phases {
			covered += p.Took
			names[p.Name] = true
			if i > 0 && p.Start < w.Call.Phases[i-1].Start {
				t.Errorf("%+v is before %+v", p, w.Call.Phases[i-1])
			}
		}
		if covered < 0.95*w.Call.Took || covered > 1.001*w.Call.Took || !names["python"] || !names["import"] || !names["start"] || !names["run"] {
			t.Errorf("the phases are %.3f of %.3f s: %+v", covered, w.Call.Took, w.Call.Phases)
		}

		number = c.open("spawn", "flaky", "", args(filepath.Join(t.TempDir(), "f")))
		id = c.opened()
		c.collect(number)
		w = h.why(id, func(w api.Why) bool { return w.Call.State == "done" })
		if w.Call.Failed == 0 && w.Call.Retries == 2 { // the file is in each container
			says(t, w.Answer, "2 attempts failed and were followed by another", "raised ValueError: not yet", "succeeded in")
		} else {
			says(t, w.Answer, "It failed", "3 attempts failed", "FileNotFoundError")
		}

		c.callFails("leaves", args(3))
		w = h.why("leaves", func(w api.Why) bool { return len(w.Functions[0].Failures) == 1 && len(w.Functions[0].Containers) > 0 })
		says(t, w.Answer, "In its last calls 1 input failed")
		call, container := w.Functions[0].Failures[0].ID, w.Functions[0].Containers[0].ID
		c.close()
		a.stop(false)

		// The app has ended, and its calls are known nevertheless.
		w = h.why(call, func(w api.Why) bool { return w.Call.State == "done" })
		says(t, w.Answer, "It failed", "attempt 1 in "+container, "exit status 3")
		in := h.why("in-"+call[3:]+"-0", func(w api.Why) bool { return w.Input.State == "failed" })
		if len(in.Input.Attempts) != 1 || in.Input.Attempts[0].Outcome != "lost" {
			t.Errorf("%+v", in.Input)
		}
		w = h.why(container, func(w api.Why) bool { return w.Container.State == "ended" })
		says(t, w.Answer, "It ended by itself", "exit status 3")
		w = h.why("test.leaves", func(w api.Why) bool { return len(w.Functions) == 1 && w.Functions[0].Ended })
		says(t, w.Answer, "Its app has ended", "1 input failed")
		for _, unknown := range []string{"fc-nothing", "", "in-nothing", "in-" + call[3:] + "-7", "co-nothing", "nothing", "test/nothing", "other/leaves"} {
			if w, err := h.Why(unknown); err == nil || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
				t.Errorf("%q is known: %v %+v", unknown, err, w)
			}
		}

		// A host that has forgotten finds it on disk.
		known := map[string]api.Why{}
		for _, ref := range []string{call, container, "in-" + call[3:] + "-0", "leaves", "test/leaves"} {
			known[ref] = h.why(ref, func(api.Why) bool { return true })
		}
		h.kept(call)
		h.host.Trace = trace.NewRecorder()
		for ref, before := range known {
			w := h.why(ref, func(api.Why) bool { return true })
			if strings.Join(w.Answer, " ") != strings.Join(before.Answer, " ") || w.Kind != before.Kind {
				t.Errorf("%s: %v, and from disk %v", ref, before.Answer, w.Answer)
			}
		}
	})
}

// TestWhyNested has a call wait for calls that its own code has made, which
// can never begin.
func TestWhyNested(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("nested", app.Function{Name: "fib", Scaling: app.Scaling{Max: 1}}, app.Function{Name: "inner"})
		c := a.dial()
		defer c.close()
		number := c.open("spawn", "fib", "", args(2))
		id := c.opened()
		w := h.why(id, func(w api.Why) bool { return w.Call.State == "running" && len(w.Call.Live[0].Awaits) == 1 })
		child := w.Call.Live[0].Awaits[0]
		says(t, w.Answer, "It waits for its call "+child.Call+" of test/fib")
		in := h.why(w.Call.Live[0].ID, func(w api.Why) bool { return len(w.Input.Awaits) == 1 })
		says(t, in.Answer, "It has been running for", "It waits for its call "+child.Call)
		h.why(child.Call, waitsFor("max_containers"))
		w = h.why(child.Call, waitsFor("deadlock"))
		says(t, w.Answer, "deadlock: this call of fib can never begin", "max_containers=1")
		for _, f := range c.collect(number) {
			c.failure(f)
		}
		w = h.why(child.Call, func(w api.Why) bool { return w.Call.State == "done" })
		says(t, w.Answer, "failed", "deadlock")
	})
}
