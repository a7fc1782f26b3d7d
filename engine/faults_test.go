package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/wire"
)

// startFaulty starts an app of testdata/cards.py that has faults.
func (h *host) startFaulty(faults []string, functions ...app.Function) *running {
	h.t.Helper()
	h.faults = faults
	defer func() { h.faults = nil }()
	return h.start("cards", functions...)
}

// logged is what gx itself said in the app's log.
func logged(h *host) string {
	var said []string
	if err := h.Logs(h.t.Context(), "test", api.LogQuery{}, func(m api.LogMessage) error {
		for _, l := range m.Lines {
			if l.Stream == logs.System {
				said = append(said, l.Text)
			}
		}
		return nil
	}); err != nil {
		h.t.Error(err)
	}
	return strings.Join(said, "\n")
}

// A fault of a card is in its page before the call that it is planned for, and
// only then; a card that is lost takes its container along, and the next call
// has another one.
func TestFaultsOfCards(t *testing.T) {
	h := newHostWith(t, "process", map[string]int{"T4": 1})
	a := h.startFaulty([]string{"oom@call=2", "gpu-lost@call=4", "xid=63@call=1"}, app.Function{Name: "fault", GPU: []string{"T4"}})
	c := a.dial()
	for i, want := range []int{0, 1, 0, 15, 0} {
		c.expect(c.call("fault", args(0)), want)
		if i == 3 {
			waitFor(t, "the container's end", func() bool { return len(h.Containers()) == 0 })
		}
	}
	c.close()
	log := logged(h)
	for _, want := range []string{"fault at call 2: oom", "fault at call 4: gpu-lost", "[gpu-health] [CRITICAL] GPU-", "XID: Xid 79: GPU has fallen off the bus", "[gpu-health] [WARN] "} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in\n%s", want, log)
		}
	}
}

// What a container runs that is preempted goes to another one, though its
// function has no retries.
func TestPreemption(t *testing.T) {
	h := newHost(t, "process")
	a := h.startFaulty([]string{"preempt@call=1"}, app.Function{Name: "who"}, app.Function{Name: "lasts"})
	c := a.dial()
	answers := c.collect(c.open("map", "lasts", "", args(1.0)))
	first := h.runtime.started()[0]
	for _, f := range answers {
		data, err := f.ReadPayload(wire.MaxPayload)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := unpickle(data).(string); !ok || id == first || !strings.HasPrefix(id, "co-") {
			t.Errorf("%v answered, and %s was preempted", id, first)
		}
	}
	c.close()
	if log := logged(h); !strings.Contains(log, "fault at call 1: the container is preempted") {
		t.Error(log)
	}
}

func TestSlowStart(t *testing.T) {
	h := newHost(t, "process")
	a := h.startFaulty([]string{"slow-start=1500ms"}, app.Function{Name: "who"}, app.Function{Name: "card", GPU: []string{"L4"}, StartupTimeout: 0.5})
	c := a.dial()
	began := time.Now()
	c.call("who", args(0))
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if kind, message := c.callFails("card", args(0)); kind != "start" || !strings.Contains(message, "startup_timeout of 500ms") {
		t.Errorf("%s: %s", kind, message)
	}
	c.close()
}
