package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

type whyOptions struct {
	ref  string
	json bool
}

func newWhyCmd(d deps) *cobra.Command {
	var o whyOptions
	cmd := &cobra.Command{
		Use:   "why CALL|INPUT|CONTAINER|FUNCTION",
		Short: "Say why a call waits, was slow, failed or was tried again",
		Long: `Say why something waits, was slow, failed or was tried again:

    a call        fc-...  what it waits for, where its time went, its slowest and failed inputs
    an input      in-...  each of its attempts
    a container   co-...  why it was started, what its start took, how it ended
    a function    its name, APP/NAME or fu-...  what its pool wants and why, its last calls

The host remembers the last few hundred calls and containers of each function,
and keeps those of apps that have ended in its state directory (16 to 32 MiB).`,
		Example: "gx why fc-mfrggzdfmztwq2lk\ngx why train\ngx why trainer/train --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ref = args[0]
			return runWhy(cmd.Context(), d, o)
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "for programs")
	return cmd
}

func runWhy(ctx context.Context, d deps, o whyOptions) error {
	if strings.Trim(o.ref, "./") == "" {
		return exit.With(exit.Usage, fmt.Errorf("%q names nothing: give a call's, an input's or a container's id, or a function", o.ref))
	}
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.Why(ctx, o.ref)
	if err != nil {
		return answer(err)
	}
	if o.json {
		return d.ui.JSON(w)
	}
	showWhy(d, w)
	return nil
}

func showWhy(d deps, w api.Why) {
	switch {
	case w.Call != nil:
		showCall(d, w)
	case w.Input != nil:
		d.ui.Heading(w.Input.ID + "  " + w.Input.State)
		d.ui.Paragraphs(w.Answer)
		showPhases(d, w.Input.Phases)
	case w.Container != nil:
		c := w.Container
		d.ui.Heading(fmt.Sprintf("%s  %s/%s  %s  asked for %s", c.ID, c.AppName, c.Function, c.State, ui.Ago(d.now(), c.Asked)))
		d.ui.Paragraphs(w.Answer)
		showPhases(d, c.Phases)
	default:
		showFunctions(d, w)
	}
}

func showCall(d deps, w api.Why) {
	c := w.Call
	name := c.AppName + "/" + c.Function
	if c.Method != "" {
		name += "." + c.Method
	}
	d.ui.Heading(fmt.Sprintf("%s  %s of %s  %s  %s", c.ID, c.Kind, name, c.State, ui.Ago(d.now(), c.Opened)))
	d.ui.Paragraphs(w.Answer)
	showPhases(d, c.Phases)
	if c.Inputs == 1 {
		return
	}
	for _, part := range []struct {
		title  string
		inputs []api.InputTrace
	}{{"Running now", c.Live}, {"Failed or tried again", c.Failures}, {"Slowest", c.Slowest}} {
		if len(part.inputs) > 0 {
			d.ui.Println("")
			d.ui.Heading(part.title)
		}
		for _, in := range part.inputs {
			showInput(d, in)
		}
	}
}

func showInput(d deps, in api.InputTrace) {
	d.ui.Println(fmt.Sprintf("  %s  %s  %s", in.ID, in.State, ui.Seconds(in.Took)))
	showPhases(d, in.Phases)
}

func showPhases(d deps, phases []api.Phase) {
	var bars []ui.Bar
	for _, p := range phases {
		bars = append(bars, ui.Bar(p))
	}
	d.ui.Waterfall(bars)
}

func showFunctions(d deps, w api.Why) {
	for i, f := range w.Functions {
		name := f.AppName + "/" + f.Function
		if len(w.Functions) > 1 {
			name += "  " + f.Pool
		} else {
			name += "  " + f.ID
		}
		d.ui.Heading(name)
		if i == 0 {
			d.ui.Paragraphs(w.Answer)
		}
		showCalls(d, f.Calls)
		var rows [][]string
		for _, c := range f.Containers {
			rows = append(rows, []string{c.ID, c.State, fmt.Sprint(c.Inputs), ui.Seconds(startOf(c)), ui.Seconds(c.Lived), clip(c.Reason)})
		}
		if len(rows) > 0 {
			d.ui.Println("")
			d.ui.Table([]string{"CONTAINER", "STATE", "INPUTS", "START", "LIVED", "ENDED BECAUSE"}, rows)
		}
	}
}

func showCalls(d deps, calls []api.CallTrace) {
	var rows [][]string
	for _, c := range calls {
		id := c.ID
		if id == "" {
			id = "-"
		}
		rows = append(rows, []string{id, c.Kind, c.State, fmt.Sprint(c.Inputs), fmt.Sprint(c.Failed), fmt.Sprint(c.Retries),
			ui.Seconds(c.Queue.Mean), ui.Seconds(c.Run.Mean), ui.Seconds(c.Took), ui.Ago(d.now().Truncate(time.Second), c.Opened)})
	}
	if len(rows) > 0 {
		d.ui.Println("")
		d.ui.Table([]string{"CALL", "KIND", "STATE", "INPUTS", "FAILED", "RETRIES", "QUEUE", "RUN", "TOOK", "OPENED"}, rows)
	}
}

// startOf is how long a container's start took, in seconds.
func startOf(c api.ContainerTrace) float64 {
	sum := 0.0
	for _, p := range c.Phases {
		sum += p.Took
	}
	return sum
}

// clip cuts a text to what fits behind a table.
func clip(s string) string {
	const most = 60
	for i, r := range s {
		if r == '\n' || i >= most {
			return s[:i] + "..."
		}
	}
	return s
}
