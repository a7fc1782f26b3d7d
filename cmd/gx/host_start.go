package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

type hostStartOptions struct {
	runtime string
	idle    time.Duration
}

func newHostStartCmd(d deps) *cobra.Command {
	var o hostStartOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the host, unless it is running",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostStart(cmd.Context(), d, o)
		},
	}
	cmd.Flags().StringVar(&o.runtime, "runtime", "", "how containers are made: runc or process; empty = runc where it is possible")
	cmd.Flags().DurationVar(&o.idle, "idle-timeout", 0, "end the host after this time without work; 0 = the default")
	return cmd
}

func runHostStart(ctx context.Context, d deps, o hostStartOptions) error {
	if o.idle < 0 {
		return exit.With(exit.Usage, fmt.Errorf("--idle-timeout must not be negative, it is %v", o.idle))
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.ensure(ctx, hostOptions(o))
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status(ctx)
	if err != nil {
		return answer(err)
	}
	d.ui.Done(fmt.Sprintf("host %d is ready at %s", status.Pid, status.Address), "runtime "+status.Runtime+", images by "+status.Engine)
	return nil
}
