package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

type hostStartOptions struct {
	hostOptions
	foreground bool
	standBy    bool
}

func newHostStartCmd(d deps) *cobra.Command {
	var o hostStartOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the host, unless it is running",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.idle < 0 {
				return exit.With(exit.Usage, fmt.Errorf("--idle-timeout must not be negative, it is %v", o.idle))
			}
			if o.foreground {
				return runHostForeground(cmd.Context(), d, o.hostOptions, o.standBy)
			}
			return runHostStart(cmd.Context(), d, o.hostOptions)
		},
	}
	cmd.Flags().StringVar(&o.runtime, "runtime", "", "how containers are made: runc or process; empty = runc where it is possible")
	cmd.Flags().DurationVar(&o.idle, "idle-timeout", 0, "end the host after this time without work; 0 = the default")
	cmd.Flags().BoolVar(&o.foreground, "foreground", false, "be the host, until it is idle or told to end: for service managers and containers")
	cmd.Flags().BoolVar(&o.standBy, "stand-by", false, "with --foreground: while another host runs, wait for its end")
	return cmd
}

func runHostStart(ctx context.Context, d deps, o hostOptions) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.ensure(ctx, o)
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
