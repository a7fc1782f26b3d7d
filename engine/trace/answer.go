package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/pool"
)

// AnswerCall says in sentences why a call waits, where its time went, and why
// inputs of it failed or were tried again.
func AnswerCall(t api.CallTrace, waits *api.Waits) []string {
	var a []string
	if waits != nil {
		switch {
		case t.Waiting > 0:
			a = append(a, fmt.Sprintf("%s: %s.", inputsDo(t.Waiting, t.Inputs, "wait"), waits.Text))
		case t.Delayed > 0:
			a = append(a, fmt.Sprintf("%s to be tried again: %s.", inputsDo(t.Delayed, t.Inputs, "wait"), waits.Text))
		}
	}
	if t.Running > 0 {
		text := inputsDo(t.Running, t.Inputs, "run")
		if len(t.Live) > 0 && len(t.Live[0].Attempts) > 0 {
			at := t.Live[0].Attempts[len(t.Live[0].Attempts)-1]
			text += fmt.Sprintf(", the longest for %s, in %s", secs(at.Took), at.Container)
		}
		a = append(a, text+".")
		for i, in := range t.Live {
			if i == maxTold {
				break
			}
			a = append(a, awaits(in, t.Inputs > 1)...)
		}
	}
	if s := spent(t.Phases, t.Took, t.State == "done", t.Inputs); s != "" && (waits == nil || len(t.Phases) > 1) {
		a = append(a, s)
	}
	if t.Inputs > 1 && t.Answered > 0 {
		a = append(a, fmt.Sprintf("An input waited for %s (at most %s) and ran for %s (at most %s) on average.",
			secs(t.Queue.Mean), secs(t.Queue.Max), secs(t.Run.Mean), secs(t.Run.Max)))
	}
	if t.Failed > 0 {
		a = append(a, inputsDo(t.Failed, t.Inputs, "failed")+".")
	}
	if t.Retries > 0 {
		a = append(a, fmt.Sprintf("%s failed and %s followed by another.", plural(t.Retries, "attempt"), was(t.Retries)))
	}
	for i, in := range t.Failures {
		if i == maxTold {
			break
		}
		a = append(a, failure(in, t.Inputs > 1))
	}
	return a
}

// maxTold is how many inputs that failed are told of in sentences.
const maxTold = 3

// AnswerInput is AnswerCall for one input.
func AnswerInput(t api.InputTrace, waits *api.Waits) []string {
	var a []string
	switch {
	case waits != nil:
		a = append(a, fmt.Sprintf("It waits: %s.", waits.Text))
	case t.State == "running" && len(t.Attempts) > 0:
		at := t.Attempts[len(t.Attempts)-1]
		a = append(a, fmt.Sprintf("It has been running for %s, in %s.", secs(at.Took), at.Container))
		a = append(a, awaits(t, false)...)
	}
	if s := spent(t.Phases, t.Took, t.State == "done" || t.State == "failed", 1); s != "" && (waits == nil || len(t.Phases) > 1) {
		a = append(a, s)
	}
	if slices.ContainsFunc(t.Attempts, func(at api.Attempt) bool { return at.Outcome != "ok" && at.Outcome != "running" }) {
		a = append(a, failure(t, false))
	}
	return a
}

// AnswerContainer says why a container was started, what its start took, and
// why it ended.
func AnswerContainer(t api.ContainerTrace) []string {
	var a []string
	if len(t.Why) > 0 {
		var texts []string
		for _, r := range t.Why {
			texts = append(texts, r.Text)
		}
		a = append(a, "It was started because "+strings.Join(texts, "; ")+".")
	}
	total := 0.0
	for _, p := range t.Phases {
		total += p.Took
	}
	switch t.State {
	case "starting":
		if len(t.Phases) > 0 {
			p := t.Phases[len(t.Phases)-1]
			a = append(a, fmt.Sprintf("It is starting: it has been %s for %s.", into(p.Name, 1), secs(p.Took)))
		}
	default:
		if s := spent(t.Phases, total, true, 1); s != "" {
			a = append(a, strings.Replace(s, "It took", "Its start took", 1))
		}
	}
	switch {
	case t.State == "ready":
		a = append(a, fmt.Sprintf("It is ready, was given %s, and runs %d now.", plural(t.Inputs, "input"), t.Running))
	case t.State == "stopping":
		a = append(a, fmt.Sprintf("It is being ended: %s.", t.Reason))
	case t.State == "ended" && t.Wanted:
		a = append(a, fmt.Sprintf("It was ended after %s and %s: %s.", secs(t.Lived), plural(t.Inputs, "input"), cmp.Or(t.Reason, "it was done")))
	case t.State == "ended":
		a = append(a, fmt.Sprintf("It ended by itself after %s and %s: %s.", secs(t.Lived), plural(t.Inputs, "input"), cmp.Or(t.Reason, t.Exit, "nobody knows why")))
	}
	if t.Peak > 0 && t.Limit > 0 {
		a = append(a, fmt.Sprintf("It used at most %s of %s of memory.", pool.Bytes(t.Peak), pool.Bytes(t.Limit)))
	}
	return a
}

// AnswerFunction says what a function does now, and why it has as many
// containers as it has.
func AnswerFunction(t api.FunctionTrace) []string {
	if t.Ended {
		a := []string{"Its app has ended; this is what became of its last calls."}
		return append(a, troubles(t)...)
	}
	a := []string{fmt.Sprintf("%s and %s now, in %s (%d starting).", does(t.Queued, "waits", "wait"), does(t.Running, "runs", "run"),
		plural(int64(t.Starting+t.Ready+t.Stopping), "container"), t.Starting)}
	if t.Waits != nil {
		a = append(a, fmt.Sprintf("Inputs wait: %s.", t.Waits.Text))
	}
	var texts []string
	for _, r := range t.Rules {
		texts = append(texts, r.Text)
	}
	a = append(a, fmt.Sprintf("The pool wants %s: %s.", plural(int64(t.Want), "container"), strings.Join(texts, "; ")))
	return append(a, troubles(t)...)
}

func troubles(t api.FunctionTrace) []string {
	var failed, retried int64
	for _, c := range t.Failures {
		failed += c.Failed
		retried += c.Retries
	}
	if failed+retried == 0 {
		return nil
	}
	text := fmt.Sprintf("In its last calls %s failed", plural(failed, "input"))
	if retried > 0 {
		text += fmt.Sprintf(", and %s %s followed by another", plural(retried, "attempt"), was(retried))
	}
	return []string{text + "."}
}

// awaits says which calls an input waits for that its code has made.
func awaits(in api.InputTrace, named bool) []string {
	if len(in.Awaits) == 0 {
		return nil
	}
	first := in.Awaits[0]
	text := fmt.Sprintf("%s waits for its call %s of %s/%s", subject(in, named), first.Call, first.AppName, first.Function)
	if n := len(in.Awaits) - 1; n > 0 {
		text += fmt.Sprintf(" and %s", plural(int64(n), "other"))
	}
	return []string{text + "."}
}

func subject(in api.InputTrace, named bool) string {
	if named {
		return fmt.Sprintf("Input %d", in.Index)
	}
	return "It"
}

// spent says what most of a time went into.
func spent(phases []api.Phase, took float64, over bool, inputs int64) string {
	if took < 0.001 || len(phases) == 0 {
		return ""
	}
	sums := map[string]float64{}
	var names []string
	for _, p := range phases {
		if _, known := sums[p.Name]; !known {
			names = append(names, p.Name)
		}
		sums[p.Name] += p.Took
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(sums[b], sums[a]) })
	var parts []string
	for _, n := range names {
		if share := sums[n] / took; share >= 0.1 && len(parts) < 3 {
			parts = append(parts, fmt.Sprintf("%s (%d %%) %s", secs(sums[n]), int(share*100+0.5), into(n, inputs)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	verb := "It took"
	if !over {
		verb = "So far it has taken"
	}
	return fmt.Sprintf("%s %s: %s.", verb, secs(took), strings.Join(parts, ", "))
}

// into says what a phase's time went into.
func into(phase string, inputs int64) string {
	texts := map[string]string{
		"transfer": "moving its data", "queue": "waiting in the queue", "retry_delay": "waiting between attempts", "run": "running",
		"turn": "waiting until other containers had started", "image": "preparing the image", "template": "loading what it is forked from", "start": "setting up the container", "fork": "forking the container",
		"python": "starting Python", "import": "importing the module", "enter": "running enter hooks",
	}
	if phase == "run" && inputs > 1 {
		return "while inputs ran"
	}
	return cmp.Or(texts[phase], phase)
}

// failure tells the attempts of an input.
func failure(in api.InputTrace, named bool) string {
	var parts []string
	for _, at := range in.Attempts {
		text := fmt.Sprintf("attempt %d", at.Number)
		if at.Number == 0 {
			parts = append(parts, "it ended before its first attempt: "+ended(at))
			continue
		}
		if at.Container != "" {
			text += " in " + at.Container
		}
		switch at.Outcome {
		case "ok":
			parts = append(parts, text+fmt.Sprintf(" succeeded in %s", secs(at.Took)))
			continue
		case "running":
			parts = append(parts, text+fmt.Sprintf(" has been running for %s", secs(at.Took)))
			continue
		}
		text += fmt.Sprintf(" ended after %s: %s", secs(at.Took), ended(at))
		if at.Again && at.Delay > 0 {
			text += fmt.Sprintf(", and was followed by another %s later", secs(at.Delay))
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s: %s.", subject(in, named), strings.Join(parts, "; "))
}

// ended says how an attempt ended.
func ended(at api.Attempt) string {
	texts := map[string]string{
		Raised: "it raised ", "timeout": "", "oom": "", "lost": "", "start": "", Import: "the function's module could not be imported: ", "cancelled": "cancelled: ",
	}
	text := strings.TrimRight(texts[at.Outcome]+at.Error, ". ")
	return cmp.Or(text, at.Outcome)
}

// secs is a number of seconds for people, in about three digits.
func secs(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", s)
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", s)
	}
	return d.Round(time.Second).String()
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func was(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func does(n int, one, many string) string {
	if n == 1 {
		return "1 input " + one
	}
	return fmt.Sprintf("%d inputs %s", n, many)
}

// inputsDo says how many of a call's inputs do something.
func inputsDo(n, of int64, verb string) string {
	third := map[string]string{"wait": "waits", "run": "runs", "failed": "failed"}[verb]
	switch {
	case of == 1:
		return "It " + third
	case n == of:
		return fmt.Sprintf("All its %d inputs %s", of, verb)
	case n == 1:
		return fmt.Sprintf("1 of its %d inputs %s", of, third)
	}
	return fmt.Sprintf("%d of its %d inputs %s", n, of, verb)
}
