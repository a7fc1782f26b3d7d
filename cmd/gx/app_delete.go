package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newAppDeleteCmd(d deps) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete APP",
		Short: "Forget a deployed app that was stopped",
		Long:  `Forget a deployed app that was stopped, with its versions and its history.`,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(yes, "Delete app "+args[0]+" with its versions?"); err != nil {
				return err
			}
			return runAppDelete(cmd.Context(), d, args[0])
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func runAppDelete(ctx context.Context, d deps, app string) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.DeleteDeployed(ctx, d.inEnvironment(app)); err != nil {
		return answer(err)
	}
	d.ui.Done("deleted "+app, "")
	return nil
}
