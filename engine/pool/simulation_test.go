package pool

import (
	"math/rand/v2"
	"testing"
	"time"
)

// simulation is a pool whose containers start, run inputs and stay idle as
// long as real ones, on a clock that only it turns.
type simulation struct {
	Settings
	startup, duration time.Duration
	now               time.Duration
	queue             []time.Duration // when each waiting input came
	starting          []time.Duration // when each container will be ready
	containers        []container
	measured, ready   Meter
	starts, stops     int
	longestWait       time.Duration
	most              int // containers at once
}

type container struct {
	ends []time.Duration // when each input that it runs will end, in order
	idle time.Duration   // since when it has none
}

const tick = 10 * time.Millisecond

// step lets one tick pass in which some inputs come.
func (s *simulation) step(t *testing.T, come int) {
	s.now += tick
	for range come {
		s.queue = append(s.queue, s.now)
	}
	left := s.starting[:0]
	for _, at := range s.starting {
		if at > s.now {
			left = append(left, at)
			continue
		}
		s.containers = append(s.containers, container{idle: s.now})
		s.ready.Add(1, s.startup)
	}
	s.starting = left
	for i := range s.containers {
		c := &s.containers[i]
		for len(c.ends) > 0 && c.ends[0] <= s.now {
			c.ends = c.ends[1:]
			s.measured.Add(1, s.duration)
			if len(c.ends) == 0 {
				c.idle = s.now
			}
		}
		for len(c.ends) < s.Target && len(s.queue) > 0 {
			s.longestWait = max(s.longestWait, s.now-s.queue[0])
			s.queue = s.queue[1:]
			c.ends = append(c.ends, s.now+s.duration)
		}
	}
	s.decide(t)
	s.most = max(s.most, len(s.containers)+len(s.starting))
}

func (s *simulation) decide(t *testing.T) {
	snapshot := Snapshot{Settings: s.Settings, Queued: len(s.queue), Starting: len(s.starting), Ready: len(s.containers), Startup: s.ready.Duration(), Newest: 1 << 62}
	snapshot.Duration = s.measured.Duration()
	if !s.measured.Sure() {
		snapshot.Duration, snapshot.Oldest = 0, snapshot.Duration
	}
	for _, c := range s.containers {
		snapshot.Running += len(c.ends)
		if len(c.ends) == 0 {
			snapshot.Idle = append(snapshot.Idle, s.now-c.idle)
			continue
		}
		snapshot.Oldest = max(snapshot.Oldest, s.now-(c.ends[0]-s.duration))
		snapshot.Newest = min(snapshot.Newest, s.now-(c.ends[len(c.ends)-1]-s.duration))
	}
	d := Decide(snapshot)
	have := len(s.containers) + len(s.starting)
	room := s.Max == 0 || have < s.Max
	switch {
	case s.Max > 0 && have+d.Start > s.Max:
		t.Fatalf("above max: %+v %+v", snapshot, d)
	case len(s.queue) > 0 && len(snapshot.Idle) > 0:
		t.Fatalf("inputs wait while a container is idle: %+v", snapshot)
	case len(s.queue) > 0 && have+d.Start == 0 && room:
		t.Fatalf("inputs wait, and no container is started: %+v %+v", snapshot, d)
	case d.Stop > 0 && (len(s.queue) > 0 || have-d.Stop < s.Min):
		t.Fatalf("one is stopped that is needed: %+v %+v", snapshot, d)
	}
	for range d.Start {
		s.starting = append(s.starting, s.now+s.startup)
		s.starts++
	}
	for range d.Stop {
		oldest := -1
		for i, c := range s.containers {
			if len(c.ends) == 0 && (oldest < 0 || c.idle < s.containers[oldest].idle) {
				oldest = i
			}
		}
		if idle := s.now - s.containers[oldest].idle; idle < s.Window {
			t.Fatalf("a container is stopped after %v of being idle, its window is %v", idle, s.Window)
		}
		s.containers = append(s.containers[:oldest], s.containers[oldest+1:]...)
		s.stops++
	}
}

// TestSteadyLoad gives pools the same load for long: the number of containers
// settles, nobody waits for ever, and in the end none is left.
func TestSteadyLoad(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := &simulation{
			Settings: Settings{Min: r.IntN(2), Max: []int{0, 0, 3, 20}[r.IntN(4)], Buffer: r.IntN(2), Window: time.Duration(2+r.IntN(20)) * time.Second, Target: 1 + r.IntN(4), Probe: 4},
			startup:  time.Duration(50+r.IntN(3000)) * time.Millisecond,
			duration: time.Duration(20+r.IntN(2000)) * time.Millisecond,
		}
		every := 1 + r.IntN(40) // ticks from input to input
		if s.Max > 0 {          // no more than they can work off
			for float64(s.duration)/float64(time.Duration(every)*tick) > 0.8*float64(s.Max*s.Target) {
				every++
			}
		}
		run := func(d time.Duration, load bool) {
			for i := range int(d / tick) {
				come := 0
				if load && i%every == 0 {
					come = 1
				}
				s.step(t, come)
			}
		}
		run(3*time.Minute, true)
		s.starts, s.stops, s.longestWait = 0, 0, 0
		run(5*time.Minute, true)
		describe := func(problem string) {
			t.Errorf("seed %d: %s: %+v, start %v, input %v every %v: %d starts, %d stops, %d containers, longest wait %v", seed, problem,
				s.Settings, s.startup, s.duration, time.Duration(every)*tick, s.starts, s.stops, len(s.containers), s.longestWait)
		}
		if s.starts > 3 || s.stops > 3 {
			describe("it flaps")
		}
		if limit := 2*(s.startup+s.duration) + time.Second; s.longestWait > limit {
			describe("inputs wait for too long")
		}
		run(s.Window+s.duration*2+s.startup+time.Second, false)
		if len(s.queue) > 0 || len(s.containers)+len(s.starting) != s.Min {
			describe("it does not come to rest")
		}
		if t.Failed() {
			return
		}
	}
}

// TestBursts gives pools bursts with pauses between them.
func TestBursts(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 8))
		s := &simulation{
			Settings: Settings{Min: r.IntN(3), Max: r.IntN(30), Buffer: r.IntN(3), Window: time.Duration(1+r.IntN(5)) * time.Second, Target: 1 + r.IntN(4), Probe: 4},
			startup:  time.Duration(10+r.IntN(2000)) * time.Millisecond,
			duration: time.Duration(1+r.IntN(500)) * time.Millisecond,
		}
		if s.Max > 0 {
			s.Min = min(s.Min, s.Max)
		}
		for range 10 {
			s.step(t, 1+r.IntN(300))
			for range r.IntN(2000) {
				s.step(t, 0)
			}
		}
		for range int((s.Window + s.startup + 300*10*s.duration) / tick) {
			s.step(t, 0)
			if len(s.queue) == 0 && len(s.starting) == 0 && len(s.containers) == s.Min {
				break
			}
		}
		if len(s.queue) > 0 || len(s.containers)+len(s.starting) != s.Min {
			t.Fatalf("seed %d: it does not come to rest: %+v, %d wait, %d containers", seed, s.Settings, len(s.queue), len(s.containers))
		}
		if s.Max > 0 && s.most > s.Max {
			t.Fatalf("seed %d: %d containers, at most %d are allowed", seed, s.most, s.Max)
		}
	}
}
