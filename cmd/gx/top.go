package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/top"
)

type topOptions struct {
	once   bool
	asJSON bool
	every  time.Duration
}

func newTopCmd(d deps) *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top",
		Short: "What the host is doing, live: apps, queues, containers, GPU memory, cost",
		Long: `What the host is doing, live: apps with what waits for them and what they cost,
containers with what they use of CPU, memory and GPU memory. Without a terminal,
or with --once, it is printed once; the use of CPU is then that of half a second.

Keys: q quit, p pause, s sort containers by CPU, memory, GPU memory or app,
r refresh now, + and - the speed, arrows scroll.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTop(cmd.Context(), d, o) },
	}
	cmd.Flags().BoolVar(&o.once, "once", false, "print it once and end")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "for programs, once")
	cmd.Flags().DurationVar(&o.every, "interval", time.Second, "how often it is refreshed")
	return cmd
}

// sample is how long --once looks at the use of CPU.
const sample = 500 * time.Millisecond

func runTop(ctx context.Context, d deps, o topOptions) error {
	if o.every < top.MinEvery || o.every > top.MaxEvery {
		return exit.With(exit.Usage, fmt.Errorf("--interval must be from %s to %s, not %s", top.MinEvery, top.MaxEvery, o.every))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if !o.once && !o.asJSON && term.IsTerminal(int(d.stdin.Fd())) && term.IsTerminal(int(d.stdout.Fd())) && d.env("TERM") != "dumb" {
		return exit.With(exit.Host, top.Run(ctx, top.Options{
			Ask: func(ctx context.Context) (api.Top, error) { return c.Top(ctx) }, Every: o.every, In: d.stdin, Out: d.stdout, Colour: d.env("NO_COLOR") == "",
		}))
	}
	now, err := c.Top(ctx)
	if err != nil {
		return answer(err)
	}
	if o.asJSON {
		return d.ui.JSON(now)
	}
	before := now
	if len(now.Containers) > 0 {
		select {
		case <-time.After(sample):
		case <-ctx.Done():
			return exit.Silently(exit.Interrupted)
		}
		if now, err = c.Top(ctx); err != nil {
			return answer(err)
		}
	}
	lines, _ := top.View{Now: now, Before: before}.Lines()
	for _, line := range lines {
		d.ui.Println(line)
	}
	return nil
}
