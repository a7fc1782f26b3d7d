package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/pool"
)

// began is when everything in these tests begins.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

// phases writes phases as "name start-end" in milliseconds.
func phases(list []api.Phase) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, fmt.Sprintf("%s %.0f-%.0f", p.Name, p.Start*1e3, (p.Start+p.Took)*1e3))
	}
	return strings.Join(parts, ", ")
}

// started is a container that was wanted at 10 ms and ready at 500 ms.
func started(f *Function) *Container {
	c := f.Start("co-a", []pool.Reason{{Rule: "work", Text: "there is work"}}, 1<<30, at(10))
	c.Mark("turn", at(20))
	c.Mark("image", at(30))
	c.Mark("start", at(80))
	c.Mark("python", at(100))
	c.Ready(300*time.Millisecond, 50*time.Millisecond, at(500))
	return c
}

func TestWaterfall(t *testing.T) {
	f := NewFunction("ap-x", "app", "fu-x", "fu-x.1", "f")
	co := started(f)
	find := func(id string) *Container {
		if id == co.ID {
			return co
		}
		return nil
	}
	for _, c := range []struct {
		name                       string
		opened, came, began, ended int
		container                  string
		want                       string
	}{
		{"it waited for the container's whole start", 0, 2, 500, 600, "co-a",
			"transfer 0-2, queue 2-10, turn 10-20, image 20-30, start 30-80, python 80-100, import 100-450, enter 450-500, run 500-600"},
		{"it came while the container was being started", 200, 200, 510, 600, "co-a", "import 0-250, enter 250-300, queue 300-310, run 310-400"},
		{"it came when the container was there", 700, 700, 900, 1000, "co-a", "queue 0-200, run 200-300"},
		{"it began at once", 700, 700, 700, 1000, "co-a", "run 0-300"},
		{"nobody remembers the container", 0, 2, 500, 600, "co-b", "transfer 0-2, queue 2-500, run 500-600"},
	} {
		call := f.Open("fc-1", "call", "", at(c.opened))
		call.Came(at(c.came))
		call.Answered(0, 1, c.container, at(c.came), at(c.began), at(c.ended))
		call.Delivered(at(c.ended))
		told := call.Describe(at(5000), find)
		if got := phases(told.Phases); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
		if told.State != "done" || told.Took != float64(c.ended-c.opened)/1e3 {
			t.Errorf("%s: %+v", c.name, told)
		}
	}
}

func TestRetriedInput(t *testing.T) {
	f := NewFunction("ap-x", "app", "fu-x", "fu-x.1", "f")
	none := func(string) *Container { return nil }
	call := f.Open("fc-1", "map", "", at(0))
	for range 2 {
		call.Came(at(0))
	}
	asked := 0
	reason := func() string { asked++; return "ValueError: no\nand a second line" }
	call.Failed(Attempt{Index: 1, Number: 1, Container: "co-a", Came: at(0), Began: at(10), Ended: at(30), Outcome: Raised, Again: true, Delay: 100 * time.Millisecond}, reason)
	// It waits between its attempts.
	in, ok := call.Input(1, nil, at(60), none)
	if got := phases(in.Phases); !ok || in.State != "retrying" || got != "queue 0-10, run 10-30, retry_delay 30-60" {
		t.Errorf("%v %s %+v", ok, got, in)
	}
	in, _ = call.Input(1, &Live{Number: 2, Container: "co-b", Came: at(0), Began: at(140)}, at(200), none)
	if got := phases(in.Phases); in.State != "running" || len(in.Attempts) != 2 || got != "queue 0-10, run 10-30, retry_delay 30-130, queue 130-140, run 140-200" {
		t.Errorf("%s %+v", got, in)
	}
	call.Failed(Attempt{Index: 1, Number: 2, Container: "co-b", Came: at(0), Began: at(140), Ended: at(240), Outcome: "oom"}, reason)
	call.Answered(0, 1, "co-a", at(0), at(5), at(9))
	told := call.Describe(at(300), none)
	if told.State != "done" || told.Failed != 1 || told.Retries != 1 || told.Answered != 2 || len(told.Failures) != 1 || len(told.Slowest) != 1 || asked != 2 {
		t.Errorf("%+v", told)
	}
	want := []string{
		"It took 240 ms: 235 ms (98 %) while inputs ran.",
		"An input waited for 7.5 ms (at most 10 ms) and ran for 52 ms (at most 100 ms) on average.",
		"1 of its 2 inputs failed.",
		"1 attempt failed and was followed by another.",
		"Input 1: attempt 1 in co-a ended after 20 ms: it raised ValueError: no | and a second line, and was followed by another 100 ms later; attempt 2 in co-b ended after 100 ms: ValueError: no | and a second line.",
	}
	if got := AnswerCall(told, nil); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

func TestAnswers(t *testing.T) {
	running := api.InputTrace{Attempts: []api.Attempt{{Number: 1, Container: "co-a", Took: 2.5, Outcome: "running"}}}
	nested := running
	nested.Awaits = []api.Awaited{{Call: "fc-b", AppName: "app", Function: "g"}, {Call: "fc-c", AppName: "app", Function: "g"}}
	lost := api.InputTrace{Index: 3, State: "failed", Took: 0.2, Attempts: []api.Attempt{{Outcome: "cancelled", Error: "the call was cancelled"}}}
	for _, c := range []struct {
		name string
		got  []string
		want []string
	}{
		{"waits", AnswerCall(api.CallTrace{State: "waiting", Inputs: 1, Waiting: 1, Took: 3, Phases: []api.Phase{{Name: "queue", Took: 3}}}, &api.Waits{Text: "there is no room"}),
			[]string{"It waits: there is no room."}},
		{"some wait", AnswerCall(api.CallTrace{State: "running", Inputs: 9, Waiting: 2, Running: 1, Live: []api.InputTrace{running}}, &api.Waits{Text: "all are at work"}),
			[]string{"2 of its 9 inputs wait: all are at work.", "1 of its 9 inputs runs, the longest for 2.50 s, in co-a."}},
		{"it waits for its own calls", AnswerCall(api.CallTrace{State: "running", Inputs: 1, Running: 1, Live: []api.InputTrace{nested}}, nil),
			[]string{"It runs, the longest for 2.50 s, in co-a.", "It waits for its call fc-b of app/g and 1 other."}},
		{"slow", AnswerCall(api.CallTrace{State: "done", Inputs: 1, Answered: 1, Took: 4, Phases: []api.Phase{{Name: "start", Took: 0.1}, {Name: "import", Took: 3}, {Name: "run", Took: 0.9}}}, nil),
			[]string{"It took 4.00 s: 3.00 s (75 %) importing the module, 900 ms (23 %) running."}},
		{"cancelled", AnswerInput(lost, nil), []string{"It: it ended before its first attempt: cancelled: the call was cancelled."}},
		{"an input runs", AnswerInput(api.InputTrace{State: "running", Attempts: running.Attempts}, nil), []string{"It has been running for 2.50 s, in co-a."}},
		{"a container lives", AnswerContainer(api.ContainerTrace{
			State: "ready", Why: []api.Decision{{Text: "there is work"}, {Text: "there is much of it"}}, Inputs: 7, Running: 2,
			Phases: []api.Phase{{Name: "python", Took: 0.02}, {Name: "enter", Start: 0.02, Took: 0.18}},
		}), []string{"It was started because there is work; there is much of it.", "Its start took 200 ms: 180 ms (90 %) running enter hooks, 20 ms (10 %) starting Python.",
			"It is ready, was given 7 inputs, and runs 2 now."}},
		{"a container starts", AnswerContainer(api.ContainerTrace{State: "starting", Phases: []api.Phase{{Name: "import", Took: 2}}}),
			[]string{"It is starting: it has been importing the module for 2.00 s."}},
		{"a container died", AnswerContainer(api.ContainerTrace{State: "ended", Lived: 90, Inputs: 1, Reason: "it was killed by signal 9 (SIGKILL)", Peak: 1 << 20, Limit: 1 << 30}),
			[]string{"It ended by itself after 90.0 s and 1 input: it was killed by signal 9 (SIGKILL).", "It used at most 1 MiB of 1 GiB of memory."}},
		{"a container was ended", AnswerContainer(api.ContainerTrace{State: "ended", Wanted: true, Lived: 60, Inputs: 0, Reason: "it was idle"}),
			[]string{"It was ended after 60.0 s and 0 inputs: it was idle."}},
		{"a function", AnswerFunction(api.FunctionTrace{
			Queued: 1, Running: 2, Ready: 2, Starting: 1, Want: 4, Rules: []api.Decision{{Text: "so much work"}, {Text: "no more than 4"}},
			Waits: &api.Waits{Text: "one is being started"}, Failures: []api.CallTrace{{Failed: 2, Retries: 3}},
		}), []string{"1 input waits and 2 inputs run now, in 3 containers (1 starting).", "Inputs wait: one is being started.",
			"The pool wants 4 containers: so much work; no more than 4.", "In its last calls 2 inputs failed, and 3 attempts were followed by another."}},
		{"a function that has ended", AnswerFunction(api.FunctionTrace{Ended: true}), []string{"Its app has ended; this is what became of its last calls."}},
	} {
		if strings.Join(c.got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(c.got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestBounds has a function do more than is remembered.
func TestBounds(t *testing.T) {
	f := NewFunction("ap-x", "app", "fu-x", "fu-x.1", "f")
	long := f.Open("fc-long", "map", "", at(0))
	long.Came(at(0))
	for i := range 3 * maxCalls {
		c := f.Open(fmt.Sprint("fc-", i), "call", "", at(i))
		c.Came(at(i))
		if i < maxCalls && i%2 == 0 {
			c.Failed(Attempt{Came: at(i), Began: at(i), Ended: at(i + 1), Outcome: Raised}, func() string { return "" })
		} else {
			c.Answered(0, 1, "co-a", at(i), at(i), at(i+1))
		}
	}
	for id, known := range map[string]bool{
		"fc-long": true, fmt.Sprint("fc-", 3*maxCalls-1): true, fmt.Sprint("fc-", 2*maxCalls): true, // the latest
		fmt.Sprint("fc-", 2*maxCalls-1): false, fmt.Sprint("fc-", maxCalls-2): true, "fc-0": false, // failures stay longer
	} {
		if (f.Call(id) != nil) != known {
			t.Errorf("%s is known: %v", id, !known)
		}
	}
	// A call that goes on after all its inputs were answered is there once.
	long.Answered(0, 1, "co-a", at(0), at(0), at(1))
	long.Came(at(5000))
	long.Answered(1, 1, "co-a", at(5000), at(5000), at(5001))
	n := 0
	f.calls.latest(func(c *Call) bool {
		if c == long {
			n++
		}
		return true
	})
	if n != 1 || f.live.first != nil {
		t.Errorf("it is there %d times", n)
	}
	// Of a map only sums and some inputs are kept.
	big := f.Open("fc-big", "map", "", at(0))
	const inputs = 100_000
	for range inputs {
		big.Came(at(0))
	}
	for i := range inputs {
		if i%10 == 0 {
			big.Failed(Attempt{Index: uint32(i), Number: 1, Came: at(0), Began: at(i), Ended: at(i + 1), Outcome: Raised}, func() string { return "no" })
			continue
		}
		big.Answered(uint32(i), 1, "co-a", at(0), at(i), at(i+1+i%1000))
	}
	told := big.Describe(at(inputs+5000), f.Container)
	if told.Answered != inputs || told.Failed != inputs/10 || len(told.Failures) != maxAttempts || len(told.Slowest) != maxSlow {
		t.Errorf("%+v", told)
	}
	for _, in := range told.Slowest {
		if in.Index%1000 != 999 {
			t.Errorf("input %d is none of the slowest", in.Index)
		}
	}

	r := NewRecorder()
	for i := range maxFunctions {
		g := NewFunction("ap-x", "app", fmt.Sprint("fu-", i), "p", "g")
		for j := range 100 {
			c := g.Open(fmt.Sprint("fc-", i, "-", j), "call", "", at(0))
			c.Came(at(0))
			c.Answered(0, 1, "co-a", at(0), at(0), at(1))
		}
		r.Keep(g)
	}
	ended := r.Ended()
	if len(ended) != maxRecords/100 || ended[0].ID != fmt.Sprint("fu-", maxFunctions-1) {
		t.Errorf("%d functions are kept, the newest is %s", len(ended), ended[0].ID)
	}
}

// TestFailedStart has containers end in each phase of their start.
func TestFailedStart(t *testing.T) {
	order := []string{"turn", "image", "start", "python", "import"}
	for i := range order {
		f := NewFunction("ap-x", "app", "fu-x", "fu-x.1", "f")
		c := f.Start("co-a", nil, 0, at(0))
		for j, phase := range order[:i] {
			c.Mark(phase, at(10*(j+1)))
		}
		if phase, since := c.Phase(); phase != order[i] || !since.Equal(at(10*i)) {
			t.Errorf("after %v it is at %s since %v", order[:i], phase, since)
		}
		c.End(End{Reason: "it died"}, at(100))
		told := f.Container("co-a").Describe(at(200))
		if last := told.Phases[len(told.Phases)-1]; last.Name != order[i] || told.Lived != 0.1 || told.State != "ended" || f.LastFailure() != c {
			t.Errorf("%+v", told)
		}
	}
}
