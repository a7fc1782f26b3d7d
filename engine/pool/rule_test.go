package pool

import (
	"math/bits"
	"strings"
	"testing"
	"time"
)

func TestReasons(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		change func(*Snapshot)
		want   []string
	}{
		{func(*Snapshot) {}, []string{"no_inputs: there are no inputs, so none is needed"}},
		{func(s *Snapshot) { s.Running, s.Ready = 1, 1 }, []string{"enough: no input waits, so those that there are suffice"}},
		{func(s *Snapshot) { s.Queued = 1 }, []string{
			"one_per_input: there is work for 1 container: 1 input",
		}},
		{func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Starting, s.Duration, s.Startup = 60, 1, 1, 1, 500*ms, 1500*ms
		}, []string{
			"work: 61 inputs of about 500ms each should be done within 1.5s",
			"ramp: at most 4 start at once; 4 are starting now, and the others when these are ready",
		}},
		{func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Target, s.Duration, s.Max = 100, 8, 2, 4, time.Second, 3
		}, []string{
			"one_per_input: there is work for 27 containers: 108 inputs, 4 at once in a container",
			"max_containers: max_containers allows no more than 3",
		}},
		{func(s *Snapshot) { s.Queued = 5 }, []string{
			"unknown_duration: nobody knows yet how long an input takes, so at first there are at most 4 containers",
		}},
		{func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Target, s.Duration = 100, 8, 2, 4, 100*ms
		}, []string{
			"work: 108 inputs of about 100ms each, 4 at once in a container, should be done within 300ms",
			"ramp: at most 4 start at once; 4 are starting now, and the others when these are ready",
		}},
		{func(s *Snapshot) { s.Queued, s.Running, s.Ready, s.Duration = 100_000, 4, 4, 100*time.Microsecond }, []string{
			"brief_inputs: an input takes only about 100µs, so more than 4 containers would not be faster",
		}},
		{func(s *Snapshot) {
			s.Queued, s.Running, s.Ready, s.Duration, s.Startup = 4, 2, 2, 500*ms, 8*time.Second
		}, []string{
			"enough: the 2 containers that there are work off the queue soon enough: one more would be ready later",
		}},
		{func(s *Snapshot) { s.Queued, s.Running, s.Ready, s.Newest = 5, 4, 4, 300*ms }, []string{
			"blocked: 5 inputs wait, and no container has begun one for 300ms: those that run may be waiting for those that wait",
		}},
		{func(s *Snapshot) { s.Queued, s.Running, s.Ready, s.Duration, s.Busy = 100, 2, 2, time.Second, 0.97 }, []string{
			"processors_busy: 97 % of the machine's processors are busy: more than 4 containers would only take turns",
		}},
		{func(s *Snapshot) { s.Queued, s.Hold = 1, 1234567*time.Microsecond }, []string{
			"one_per_input: there is work for 1 container: 1 input",
			"back_off: containers failed to start, so the next one is tried in 1.23s",
		}},
		{func(s *Snapshot) { s.Min = 2 }, []string{
			"no_inputs: there are no inputs, so none is needed", "min_containers: min_containers keeps 2",
		}},
		{func(s *Snapshot) { s.Buffer, s.Running, s.Ready = 2, 1, 1 }, []string{
			"enough: no input waits, so those that there are suffice", "buffer_containers: buffer_containers adds 2 while there are inputs",
		}},
		{func(s *Snapshot) { s.Ready, s.Idle = 1, []time.Duration{time.Second} }, []string{
			"no_inputs: there are no inputs, so none is needed", "scaledown_window: idle containers stay for scaledown_window, 1m0s",
		}},
		{func(s *Snapshot) {
			s.Ready, s.Idle, s.Buffer = 3, []time.Duration{time.Second, time.Hour, time.Hour}, 1
		}, []string{
			"no_inputs: there are no inputs, so none is needed",
			"scaledown_window: idle containers stay for scaledown_window, 1m0s, and 1 of them while others have inputs: buffer_containers",
		}},
		{func(s *Snapshot) { s.Queued, s.Failing = 100, true }, []string{
			"unknown_duration: nobody knows yet how long an input takes, so at first there are at most 4 containers",
			"ramp: the last start failed, so one container at a time is tried",
		}},
		{func(s *Snapshot) { s.Closing = true }, []string{"closing: the function is ending"}},
	} {
		s := Snapshot{Settings: Settings{Window: time.Minute, Target: 1, Probe: 4}}
		c.change(&s)
		if s.Ready > 0 && s.Running > 0 && s.Newest == 0 {
			s.Newest = ms
		}
		var got []string
		for _, r := range Reasons(s, Decide(s)) {
			got = append(got, r.Rule+": "+r.Text)
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%+v:\n%s\nwant\n%s", s, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestEveryRuleIsTold finds a rule that nobody gave a name or words.
func TestEveryRuleIsTold(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons(Snapshot{}, Decision{Rules: end - 1}) {
		if r.Rule == "" || r.Text == "" || seen[r.Rule] {
			t.Errorf("%+v", r)
		}
		seen[r.Rule] = true
	}
	if len(seen) != bits.TrailingZeros32(uint32(end)) {
		t.Errorf("%d rules", len(seen))
	}
}
