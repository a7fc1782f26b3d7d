// Package function runs the inputs of one function: it keeps their queue, its
// containers, and hands inputs from the one to the others. It knows calls only
// as what inputs belong to, and connections only by their writers.
//
// # Who does what
//
// The goroutine that brings inputs (that of a client's connection) hands them
// to containers that have room, and writes them there itself; the goroutine
// that reads a runner's answers delivers them, and refills that runner from the
// queue. Nothing is handed from goroutine to goroutine on that way; one mutex
// per function guards the queue and who has what, and nothing is written or
// read while it is held. Each container has one goroutine for its life, and
// each function one that starts and stops containers.
package function

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/fault"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/engine/volume"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/redact"
	"github.com/gx-dev/gx/wire"
)

// Host is what all functions of a host share.
type Host struct {
	Runtime  container.Runtime
	Hub      *runner.Hub
	Ledger   *pool.Ledger
	Registry *call.Registry
	Clock    clock.Clock
	Log      *slog.Logger
	Version  string            // of gx, for containers to see
	Starts   chan struct{}     // holds a value for each container that is being started
	Env      []string          // of every container: the network's
	Mounts   []container.Mount // of every container
	SDK      func(image build.Image) (dir string, err error)
	// Reclaim has room made for a function that is short of it: by another's
	// idle container, or by one of those who have more than their share.
	Reclaim func(for_ *Function)
	// Functions lists all functions that are running.
	Functions func() []*Function
	Calls     call.Host      // for the calls that containers make
	Busy      func() float64 // share of the processors in use
	Fork      bool           // further containers of a function may be forked from a template
	Probe     int            // containers started for inputs of unknown duration
	Trace     *trace.Recorder
	Volumes   *volume.Store
	GPUs      gpu.Provider // nil = there are none
	Secrets   Secrets
}

// App is the app that a function is part of.
type App struct {
	ID, Name    string
	Title       string // the name as people see it: that of a past version has its number
	Environment string // its name
	Log         *logs.Log
	Event       func(api.SessionMessage) // told of containers and waiting; never blocks
	Faults      *fault.Plan              // nil = none
}

// Config is one function, or a variant of one: with other options, or for one
// set of class parameters.
type Config struct {
	ID      string // the function's, which its variants share
	Pool    string // unique in the app
	App     App
	Version *Version        // that it begins with; it takes Pins over
	Params  []byte          // of the class's constructor, pickled; nil = none
	Options json.RawMessage // of the variant, as Spec has them already; nil = none
}

// Limits hold one container; zero values are no limit, or the runtime's own.
type Limits struct {
	CPU    float64
	Memory int64
	Disk   int64
}

// Function is a running function.
type Function struct {
	host *Host
	cfg  Config
	log  *slog.Logger

	kicks   chan struct{} // room for one: look at the pool
	cancel  context.CancelFunc
	ctx     context.Context
	loop    sync.WaitGroup // the control goroutine
	serving sync.WaitGroup // the containers' goroutines

	held    atomic.Int64 // calls that have not ended
	current atomic.Pointer[Version]
	release sync.Once // of the version's pins, at the end
	mask    atomic.Pointer[redact.Mask]

	mu        sync.Mutex
	scaling   app.Scaling // as declared, or as it was changed since
	used      time.Time   // when a call was last held
	queue     call.List
	delayed   map[*call.Input]clock.Timer // waiting for their next attempt
	members   []*member                   // in the order of their starts
	shells    []*member                   // containers in which somebody runs commands, and no inputs
	isolating *member                     // takes nothing until it is empty; nil = none
	meter     pool.Meter                  // of one input
	startup   pool.Meter                  // of one start
	window    int                         // inputs that a container may have at once
	timer     clock.Timer                 // looks at the pool again
	health    health
	short     string // what a container last waited for
	told      api.Waiting
	toldAt    time.Time
	paused    bool // no container is started, see Clear
	closing   bool
	stopping  string      // why it is closing
	linger    clock.Timer // looks at a batch that waits for company
	knot      knot
	template  template
	stages    uint32 // changes of code that containers were asked about, ever
	trace     *trace.Function
	over      bool // the record is not written any more
}

// New makes a function and starts its control goroutine. Close it.
func New(host *Host, cfg Config) *Function {
	v := cfg.Version
	v.Spec.Concurrency = max(v.Spec.Concurrency, 1)
	f := &Function{
		host: host, cfg: cfg, kicks: make(chan struct{}, 1), delayed: map[*call.Input]clock.Timer{},
		log:    host.Log.With("app", cfg.App.ID, "function", v.Spec.Name),
		window: v.Spec.Concurrency, scaling: v.Spec.Scaling, used: host.Clock.Now(),
		trace: trace.NewFunction(cfg.App.ID, cfg.App.Title, cfg.ID, cfg.Pool, v.Spec.Name),
	}
	f.current.Store(v)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.loop.Go(f.control)
	if v.Spec.Scaling.Min > 0 {
		f.kick()
	}
	return f
}

// ID is the function's id.
func (f *Function) ID() string { return f.cfg.ID }

// Owner is whose room the function's containers take.
func (f *Function) Owner() pool.Owner { return pool.Owner{App: f.cfg.App.ID, Pool: f.cfg.Pool} }

// Name implements call.Target.
func (f *Function) Name() string { return f.version().Spec.Name }

// Module implements call.Target.
func (f *Function) Module() string { return f.version().Spec.Module }

// Hold notes a call that will go to the function; Release has to follow.
func (f *Function) Hold() {
	f.held.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = f.host.Clock.Now()
}

// Release implements call.Target.
func (f *Function) Release() { f.held.Add(-1) }

// Unused reports whether nothing has been done with the function for a while,
// and nothing of it is running.
func (f *Function) Unused(since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held.Load() == 0 && len(f.members) == 0 && f.queue.Len() == 0 && len(f.delayed) == 0 && f.scaling.Min == 0 && f.used.Before(since)
}

// Submit implements call.Target.
func (f *Function) Submit(inputs []*call.Input) {
	var out []call.Answer
	var touched []*member
	f.mu.Lock()
	now := f.host.Clock.Now()
	flowing := f.queue.Len() == 0
	for _, in := range inputs {
		f.came(in, now)
		if answer, refused := f.refuse(in, now); refused {
			out = append(out, answer)
			continue
		}
		if f.version().Spec.Batch == nil && f.queue.Len() == 0 {
			if m := f.pick(in); m != nil {
				m.assign(in, now)
				if len(touched) == 0 || touched[len(touched)-1] != m {
					touched = append(touched, m)
				}
				continue
			}
		}
		f.queue.PushBack(in)
	}
	if f.version().Spec.Batch != nil {
		touched = f.batches(now)
	}
	// A queue that was there before is looked at regularly.
	short := flowing && f.queue.Len() > 0
	f.mu.Unlock()
	if len(touched) > 0 && inputs[0].Call.Kind == call.KindWeb {
		// Each request has a goroutine of its own: others that are about to come may
		// go along, with one system call, and are seen to in one turn of the runner.
		runtime.Gosched()
	}
	for _, m := range touched {
		m.conn.Flush()
	}
	f.deliver(out)
	if short {
		f.kick()
	}
}

// refuse answers an input that the function cannot take now. mu is held.
func (f *Function) refuse(in *call.Input, now time.Time) (call.Answer, bool) {
	if f.closing {
		return f.handBack(in, fmt.Sprintf("%s takes no more inputs: %s", f.Name(), f.stopping)), true
	}
	if f.health.broken != nil && now.Before(f.health.hold) {
		return f.broken(in), true
	}
	return call.Answer{}, false
}

// give makes the last answer of an input that no container answers. mu is held.
func (f *Function) give(in *call.Input, body wire.FailBody) call.Answer {
	in.Done = true
	f.failed(in, body.Kind, func() string { return body.Message })
	return call.Fail(in, body)
}

// handBack makes the last answer of an input that the function does not see to,
// because it ends. mu is held.
func (f *Function) handBack(in *call.Input, reason string) call.Answer {
	a := f.give(in, wire.FailBody{Kind: wire.FailCancelled, Message: reason})
	a.Closing = true
	return a
}

// deliver gives answers that the function itself made to the callers. It does
// not wait for them: it may be a caller's own reading that has led here.
func (f *Function) deliver(answers []call.Answer) {
	if len(answers) == 0 {
		return
	}
	f.version().Choices[0].Meter.Inputs(len(answers), len(answers))
	call.DeliverNow(answers)
}

// pick finds the container to give an input to: of those that have room the
// one that has least to do, and of several the oldest. mu is held.
func (f *Function) pick(in *call.Input) *member {
	var best *member
	for _, m := range f.members {
		if m.room() && (best == nil || m.load() < best.load()) && m.takes(in) {
			best = m
		}
	}
	return best
}

// fill hands queued inputs to containers that have room. mu is held.
func (f *Function) fill(now time.Time) (touched []*member) {
	if f.version().Spec.Batch != nil {
		return f.batches(now)
	}
	for in := f.queue.Front(); in != nil && f.room(); {
		next := in.Next()
		if m := f.pick(in); m != nil {
			in.Remove()
			m.assign(in, now)
			if len(touched) == 0 || touched[len(touched)-1] != m {
				touched = append(touched, m)
			}
		}
		in = next
	}
	return touched
}

// room reports whether a container has room. mu is held.
func (f *Function) room() bool {
	for _, m := range f.members {
		if m.room() {
			return true
		}
	}
	return false
}

// Cancel implements call.Target.
func (f *Function) Cancel(c *call.Call, index uint32, terminate bool) {
	var out []call.Answer
	var touched, victims []*member
	left := map[*member][]*call.Input{}
	mine := func(in *call.Input) bool { return in.Call == c && (index == wire.AllInputs || in.Index == index) }
	body := wire.FailBody{Kind: wire.FailCancelled, Message: "the call was cancelled"}
	f.mu.Lock()
	for in := f.queue.Front(); in != nil; {
		next := in.Next()
		if mine(in) {
			in.Remove()
			out = append(out, f.give(in, body))
		}
		in = next
	}
	for in, timer := range f.delayed {
		if mine(in) {
			timer.Stop()
			delete(f.delayed, in)
			out = append(out, f.give(in, body))
		}
	}
	for _, m := range f.members {
		hit := false
		for _, in := range m.inputs {
			if mine(in) && !in.Done {
				hit = true
				out = append(out, f.give(in, body))
				m.interrupt(in, "cancelled")
				left[m] = append(left[m], in)
			}
		}
		if hit {
			touched = append(touched, m)
			if terminate {
				victims = append(victims, m)
			}
		}
	}
	f.mu.Unlock()
	for _, m := range touched {
		m.conn.Flush()
	}
	f.deliver(out)
	if !terminate {
		for m, inputs := range left {
			m.expectEnd(inputs)
		}
	}
	for _, m := range victims {
		m.kill("its call was cancelled")
	}
}

func cancelFrame(in *call.Input, reason string) wire.Frame {
	fr, _ := wire.JSON(wire.Cancel, in.Call.Number, in.Index, wire.CancelBody{Reason: reason}) // cannot fail: a short text
	fr.Attempt = in.Attempt
	return fr
}

// say puts gx's own words into the app's log.
func (f *Function) say(container, call string, input uint32, format string, args ...any) {
	line := api.LogLine{Function: f.Name(), Container: container, Call: call, Input: input, Stream: logs.System, Text: fmt.Sprintf(format, args...)}
	if _, err := f.cfg.App.Log.Append([]api.LogLine{line}); err != nil {
		f.log.Error("the app's log cannot be written", "error", err)
	}
}

// Busy reports whether the function has inputs.
func (f *Function) Busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue.Len() > 0 || len(f.delayed) > 0 {
		return true
	}
	for _, m := range f.members {
		if m.load() > 0 {
			return true
		}
	}
	return false
}

// Containers lists the function's containers.
func (f *Function) Containers() []api.Container {
	f.mu.Lock()
	members := slices.Concat(f.members, f.shells)
	list := make([]api.Container, len(members))
	for i, m := range members {
		list[i] = api.Container{
			ID: m.id, App: f.cfg.App.ID, AppName: f.cfg.App.Title, Function: f.Name(), State: m.state.String(), Started: m.began, Running: m.running.Len(),
		}
		if i >= len(f.members) {
			list[i].State = "shell"
		}
	}
	f.mu.Unlock()
	for i, m := range members {
		if c := m.container.Load(); c != nil {
			if stats, err := (*c).Stats(); err == nil {
				list[i].Memory, list[i].CPU = stats.Memory, stats.CPU.Seconds()
			}
		}
		m.describeCards(&list[i])
	}
	return list
}
