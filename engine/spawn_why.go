package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/wire"
)

// whyUnfinished tells of a spawned call that waits for its app, whatever is
// known of what became of it in an earlier host.
func (e *Engine) whyUnfinished(w *api.Why, s subject) (bool, error) {
	return e.whySpawned(w, s, func(c spawned.Call) bool { return c.Finished.IsZero() })
}

// whyKept tells what is kept of a spawned call that nothing else is known of.
func (e *Engine) whyKept(w *api.Why, s subject) (bool, error) {
	return e.whySpawned(w, s, func(spawned.Call) bool { return true })
}

func (e *Engine) whySpawned(w *api.Why, s subject, which func(spawned.Call) bool) (bool, error) {
	if s.kind != "call" && s.kind != "input" {
		return false, nil
	}
	c, err := e.spawned.Find(context.Background(), s.id)
	if errors.Is(err, spawned.ErrUnknown) || errors.Is(err, spawned.ErrDropped) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !which(c) {
		return false, nil
	}
	m := c.Meta()
	t := api.CallTrace{
		ID: m.ID, AppName: m.App, Function: m.Function, Method: m.Open.Method, Kind: call.KindSpawn, State: "waiting", Opened: m.Created,
		Took: e.cfg.Clock.Now().Sub(m.Created).Seconds(), Inputs: c.Inputs, Waiting: c.Inputs - c.Done, Answered: c.Done, Failed: c.Failed,
	}
	var answer []string
	if c.Finished.IsZero() {
		answer = append(answer, fmt.Sprintf("Its app %s is not running: the call waits until it is.", m.App))
	} else {
		t.State, t.Took = "done", c.Finished.Sub(m.Created).Seconds()
		switch {
		case c.Inputs == 1 && c.Failed == 0:
			answer = append(answer, "It is done, and has a result.")
		case c.Inputs > 1:
			answer = append(answer, fmt.Sprintf("It is done: of %d inputs, %d failed.", c.Inputs, c.Failed))
		}
	}
	answer = append(answer, hostsEnded(c.Hosts)...)
	failures, err := e.keptFailures(c)
	if err != nil {
		return false, err
	}
	for _, in := range failures {
		if s.kind == "call" || in.Index == s.index {
			answer = append(answer, fmt.Sprintf("Input %d failed: %s.", in.Index, strings.TrimSuffix(in.Attempts[0].Error, ".")))
		}
	}
	t.Failures = failures
	w.Answer = answer
	if s.kind == "call" {
		w.Call = &t
		return true, nil
	}
	if int64(s.index) >= c.Inputs {
		return false, nil
	}
	in := api.InputTrace{ID: w.Ref, Index: s.index, State: t.State, Took: t.Took, Attempts: []api.Attempt{}}
	for _, f := range failures {
		if f.Index == s.index {
			in = f
		}
	}
	w.Input = &in
	return true, nil
}

// hostsEnded says how often a call was begun again.
func hostsEnded(n int) []string {
	switch n {
	case 0:
		return nil
	case 1:
		return []string{"The host has ended once while it was not done; what had no answer was done again."}
	}
	return []string{fmt.Sprintf("The host has ended %d times while it was not done; what had no answer was done again.", n)}
}

// keptFailures are some inputs of a call that failed.
func (e *Engine) keptFailures(c spawned.Call) ([]api.InputTrace, error) {
	if c.Failed == 0 {
		return nil, nil
	}
	kinds, err := c.Indexes(context.Background())
	if err != nil {
		return nil, err
	}
	const most = 3
	var list []api.InputTrace
	for i, kind := range kinds {
		if kind != int(wire.Error) && kind != int(wire.Fail) || len(list) == most {
			continue
		}
		f, err := c.Answer(uint32(i))
		if err != nil {
			return nil, err
		}
		at := api.Attempt{Number: c.Hosts + 1, Outcome: "raised", Error: spawned.Failure(f)}
		if kind == int(wire.Fail) {
			at.Outcome = "lost"
		}
		if f.File != nil {
			_ = f.File.Close()
		}
		list = append(list, api.InputTrace{
			ID: fmt.Sprintf("in-%s-%d", strings.TrimPrefix(c.Meta().ID, "fc-"), i), Index: uint32(i), State: "failed", Attempts: []api.Attempt{at},
		})
	}
	return list, nil
}

// restored says how often a call that is live was begun again.
func (e *Engine) restored(id string) []string {
	c, err := e.spawned.Find(context.Background(), id)
	if err != nil {
		return nil
	}
	return hostsEnded(c.Hosts)
}
