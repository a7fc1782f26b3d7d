package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newAppStopCmd(d deps) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "stop APP",
		Short: "End an app, by id or name",
		Long: `End an app, by id or name: its exit hooks run within their grace period. A
deployed app stays ended; its versions are kept, and gx deploy or
` + "`gx app rollback`" + ` has it run again. Its images are then kept like any that nothing uses:
once they were pruned, gx deploy builds them anew.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAppStop(cmd.Context(), d, args[0], now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "at once, without a grace period")
	return cmd
}

func runAppStop(ctx context.Context, d deps, app string, now bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StopApp(ctx, d.inEnvironment(app), now); err != nil {
		return answer(err)
	}
	d.ui.Done("stopped "+app, "")
	return nil
}
