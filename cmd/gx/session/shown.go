package session

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// Shown prints what a host tells of one app, and remembers how far it got.
type Shown struct {
	ui      *ui.UI
	output  bool // false: the program asked for no output
	style   ui.LogStyle
	name    string
	printed uint64                         // the highest log line so far
	ready   map[string]map[string]struct{} // containers, by function
	most    map[string]int                 // of them at a time, as was told
	waiting map[string]string
}

// NewShown begins to show an app. Without output it only remembers.
func NewShown(u *ui.UI, output bool, style ui.LogStyle) *Shown {
	return &Shown{ui: u, output: output, style: style,
		ready: map[string]map[string]struct{}{}, most: map[string]int{}, waiting: map[string]string{}}
}

// Began tells the app's id and name.
func (s *Shown) Began(id, name string) {
	s.name = name
	if name == "" {
		s.name = id
	}
}

// Endpoints tells where the app's web endpoints are.
func (s *Shown) Endpoints(web map[string]string) {
	if !s.output {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(web)) {
		s.ui.Done(name, web[name])
	}
}

// Covers tells whether log lines up to seq were printed.
func (s *Shown) Covers(seq uint64) bool { return !s.output || s.printed >= seq }

// Message shows what the host told.
func (s *Shown) Message(m api.SessionMessage) {
	if m.Log != nil {
		s.printed = max(s.printed, m.Log.Seq)
	}
	if !s.output {
		return
	}
	switch {
	case m.Log != nil:
		s.ui.Log(*m.Log, s.style)
	case m.Container != nil:
		s.container(*m.Container)
	case m.Waiting != nil:
		s.wait(*m.Waiting)
	case m.Error != nil:
		s.ui.Problem(explain.Host(m.Error, ""))
	}
}

// container tells of the first container of a function, then each time their
// number has doubled: a thousand containers make ten lines.
func (s *Shown) container(e api.ContainerEvent) {
	ready := s.ready[e.Function]
	if ready == nil {
		ready = map[string]struct{}{}
		s.ready[e.Function] = ready
	}
	switch e.State {
	case "starting":
		if e.GPU != "" && len(ready) == 0 {
			s.ui.Notice(fmt.Sprintf("%s: starting a container with %s", e.Function, e.GPU))
		}
	case "ready":
		ready[e.ID] = struct{}{}
		delete(s.waiting, e.Function)
		n, first := len(ready), s.most[e.Function] == 0
		switch {
		case first:
			s.most[e.Function] = n
			s.ui.Notice(fmt.Sprintf("%s: container ready in %s", e.Function, ui.Seconds(e.Took)))
		case n >= 2*s.most[e.Function]:
			s.most[e.Function] = n
			s.ui.Notice(fmt.Sprintf("%s: %d containers ready", e.Function, n))
		}
	case "ended":
		delete(ready, e.ID)
		if e.Reason != "" {
			s.ui.Warn(fmt.Sprintf("%s: container %s ended: %s", e.Function, e.ID, e.Reason))
		}
	}
}

func (s *Shown) wait(w api.Waiting) {
	text := w.For
	if s.waiting[w.Function] == text {
		return
	}
	s.waiting[w.Function] = text
	s.ui.Notice(fmt.Sprintf("%s: %s waiting for %s (gx why %s)", w.Function, ui.Count(int64(w.Inputs), "input"), text, w.Function))
}

// Gone tells why the app has ended, where that was not asked for here.
func (s *Shown) Gone(reason string) {
	if s.output {
		s.ui.Notice(s.name + " stopped: " + reason)
	}
}

// Bill prints what the app used.
func (s *Shown) Bill(b api.Stopped) {
	if !s.output {
		return
	}
	var containers, inputs, failed int64
	var seconds, cost float64
	for _, u := range b.Usage {
		containers += int64(u.Containers)
		inputs += u.Inputs
		failed += u.Failed
		seconds += u.Seconds
		cost += u.Cost
	}
	failures := ""
	if failed > 0 {
		failures = fmt.Sprintf(" (%d failed)", failed)
	}
	s.ui.Done(fmt.Sprintf("%s took %s", s.name, ui.Seconds(b.Took)),
		fmt.Sprintf("%s, %s%s, %.1f container seconds, %s (emulated)",
			ui.Count(containers, "container"), ui.Count(inputs, "input"), failures, seconds, ui.Dollars(cost)))
	if b.Recalled > 0 {
		s.ui.Notice(fmt.Sprintf("  %d of %s were there already, from an earlier run", b.Recalled, ui.Count(b.Recalled+inputs, "result")))
	}
	for _, u := range b.Usage {
		if u.GPU == "" || u.Containers == 0 {
			continue
		}
		card := u.GPU
		if u.GPUs > 1 {
			card = fmt.Sprintf("%d × %s", u.GPUs, u.GPU)
		}
		if u.Emulated {
			card += " (emulated)"
		}
		s.ui.Notice(fmt.Sprintf("  %s: %s for %s, %s", u.Function, card,
			ui.Duration(time.Duration(u.Seconds*float64(time.Second))), ui.Dollars(u.Cost)))
	}
}
