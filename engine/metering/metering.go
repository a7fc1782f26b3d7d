// Package metering adds up what the functions of an app used: the app's bill.
package metering

import (
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/gpu"
)

// Meter is what one function used. It is safe for concurrent use.
type Meter struct {
	rate Rate

	mu      sync.Mutex
	usage   api.Usage
	running map[string]time.Time // containers that have not ended, and since when
	work    gpu.Work             // on the cards, where it was counted
}

// Rate is what one container of a function is set aside, by which it is priced.
type Rate struct {
	Function string
	Cores    float64
	Memory   int64 // bytes
	GPU      string
	GPUs     int
	Emulated bool // the cards are not real
	// Price is US dollars per second of one container.
	Price float64
}

// New makes a Meter.
func New(r Rate) *Meter {
	return &Meter{rate: r, running: map[string]time.Time{}, usage: api.Usage{
		Function: r.Function, GPU: r.GPU, GPUs: r.GPUs, Emulated: r.Emulated && r.GPU != "",
	}}
}

// Rate is what it was made with.
func (m *Meter) Rate() Rate { return m.rate }

// Started counts a container from now on.
func (m *Meter) Started(container string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.Containers++
	m.running[container] = at
}

// Ended stops counting a container.
func (m *Meter) Ended(container string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since, ok := m.running[container]; ok {
		delete(m.running, container)
		m.usage.Seconds += max(0, at.Sub(since).Seconds())
	}
}

// Inputs counts inputs that were answered, and how many of them failed.
func (m *Meter) Inputs(answered, failed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.Inputs += int64(answered)
	m.usage.Failed += int64(failed)
}

// Worked adds what a container has computed on its cards.
func (m *Meter) Worked(w gpu.Work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.work.Add(w)
}

// Work is what containers that have ended computed on their cards.
func (m *Meter) Work() gpu.Work {
	m.mu.Lock()
	defer m.mu.Unlock()
	var w gpu.Work
	w.Add(m.work)
	return w
}

// Add adds what a pool of a function used to what others of it did on the same
// cards.
func Add(sum []api.Usage, more api.Usage) []api.Usage {
	for i := range sum {
		if s := &sum[i]; s.GPU == more.GPU && s.GPUs == more.GPUs {
			s.Containers += more.Containers
			s.Seconds += more.Seconds
			s.Inputs += more.Inputs
			s.Failed += more.Failed
			s.Cost += more.Cost
			return sum
		}
	}
	return append(sum, more)
}

// Usage is what was used until now.
func (m *Meter) Usage(now time.Time) api.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage
	for _, since := range m.running {
		u.Seconds += max(0, now.Sub(since).Seconds())
	}
	u.Cost = u.Seconds * m.rate.Price
	return u
}
