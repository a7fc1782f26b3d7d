package engine

import (
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
	w := api.Why{Ref: ref}
	known := false
	switch {
	case strings.HasPrefix(ref, "fc-"):
		w.Kind = "call"
		known = e.whyCall(&w, ref)
	case strings.HasPrefix(ref, "in-"):
		w.Kind = "input"
		known = e.whyInput(&w, ref)
	case strings.HasPrefix(ref, "co-"):
		w.Kind = "container"
		known = e.whyContainer(&w, ref)
	default:
		w.Kind = "function"
		known = e.whyFunction(&w, ref)
	}
	if !known {
		return w, fmt.Errorf("this host knows no %s %q: it remembers the last few hundred of each function, until it ends: %w", w.Kind, ref, ErrNotFound)
	}
	return w, nil
}

func (e *Engine) whyCall(w *api.Why, id string) bool {
	for _, f := range e.pools() {
		if t, waits, ok := f.WhyCall(id); ok {
			w.Call, w.Waits, w.Answer = &t, waits, trace.AnswerCall(t, waits)
			return true
		}
	}
	for _, f := range e.host.Trace.Ended() {
		if c := f.Call(id); c != nil {
			t := c.Describe(e.cfg.Clock.Now(), f.Container)
			w.Call, w.Answer = &t, trace.AnswerCall(t, nil)
			return true
		}
	}
	return false
}

// whyInput takes "in-" + what follows "fc-" of the call's id + "-" + index.
func (e *Engine) whyInput(w *api.Why, id string) bool {
	dash := strings.LastIndexByte(id, '-')
	index, err := strconv.ParseUint(id[dash+1:], 10, 32)
	if err != nil || dash <= len("in-") {
		return false
	}
	call := "fc-" + id[len("in-"):dash]
	for _, f := range e.pools() {
		if t, waits, ok := f.WhyInput(call, uint32(index)); ok {
			w.Input, w.Waits, w.Answer = &t, waits, trace.AnswerInput(t, waits)
			return true
		}
	}
	for _, f := range e.host.Trace.Ended() {
		if c := f.Call(call); c != nil {
			t, ok := c.Input(uint32(index), nil, e.cfg.Clock.Now(), f.Container)
			w.Input, w.Answer = &t, trace.AnswerInput(t, nil)
			return ok
		}
	}
	return false
}

func (e *Engine) whyContainer(w *api.Why, id string) bool {
	for _, f := range e.pools() {
		if t, ok := f.WhyContainer(id); ok {
			w.Container, w.Answer = &t, trace.AnswerContainer(t)
			return true
		}
	}
	for _, f := range e.host.Trace.Ended() {
		if c := f.Container(id); c != nil {
			t := c.Describe(e.cfg.Clock.Now())
			w.Container, w.Answer = &t, trace.AnswerContainer(t)
			return true
		}
	}
	return false
}

// whyFunction tells of the function by that name in the newest app that has
// one: apps that run come first.
func (e *Engine) whyFunction(w *api.Why, name string) bool {
	app := ""
	is := func(id, appID, appName, fn string) bool {
		if app != "" && appID != app {
			return false
		}
		return slices.Contains([]string{id, fn, appName + "/" + fn, appName + "." + fn, appID + "/" + fn}, name) && name != ""
	}
	add := func(t api.FunctionTrace) {
		app = t.App
		if len(w.Functions) < maxPools {
			w.Functions = append(w.Functions, t)
			w.Answer = append(w.Answer, trace.AnswerFunction(t)...)
		}
	}
	pools := e.pools()
	slices.SortStableFunc(pools, func(a, b *function.Function) int { return strings.Compare(a.Owner().Pool, b.Owner().Pool) })
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	slices.Reverse(apps) // the newest
	for _, a := range apps {
		for _, f := range pools {
			if f.Owner().App == a.id && is(f.ID(), a.id, a.name, f.Name()) {
				add(f.Why())
			}
		}
		if app != "" {
			return true
		}
	}
	for _, f := range e.host.Trace.Ended() {
		if is(f.ID, f.App, f.AppName, f.Name) {
			t := f.Describe(maxPools, e.cfg.Clock.Now())
			t.Ended = true
			add(t)
		}
	}
	return app != ""
}
