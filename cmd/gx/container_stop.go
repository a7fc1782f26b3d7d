package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newContainerStopCmd(d deps) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "stop CONTAINER",
		Short: "End a container, by its id",
		Long: `End a container, by its id: its exit hooks run within their grace period. What it
was at is given to another container, as if it had been lost.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runContainerStop(cmd.Context(), d, args[0], now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "at once, without a grace period")
	return cmd
}

func runContainerStop(ctx context.Context, d deps, id string, now bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.EndContainer(ctx, id, now); err != nil {
		return answer(err)
	}
	d.ui.Done("stopped "+id, "")
	return nil
}
