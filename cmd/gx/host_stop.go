package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
)

func newHostStopCmd(d deps) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the host",
		Long:  "End the host. While apps are running it refuses, unless --force ends them too. It does nothing if no host is running.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostStop(cmd.Context(), d, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while apps are running")
	return cmd
}

func runHostStop(ctx context.Context, d deps, force bool) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.dial(ctx)
	if errors.Is(err, errNoHost) {
		d.ui.Notice("no host is running")
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.StopHost(ctx, force)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == "busy" {
		return exit.With(exit.UserCode, fmt.Errorf("%s; `gx host stop --force` ends what is running too", e.Message))
	}
	if err != nil {
		return answer(err)
	}
	d.ui.Done("the host has ended", "")
	return nil
}
