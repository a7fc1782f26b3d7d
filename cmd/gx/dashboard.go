package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newDashboardCmd(d deps) *cobra.Command {
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Open a web page that shows the host: apps, calls, containers, logs, versions, cost",
		Long: `Open a web page that shows the host: apps and their versions, functions and
calls, containers and cards, logs as they come, volumes, cost.

The address that is printed lets a browser in once, within five minutes; the
browser is known from then on. Where there is no desktop, open it yourself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDashboard(cmd.Context(), d, "", noBrowser)
		},
	}
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the address")
	return cmd
}

// runDashboard opens a place of the dashboard ("" = its first page).
func runDashboard(ctx context.Context, d deps, place string, noBrowser bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.Dashboard(ctx)
	if err != nil {
		return answer(err)
	}
	address := reply.Open + place
	d.ui.Println(address)
	open := opener(d.env)
	if noBrowser || open == nil {
		return nil
	}
	if err := open(address); err != nil {
		d.ui.Warn(fmt.Sprintf("no browser could be opened: %v", err))
	}
	return nil
}
