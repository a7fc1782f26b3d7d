package pool

import (
	"fmt"
	"strings"
	"time"
)

// Rules are the rules that made a decision.
type Rules uint32

// The rules, in the order in which they apply: what the inputs need, what the
// function's settings make of that, and what keeps it from being done at once.
const (
	nothing Rules = 1 << iota // there are no inputs
	enough                    // what there is works them off
	blocked                   // those that run may wait for those in the queue
	crowded                   // the machine's processors are busy
	probing                   // nobody knows how long an input takes
	rate                      // so many inputs, so long each, within so long
	short                     // inputs take next to no time
	each                      // no more than there are inputs for
	buffered
	minimum
	maximum
	closing
	held
	ramped
	windowed
	end
)

func when(yes bool, r Rules) Rules {
	if yes {
		return r
	}
	return 0
}

// Has reports whether all of some rules are among r.
func (r Rules) Has(some Rules) bool { return r&some == some }

// AtMaximum reports whether the function's max_containers is what keeps a
// decision from wanting more.
func (r Rules) AtMaximum() bool { return r.Has(maximum) }

// Reason is one rule that made a decision, for a program and for a person.
type Reason struct {
	Rule string
	Text string
}

// Reasons says why a snapshot led to a decision, one sentence for each rule.
func Reasons(s Snapshot, d Decision) []Reason {
	var list []Reason
	for r := nothing; r < end; r <<= 1 {
		if d.Rules.Has(r) {
			list = append(list, Reason{r.name(), r.text(s, d)})
		}
	}
	return list
}

func (r Rules) name() string {
	return map[Rules]string{
		nothing: "no_inputs", enough: "enough", blocked: "blocked", crowded: "processors_busy", probing: "unknown_duration", rate: "work",
		short: "brief_inputs", each: "one_per_input", buffered: "buffer_containers", minimum: "min_containers", maximum: "max_containers",
		closing: "closing", held: "back_off", ramped: "ramp", windowed: "scaledown_window",
	}[r]
}

func (r Rules) text(s Snapshot, d Decision) string {
	inputs, have := s.Queued+s.Running, s.Ready+s.Starting
	switch r {
	case nothing:
		return "there are no inputs, so none is needed"
	case enough:
		if s.Queued == 0 {
			return "no input waits, so those that there are suffice"
		}
		if have == 0 {
			return "inputs wait and there is no container, so one is needed"
		}
		return fmt.Sprintf("the %s %s off the queue soon enough: one more would be ready later", count(have, "container"), works(have))
	case blocked:
		return fmt.Sprintf("%s wait, and no container has begun one for %v: those that run may be waiting for those that wait", count(s.Queued, "input"), round(s.Newest))
	case crowded:
		return fmt.Sprintf("%d %% of the machine's processors are busy: more than %s would only take turns", int(s.Busy*100+0.5), count(max(s.Probe, 1, have), "container"))
	case probing:
		return fmt.Sprintf("nobody knows yet how long an input takes, so at first there are at most %s", count(max(s.Probe, 1, have), "container"))
	case rate:
		took := s.Duration
		if took == 0 {
			took = s.Oldest
		}
		return fmt.Sprintf("%s of about %v each%s should be done within %v", count(inputs, "input"), round(took), atOnce(s.target()), round(within(s)))
	case short:
		return fmt.Sprintf("an input takes only about %v, so more than %s would not be faster", round(s.Duration), count(max(s.Probe, 1), "container"))
	case each:
		most := (inputs + s.target() - 1) / s.target()
		return fmt.Sprintf("there is work for %s: %s%s", count(most, "container"), count(inputs, "input"), strings.TrimSuffix(atOnce(s.target()), ","))
	case buffered:
		return fmt.Sprintf("buffer_containers adds %d while there are inputs", s.Buffer)
	case minimum:
		return fmt.Sprintf("min_containers keeps %d", s.Min)
	case maximum:
		return fmt.Sprintf("max_containers allows no more than %d", s.Max)
	case closing:
		return "the function is ending"
	case held:
		return fmt.Sprintf("containers failed to start, so the next one is tried in %v", round(s.Hold))
	case ramped:
		if s.Failing {
			return "the last start failed, so one container at a time is tried"
		}
		return fmt.Sprintf("at most %d start at once; %s now, and the others when these are ready", ramp(s), are(s.Starting+d.Start))
	case windowed:
		text := fmt.Sprintf("idle containers stay for scaledown_window, %v", round(s.Window))
		if s.Buffer > 0 {
			text += fmt.Sprintf(", and %d of them while others have inputs: buffer_containers", s.Buffer)
		}
		return text
	}
	return ""
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func works(n int) string {
	if n == 1 {
		return "that there is works"
	}
	return "that there are work"
}

func are(n int) string {
	if n == 1 {
		return "1 is starting"
	}
	return fmt.Sprintf("%d are starting", n)
}

func atOnce(target int) string {
	if target == 1 {
		return ""
	}
	return fmt.Sprintf(", %d at once in a container,", target)
}

// round leaves about three digits.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > 1; unit /= 10 {
		if d >= 10*unit {
			return d.Round(unit / 10)
		}
	}
	return d
}
