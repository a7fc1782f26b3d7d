package function

import (
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/fault"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/wire"
)

// preemptAfter is when a container is preempted that has just begun a call.
const preemptAfter = 100 * time.Millisecond

// afflict has happen to the container what is planned for the call that it is
// being given. f.mu is held.
func (m *member) afflict() {
	n, rules := m.f.cfg.App.Faults.Call(m.f.Name())
	for _, r := range rules {
		switch r.Kind {
		case fault.Preempt:
			after := max(r.Delay, preemptAfter)
			m.tellFault("fault at call %d: the container is preempted in %v", n, after)
			m.preempt = m.f.host.Clock.AfterFunc(after, m.preempted)
		default:
			lease := m.lease.Load()
			if lease == nil {
				m.tellFault("fault at call %d: %s is for functions with a GPU, and this has none", n, r)
				continue
			}
			m.tellFault("fault at call %d: %s", n, r)
			kind := map[fault.Kind]gpu.FaultKind{fault.OOM: gpu.FaultOOM, fault.GPULost: gpu.FaultLost, fault.Xid: gpu.FaultXid}[r.Kind]
			if err := (*lease).Fail(gpu.Fault{Card: r.Card, Kind: kind, Xid: r.Xid}); err != nil {
				m.tellFault("the fault %s is not possible: %v", r, err)
			}
		}
	}
}

// preempted ends the container: what it runs is cancelled and goes to another
// one, and exit hooks have their grace, as where a machine is taken away.
func (m *member) preempted() {
	const why = "the container was preempted"
	f := m.f
	var back []*call.Input
	f.mu.Lock()
	for in := m.running.Front(); in != nil; in = in.Next() {
		if in.Done || in.Items || in.Once || in.Call.Kind == call.KindWeb { // it can't be made again
			continue
		}
		f.again(in, wire.FailLost, why, 0)
		m.interrupt(in, "cancelled")
		back = append(back, in.Again())
	}
	for _, in := range slices.Backward(back) {
		f.queue.PushFront(in)
	}
	f.mu.Unlock()
	m.stop(why, f.grace())
	f.kick()
}

// tellFault says in the app's log that a fault is not an accident.
func (m *member) tellFault(format string, args ...any) { m.f.say(m.id, "", 0, format, args...) }

// delayed has the container's start take as long as is planned; false = it is
// not to go on.
func (m *member) delayed() bool {
	n, longer := m.f.cfg.App.Faults.Start(m.f.Name())
	if longer == 0 {
		return true
	}
	m.tellFault("fault at start %d: it takes %v longer", n, longer)
	over := make(chan struct{})
	timer := m.f.host.Clock.AfterFunc(longer, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-m.quit:
		return false
	}
}

// drain has the container take no more inputs, since its GPU is of no use any
// more, and end when it is done. It does not block.
func (m *member) drain(e gpu.Event) {
	m.f.serving.Go(func() {
		m.f.mu.Lock()
		if m.asked || m.outdated || m.conn == nil {
			m.f.mu.Unlock()
			return
		}
		m.leaving = "its GPU has failed: " + e.Text
		m.f.mu.Unlock()
		m.leave()
		m.f.kick()
	})
}

// leavesFor is why the container takes no more inputs. f.mu is held.
func (m *member) leavesFor() string {
	if m.leaving != "" {
		return m.leaving
	}
	return replaced
}
