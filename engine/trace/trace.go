// Package trace remembers, for `gx why`, where the time of calls and containers
// went and how they ended: a bounded number of records in memory, written by
// small hooks. It decides nothing, and knows nothing of queues and connections.
//
// # Locks
//
// A Function and what belongs to it (calls, containers) is guarded by the lock
// of the function that writes it; whoever reads it asks that function. Once a
// function has ended its record does not change any more and goes to the
// Recorder, which may be asked by anybody.
//
// # Cost
//
// A call costs one small record, whatever it has of inputs: sums, the slowest
// few and the first few that failed. Nothing here asks for the time.
package trace

import (
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
)

// How much is remembered.
const (
	maxCalls      = 500 // that have ended, of one function
	maxTroubled   = 200 // of them those that failed or were tried again, which stay for longer
	maxContainers = 200 // that have ended, of one function
	maxRecords    = 10_000
	maxFunctions  = 1_000
)

// Outcomes of attempts; others are the kinds of wire.FailBody.
const (
	Raised = "raised" // the function's code raised an exception
	Import = "import" // its module did, or an enter hook
)

// Recorder keeps the records of functions that have ended. It is safe for
// concurrent use.
type Recorder struct {
	mu      sync.Mutex
	ended   []*Function // the oldest first
	records int
}

// NewRecorder makes a Recorder.
func NewRecorder() *Recorder { return &Recorder{} }

// Keep takes over the record of a function that has ended.
func (r *Recorder) Keep(f *Function) {
	if f.records() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, f)
	r.records += f.records()
	for r.records > maxRecords || len(r.ended) > maxFunctions {
		r.records -= r.ended[0].records()
		r.ended = r.ended[1:]
	}
}

// Ended is the functions that have ended, the newest first.
func (r *Recorder) Ended() []*Function {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Function, len(r.ended))
	for i, f := range r.ended {
		list[len(list)-1-i] = f
	}
	return list
}

// OfApp is the functions of one app that have ended.
func (r *Recorder) OfApp(id string) []*Function {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*Function
	for _, f := range r.ended {
		if f.App == id {
			list = append(list, f)
		}
	}
	return list
}

// Function is the record of a function.
type Function struct {
	ID, Pool     string // variants of a function share its ID
	Name         string
	App, AppName string

	live       calls
	calls      ring[*Call]
	troubled   ring[*Call]
	containers ring[*Container]
}

// NewFunction makes the record of a function.
func NewFunction(app, appName, id, pool, name string) *Function {
	return &Function{
		ID: id, Pool: pool, Name: name, App: app, AppName: appName,
		calls: ring[*Call]{most: maxCalls}, troubled: ring[*Call]{most: maxTroubled}, containers: ring[*Container]{most: maxContainers},
	}
}

func (f *Function) records() int { return len(f.calls.list) + len(f.containers.list) }

// Live calls fn with the calls that have inputs without an answer, the oldest
// first.
func (f *Function) Live(fn func(*Call)) {
	for c := f.live.first; c != nil; c = c.next {
		fn(c)
	}
}

// Call finds a call; nil = it is not known.
func (f *Function) Call(id string) (found *Call) {
	look := func(c *Call) bool {
		if c.ID == id {
			found = c
		}
		return found == nil
	}
	f.Live(func(c *Call) { look(c) })
	if found == nil {
		f.calls.latest(look)
	}
	if found == nil {
		f.troubled.latest(look)
	}
	return found
}

// Container finds a container that has ended; nil = it is not known.
func (f *Function) Container(id string) (found *Container) {
	f.containers.latest(func(c *Container) bool {
		if c.ID == id {
			found = c
		}
		return found == nil
	})
	return found
}

// LastFailure is the newest container that ended without being asked to.
func (f *Function) LastFailure() (found *Container) {
	f.containers.latest(func(c *Container) bool {
		if !c.wanted {
			found = c
		}
		return found == nil
	})
	return found
}

// Describe fills in what the record knows: at most so many calls, failures and
// containers that have ended, the newest first.
func (f *Function) Describe(most int, now time.Time) api.FunctionTrace {
	t := api.FunctionTrace{ID: f.ID, Pool: f.Pool, App: f.App, AppName: f.AppName, Function: f.Name}
	short := func(list *[]api.CallTrace) func(*Call) bool {
		return func(c *Call) bool {
			if c.settled() {
				*list = append(*list, c.Summary(now))
			}
			return len(*list) < most
		}
	}
	f.calls.latest(short(&t.Calls))
	f.troubled.latest(short(&t.Failures))
	f.containers.latest(func(c *Container) bool {
		t.Containers = append(t.Containers, c.Describe(now))
		return len(t.Containers) < most
	})
	return t
}
