package function

import (
	"fmt"

	"github.com/gx-dev/gx/app"
)

// Scale changes the bounds for the function's containers while it runs.
type Scale struct {
	Min    *int     `json:"min_containers"`
	Max    *int     `json:"max_containers"` // 0 = no limit but the host's
	Buffer *int     `json:"buffer_containers"`
	Window *float64 `json:"scaledown_window"` // seconds
}

// maxWindow is the longest that an idle container may be kept, in seconds.
const maxWindow = 30 * 24 * 3600

// Scale applies what is set. The error is in a user's words.
func (f *Function) Scale(s Scale) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.scaling
	for from, to := range map[*int]*int{s.Min: &next.Min, s.Max: &next.Max, s.Buffer: &next.Buffer} {
		if from == nil {
			continue
		}
		if *from < 0 {
			return fmt.Errorf("%s: min_containers, max_containers and buffer_containers must not be below 0", f.Name())
		}
		*to = *from
	}
	if s.Window != nil {
		if *s.Window < 0 || *s.Window > maxWindow {
			return fmt.Errorf("%s: scaledown_window=%v must be between 0 and %d seconds", f.Name(), *s.Window, maxWindow)
		}
		next.Window = *s.Window
	}
	if next.Max > 0 && next.Min > next.Max {
		return fmt.Errorf("%s: min_containers=%d is more than max_containers=%d", f.Name(), next.Min, next.Max)
	}
	f.scaling = next
	f.used = f.host.Clock.Now()
	f.kick()
	return nil
}

// Scaling is how the function scales now.
func (f *Function) Scaling() app.Scaling {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.scaling
}

// Stats is how much a function has to do.
type Stats struct {
	Backlog int `json:"backlog"`            // inputs that no container has begun
	Runners int `json:"num_total_runners"`  // containers, starting ones included
	Running int `json:"num_running_inputs"` // inputs that containers are at
}

// Stats is what there is to do now.
func (f *Function) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Backlog: f.queue.Len() + len(f.delayed), Runners: len(f.members)}
	for _, m := range f.members {
		s.Running += m.running.Len()
		s.Backlog += m.waiting.Len()
	}
	return s
}

// batch is how many inputs a container is given at once; 0 = single ones.
func (v *Version) batch() int {
	if v.Spec.Batch == nil {
		return 0
	}
	return v.Spec.Batch.Size
}

// occupied reports whether the function has containers.
func (f *Function) occupied() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.members) > 0
}
