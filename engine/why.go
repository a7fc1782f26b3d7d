package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/trace"
)

// maxPools is how many variants of a function are told of at once.
const maxPools = 10

// Why says why a call (fc-...), an input (in-...), a container (co-...) or a
// function (its name, APP/NAME, APP.NAME or fu-...) waits, was slow or failed.
// Those that have ended are known as long as package trace remembers them.
func (e *Engine) Why(ref string) (api.Why, error) {
	about, err := parse(ref)
	if err != nil {
		return api.Why{Ref: ref}, err
	}
	w := api.Why{Ref: ref, Kind: about.kind}
	for _, look := range []func(*api.Why, subject) (bool, error){e.whyLive, e.whyUnfinished, e.whyEnded, e.whyPast, e.whyKept} {
		if known, err := look(&w, about); known || err != nil {
			return w, err
		}
	}
	return w, fmt.Errorf("this host knows no %s %q (it remembers the last few hundred of each function): %w", w.Kind, ref, ErrNotFound)
}

// subject is what Why is asked about.
type subject struct {
	kind  string // as in api.Why
	id    string // of a call or container, or the name of a function
	index uint32 // of an input, whose call is id
}

func parse(ref string) (subject, error) {
	switch {
	case strings.HasPrefix(ref, "fc-"):
		return subject{kind: "call", id: ref}, nil
	case strings.HasPrefix(ref, "co-"):
		return subject{kind: "container", id: ref}, nil
	case strings.HasPrefix(ref, "in-"): // and what follows "fc-" of the call's id, and the index
		dash := strings.LastIndexByte(ref, '-')
		index, err := strconv.ParseUint(ref[dash+1:], 10, 32)
		if err != nil || dash <= len("in-") {
			return subject{}, fmt.Errorf("%q is not the id of an input: these end with the input's number: %w", ref, ErrInvalid)
		}
		return subject{kind: "input", id: "fc-" + ref[len("in-"):dash], index: uint32(index)}, nil
	case ref == "":
		return subject{}, fmt.Errorf("a call, an input, a container or a function has to be named: %w", ErrInvalid)
	}
	return subject{kind: "function", id: ref}, nil
}

// names reports whether a function is the one that is asked about.
func (s subject) names(id, appID, appName, name string) bool {
	return slices.Contains([]string{id, name, appName + "/" + name, appName + "." + name, appID + "/" + name}, s.id)
}

// whyLive asks the functions that run.
func (e *Engine) whyLive(w *api.Why, s subject) (bool, error) {
	if s.kind == "function" {
		return e.whyFunction(w, s), nil
	}
	for _, f := range e.pools() {
		switch s.kind {
		case "call":
			if t, waits, ok := f.WhyCall(s.id); ok {
				w.Call, w.Waits, w.Answer = &t, waits, trace.AnswerCall(t, waits)
				w.Answer = append(w.Answer, e.restored(s.id)...)
				return true, nil
			}
		case "input":
			if t, waits, ok := f.WhyInput(s.id, s.index); ok {
				w.Input, w.Waits, w.Answer = &t, waits, trace.AnswerInput(t, waits)
				return true, nil
			}
		case "container":
			if t, ok := f.WhyContainer(s.id); ok {
				w.Container, w.Answer = &t, trace.AnswerContainer(t)
				return true, nil
			}
		}
	}
	return false, nil
}

// whyFunction tells of the pools of the function by that name, in the newest app
// that has one.
func (e *Engine) whyFunction(w *api.Why, s subject) bool {
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	for _, a := range slices.Backward(apps) {
		for _, d := range a.definitions() {
			if !s.names(d.id, a.id, a.title(), d.name) {
				continue
			}
			pools := d.list()
			slices.SortFunc(pools, func(a, b *function.Function) int {
				return cmp.Or(cmp.Compare(len(a.Owner().Pool), len(b.Owner().Pool)), cmp.Compare(a.Owner().Pool, b.Owner().Pool))
			})
			for _, f := range pools[:min(len(pools), maxPools)] {
				t := f.Why()
				w.Functions, w.Answer = append(w.Functions, t), append(w.Answer, trace.AnswerFunction(t)...)
			}
			return true
		}
	}
	return false
}

// whyEnded looks into the records of functions that have ended.
func (e *Engine) whyEnded(w *api.Why, s subject) (bool, error) {
	now := e.cfg.Clock.Now()
	for _, f := range e.host.Trace.Ended() {
		switch s.kind {
		case "call", "input":
			c := f.Call(s.id)
			if c == nil {
				continue
			}
			if s.kind == "call" {
				t := c.Describe(now, f.Container)
				w.Call, w.Answer = &t, trace.AnswerCall(t, nil)
				return true, nil
			}
			t, ok := c.Input(s.index, nil, now, f.Container)
			w.Input, w.Answer = &t, trace.AnswerInput(t, nil)
			return ok, notKept(s, ok)
		case "container":
			if c := f.Container(s.id); c != nil {
				t := c.Describe(now)
				w.Container, w.Answer = &t, trace.AnswerContainer(t)
				return true, nil
			}
		case "function":
			// Its pools follow one another.
			same := len(w.Functions) == 0 && s.names(f.ID, f.App, f.AppName, f.Name) || len(w.Functions) > 0 && w.Functions[0].ID == f.ID
			if same && len(w.Functions) < maxPools {
				t := f.Describe(maxPools, now)
				t.Ended = true
				w.Functions, w.Answer = append(w.Functions, t), append(w.Answer, trace.AnswerFunction(t)...)
			}
		}
	}
	return len(w.Functions) > 0, nil
}

// notKept says why nothing is known of an input of a call that is known.
func notKept(s subject, ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("input %d of %s was neither one of its slowest nor one of the first that failed, so its times were not kept; gx why %s tells of the call: %w", s.index, s.id, s.id, ErrNotFound)
}

// whyPast looks into what earlier hosts have left.
func (e *Engine) whyPast(w *api.Why, s subject) (bool, error) {
	kind, text := s.kind, s.id
	switch s.kind {
	case "input":
		kind = "call"
	case "function":
		text = s.id[strings.LastIndexAny(s.id, "/.")+1:]
	}
	past, found, err := e.history.Find(text, func(p *api.Why) bool {
		if p.Kind != kind {
			return false
		}
		if kind == "function" && len(p.Functions) == 1 {
			f := p.Functions[0]
			return s.names(f.ID, f.App, f.AppName, f.Function)
		}
		return p.Ref == s.id
	})
	if err != nil || !found {
		return false, err
	}
	if s.kind != "input" {
		past.Ref = w.Ref
		*w = past
		return true, nil
	}
	for _, in := range slices.Concat(past.Call.Failures, past.Call.Slowest) {
		if in.Index == s.index {
			w.Input, w.Answer = &in, trace.AnswerInput(in, nil)
			return true, nil
		}
	}
	return false, notKept(s, false)
}
