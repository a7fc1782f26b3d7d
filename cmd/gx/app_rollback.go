package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/remote/client"
)

func newAppRollbackCmd(d deps) *cobra.Command {
	var strategy string
	cmd := &cobra.Command{
		Use:   "rollback APP [VERSION]",
		Short: "Have a deployed app go back to an earlier version",
		Long: `Make a version of a deployed app that is as an earlier one: the same images and
files, nothing is built. Without VERSION it is the one before the current one.
An app that was stopped runs again.`,
		Example: "  gx app rollback pricing\n  gx app rollback pricing 3",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			version := 0
			if len(args) > 1 {
				var err error
				if version, err = versionArg(args[1]); err != nil {
					return err
				}
			}
			return runRepeat(cmd.Context(), d, strategy, func(ctx context.Context, c *client.Client) (api.Deployed, error) {
				return c.Rollback(ctx, d.inEnvironment(args[0]), api.RollbackRequest{Version: version, Strategy: strategy, Who: session.Who()})
			})
		},
	}
	strategyFlag(cmd, &strategy)
	return cmd
}

func newAppRolloverCmd(d deps) *cobra.Command {
	var strategy string
	cmd := &cobra.Command{
		Use:   "rollover APP",
		Short: "Replace the containers of a deployed app",
		Long: `Make a version of a deployed app that is as the current one, with containers of
its own: they read secrets and volumes anew. Nothing is built.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepeat(cmd.Context(), d, strategy, func(ctx context.Context, c *client.Client) (api.Deployed, error) {
				return c.Rollover(ctx, d.inEnvironment(args[0]), api.RolloverRequest{Strategy: strategy, Who: session.Who()})
			})
		},
	}
	strategyFlag(cmd, &strategy)
	return cmd
}

func strategyFlag(cmd *cobra.Command, strategy *string) {
	cmd.Flags().StringVar(strategy, "strategy", api.Rolling, "how containers are replaced: rolling, or recreate")
}

// versionArg reads a version as users write it: 3, or v3.
func versionArg(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
	if err != nil || n < 1 {
		return 0, exit.With(exit.Usage, fmt.Errorf("%q is no version: they count from 1, and gx app history shows them", text))
	}
	return n, nil
}

// runRepeat has a version made of an earlier one.
func runRepeat(ctx context.Context, d deps, strategy string, repeat func(context.Context, *client.Client) (api.Deployed, error)) error {
	if !slices.Contains([]string{api.Rolling, api.Recreate}, strategy) {
		return exit.With(exit.Usage, fmt.Errorf("--strategy %s: it can be %s or %s", strategy, api.Rolling, api.Recreate))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	done, err := repeat(ctx, c)
	if err != nil {
		if refusedAs(err, "start_failed") {
			return d.trouble(ctx, session.NotDeployed(err))
		}
		return answer(err)
	}
	session.ShowDeployed(d.ui, done)
	return nil
}
