package trace

import (
	"time"

	"github.com/gx-dev/gx/api"
)

// waterfall puts phases one behind the other.
type waterfall struct {
	from   time.Duration // what they are counted from
	phases []api.Phase
}

// shortest is how long a phase must be to be told.
const shortest = 10 * time.Microsecond

func (w *waterfall) step(name string, from, to time.Duration) { w.note(name, from, to, "") }

func (w *waterfall) note(name string, from, to time.Duration, note string) {
	if to-from < shortest && name != "run" {
		return
	}
	w.phases = append(w.phases, api.Phase{Name: name, Start: (from - w.from).Seconds(), Took: max(to-from, 0).Seconds(), Note: note})
}

// start tells what an input waited for, from at until it began in a container:
// for that container's start, as far as that fell into its time, or for others
// that were before it.
func (w *waterfall) start(at, began time.Duration, container string, opened time.Time, find func(id string) *Container) {
	c := find(container)
	if c == nil {
		w.step("queue", at, began)
		return
	}
	begin := c.asked.Sub(opened)
	for _, m := range c.marks {
		end := m.at.Sub(opened)
		if begin < began && end > at {
			if begin > at {
				w.step("queue", at, begin)
				at = begin
			}
			w.step(m.phase, at, min(end, began))
			at = min(end, began)
		}
		begin = end
	}
	w.step("queue", at, began)
}
