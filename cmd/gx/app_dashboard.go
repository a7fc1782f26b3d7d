package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

func newAppDashboardCmd(d deps) *cobra.Command {
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "dashboard [APP]",
		Short: "Open the page about an app in the dashboard",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return runDashboard(cmd.Context(), d, "", noBrowser)
			}
			return runAppDashboard(cmd.Context(), d, args[0], noBrowser)
		},
	}
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the address")
	return cmd
}

func runAppDashboard(ctx context.Context, d deps, ref string, noBrowser bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	apps, err := c.Apps(ctx)
	if err != nil {
		return answer(err)
	}
	wanted := d.inEnvironment(ref)
	for _, a := range apps {
		name := a.Name
		if a.Environment != "" && a.Environment != "main" {
			name = a.Environment + "/" + name
		}
		if a.ID == wanted || name == wanted {
			return runDashboard(ctx, d, "#/app/"+url.PathEscape(a.ID), noBrowser)
		}
	}
	return exit.With(exit.UserCode, fmt.Errorf("no app %q runs or is deployed; gx app list shows those that are", ref))
}
