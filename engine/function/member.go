package function

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/output"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/engine/volume"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/wire"
)

// state is where a container is in its life.
type state int

const (
	starting state = iota
	ready
	stopping
)

func (s state) String() string { return [...]string{"starting", "ready", "stopping"}[s] }

// key names an input within a container.
type key struct{ call, index uint32 }

// member is one container of a function. One goroutine, in live, starts it,
// reads its answers and buries it.
type member struct {
	f     *Function
	id    string
	began time.Time

	quit      chan struct{} // closed when it shall not go on starting
	quitOnce  sync.Once
	gone      chan struct{}                       // closed when nothing of it is left
	container atomic.Pointer[container.Container] // nil before its start
	current   atomic.Pointer[Version]             // what it runs
	made      atomic.Pointer[container.Spec]      // what it was made from; nil before its start
	pins      *Pins                               // of the version that it began with, whose files it has
	choice    int                                 // which of the version's choices it was set aside
	lease     atomic.Pointer[gpu.Lease]           // its cards; nil = it has none, or none yet

	// Of the goroutine in live.
	capture *output.Capture
	volumes *volume.Set  // nil = none
	secrets secrets      // that it was started with
	caller  *call.Caller // calls that the user's code in it makes
	joiner  wire.Joiner
	batch   []wire.Frame
	answers []wire.Frame
	bye     bool
	shown   bool           // its start was told
	hungUp  bool           // its connection is closed
	broke   error          // how it broke the protocol
	took    wire.ReadyBody // how long the user's code took to get ready

	// Under f.mu.
	conn     *runner.Conn // nil before it has connected
	state    state
	asked    bool   // it was asked to end
	killed   bool   // by the host
	reason   string // why it was asked to end, or killed
	inputs   map[key]*call.Input
	running  call.List // those of inputs that it is at, by the time they began
	waiting  call.List // those that it has ahead
	calls    map[uint32]*call.Call
	taken    int    // inputs that it was given, ever
	served   bool   // it has answered
	stuck    bool   // it is at an input that takes longer than others: it gets none ahead
	alone    bool   // it is at an input that is run by itself
	late     int    // inputs that it was told to end and has not: nobody knows what else it can do
	batched  int    // batches that it is at
	yields   bool   // it ends when it has nothing to do: its room is somebody else's
	visitors int    // commands that somebody runs in it: it is not idle
	outdated bool   // it ends when it has nothing to do: a newer version has taken over
	leaving  string // why it is outdated, if it is not for that
	preempt  clock.Timer
	staging  staging   // newer code that it was asked about
	trial    *trial    // it is of a version that is not the function's yet; nil = it is
	idle     time.Time // since when it has nothing to do
	busy     time.Time // since when its answers are being measured
	limit    clock.Timer
	stall    clock.Timer
	killer   clock.Timer
	tail     []string // the last lines that it printed
	trace    *trace.Container
}

// What a container keeps in mind.
const (
	maxKnown = 2048 // calls that the runner knows of; it remembers twice as many
	tailSize = 20   // lines
)

func newMember(f *Function, v *Version, choice int, now time.Time) *member {
	m := &member{
		f: f, id: call.NewID("co"), began: now, idle: now, quit: make(chan struct{}), gone: make(chan struct{}),
		inputs: map[key]*call.Input{}, calls: map[uint32]*call.Call{}, pins: v.Pins, choice: choice,
	}
	m.current.Store(v)
	v.Pins.Hold()
	return m
}

// load is how many inputs the container has. f.mu is held.
func (m *member) load() int { return len(m.inputs) }

// room reports whether the container can be given an input. f.mu is held.
func (m *member) room() bool {
	most, window := m.version().Spec.MaxInputs, m.f.window
	if m.yields || m.leaves() || m.alone || m.late > 0 {
		return false
	}
	if m.version().Spec.Batch != nil {
		return m.state == ready && m.batched < m.version().Spec.Concurrency && (most == 0 || m.taken < most)
	}
	if m.stuck {
		window = m.version().Spec.Concurrency
	}
	return m.state == ready && len(m.inputs) < window && (most == 0 || m.taken < most)
}

// takes reports whether the container, which has room, can be given this input:
// it is not at an earlier attempt of it, and what is run by itself finds it
// empty. f.mu is held.
func (m *member) takes(in *call.Input) bool {
	if in.Suspect {
		return len(m.inputs) == 0
	}
	return m.f.isolating != m && (in.Attempt == 0 || m.inputs[key{in.Call.Number, in.Index}] == nil)
}

// isolate has the container take nothing more until it is empty, if another
// one does not already: an input waits that is to be run by itself, and would
// wait for as long as there are others. f.mu is held.
func (m *member) isolate() {
	if m.f.isolating == nil {
		m.f.isolating = m
	}
}

// refill gives the container what it has room for. Flush has to follow. f.mu is
// held.
func (m *member) refill(now time.Time) {
	if m.version().Spec.Batch != nil {
		return // see Function.batches
	}
	for in := m.f.queue.Front(); in != nil && m.room(); {
		next := in.Next()
		if m.takes(in) {
			in.Remove()
			m.assign(in, now)
		} else if in.Suspect {
			m.isolate()
		}
		in = next
	}
}

// assign gives the container an input, which is in no list. Flush has to
// follow. f.mu is held.
func (m *member) assign(in *call.Input, now time.Time) {
	in.Attempt++
	in.Since, in.Logged, in.Recalled, in.Container = time.Time{}, 0, false, m.id
	m.tell(in)
	if len(m.inputs) == 0 {
		m.busy = now
	}
	m.inputs[key{in.Call.Number, in.Index}] = in
	m.alone = in.Suspect
	m.taken++
	in.Call.Began(in.Index, m.id)
	if in.Batch != nil || m.running.Len() < m.version().Spec.Concurrency {
		m.begin(in, now)
	} else {
		m.waiting.PushBack(in)
		if m.stall == nil {
			m.stall = m.f.host.Clock.AfterFunc(stallAfter, m.stalled)
		}
	}
	m.afflict() // before the runner knows of the input
	m.conn.Queue(in.Frame())
}

// begin notes that the container begins an input. f.mu is held.
func (m *member) begin(in *call.Input, now time.Time) {
	in.Since = now
	m.running.PushBack(in)
	if m.limit == nil {
		m.limit = m.f.host.Clock.AfterFunc(m.f.timeout(), m.overdue)
	}
}

// tell makes a call known to the runner, as far as it has to know. f.mu is held.
func (m *member) tell(in *call.Input) {
	c := in.Call
	if m.calls[c.Number] != nil {
		return
	}
	if len(m.calls) >= maxKnown {
		clear(m.calls)
	}
	m.calls[c.Number] = c
	if c.Method != "" {
		open, err := wire.JSON(wire.Open, c.Number, 0, wire.OpenBody{Function: m.f.cfg.ID, Method: c.Method, Kind: c.Kind})
		if err == nil {
			m.conn.Queue(open)
		}
	}
	// The runner makes the same id, for calls whose id it is not told.
	own := ownID(m.id, c.Number)
	id := c.Identify(own)
	c.Trace.Identify(id)
	if id != own {
		opened, err := wire.JSON(wire.Opened, c.Number, 0, wire.OpenedBody{CallID: c.ID})
		if err == nil {
			m.conn.Queue(opened)
		}
	}
}

// ownID is the id that a runner gives to a call when it is told none.
func ownID(container string, number uint32) string {
	return "fc-" + container + "-" + strconv.FormatUint(uint64(number), 10)
}

// origin finds the input that the runner says makes a call.
func (m *member) origin(number, index uint32) (call.Origin, bool) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	in := m.inputs[key{number, index}]
	if in == nil {
		return call.Origin{}, false
	}
	return call.Origin{Call: in.Call, Index: index}, true
}

// stop asks the container to end, and kills it when the grace is over.
func (m *member) stop(reason string, grace time.Duration) {
	m.f.mu.Lock()
	if m.asked {
		m.f.mu.Unlock()
		return
	}
	m.asked, m.reason, m.state = true, reason, stopping
	conn := m.conn
	if conn != nil {
		fr, err := wire.JSON(wire.Stop, 0, 0, wire.StopBody{Grace: grace.Seconds(), Reason: reason})
		if err == nil {
			conn.Queue(fr)
		}
		m.killer = m.f.host.Clock.AfterFunc(grace, func() { m.overstays(grace) })
	}
	m.f.mu.Unlock()
	m.tellState("stopping", 0, "")
	if conn == nil {
		m.abort()
		return
	}
	conn.Flush()
}

// overstays kills a container that has not ended within its grace.
func (m *member) overstays(grace time.Duration) {
	m.f.mu.Lock()
	m.reason += fmt.Sprintf("; exit hooks and running code had %v to end and did not, so it was killed", grace)
	m.f.mu.Unlock()
	m.kill("")
}

// abort keeps the container from going on with its start.
func (m *member) abort() { m.quitOnce.Do(func() { close(m.quit) }) }

// kill ends the container at once. Its goroutine sees to the rest.
func (m *member) kill(reason string) {
	m.f.mu.Lock()
	if !m.asked {
		m.reason = reason
	}
	m.asked, m.killed, m.state = true, true, stopping
	m.f.mu.Unlock()
	m.abort()
	if c := m.container.Load(); c != nil {
		if err := (*c).Kill(); err != nil {
			m.f.log.Error("a container cannot be killed", "container", m.id, "error", err)
		}
	}
}

// tellState tells the app's session of the container.
func (m *member) tellState(state string, took time.Duration, reason string) {
	m.f.cfg.App.Event(api.SessionMessage{Container: &api.ContainerEvent{
		ID: m.id, Function: m.f.Name(), State: state, Time: m.f.host.Clock.Now(), GPU: m.set().Label, Took: took.Seconds(), Reason: reason,
	}})
}

// timeout is how long one attempt may run.
func (f *Function) timeout() time.Duration { return seconds(f.version().Spec.Timeout, DefaultTimeout) }

// Time limits where a function says nothing.
const (
	DefaultTimeout        = 300 * time.Second // of an attempt
	DefaultStartupTimeout = 300 * time.Second // from a container's start to its being ready
)

func seconds(s float64, otherwise time.Duration) time.Duration {
	if s <= 0 {
		return otherwise
	}
	return time.Duration(min(s, 366*24*3600) * float64(time.Second))
}

// measure takes n answers into the account of how long an input takes. f.mu is
// held.
func (m *member) measure(n int, ran time.Duration, now time.Time) {
	took := now.Sub(m.busy) // one after the other
	if m.version().Spec.Concurrency > 1 {
		took = ran
	}
	m.f.meter.Add(n, took)
	m.f.window = pool.Window(m.f.meter.Duration(), m.version().Spec.Concurrency)
	m.busy = now
}
