package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newAppHistoryCmd(d deps) *cobra.Command {
	var asJSON, actions bool
	cmd := &cobra.Command{
		Use:   "history APP",
		Short: "Show the versions of a deployed app",
		Long: `Show the versions of a deployed app, the newest first. One can go back to those
that are kept: ` + "`gx app rollback`" + `. With --actions, show what was done with it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAppHistory(cmd.Context(), d, args[0], actions, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	cmd.Flags().BoolVar(&actions, "actions", false, "what was done: deployments, rollbacks, stops")
	return cmd
}

func runAppHistory(ctx context.Context, d deps, app string, actions, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := c.Deployment(ctx, d.inEnvironment(app))
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(found)
	}
	if found.Error != "" {
		d.ui.Warn(fmt.Sprintf("%s could not be started by this host: %s", session.Title(found.Environment, found.Name), found.Error))
	}
	if actions {
		showActions(d, found.History)
		return nil
	}
	var rows [][]string
	for _, v := range found.Versions {
		state := v.State
		switch {
		case v.Number == found.Current && found.State != "deployed":
			state = found.State
		case !v.Kept:
			state = "not kept"
		}
		rows = append(rows, []string{fmt.Sprint(v.Number), state, ui.Ago(d.now(), v.Created), v.Tag, origin(v.Origin, v.Of), v.Strategy, v.Source, v.Who})
	}
	d.ui.Table([]string{"VERSION", "STATE", "DEPLOYED", "TAG", "BY", "STRATEGY", "SOURCE", "WHO"}, rows)
	return nil
}

// origin is what made a version.
func origin(what string, of int) string {
	if of > 0 {
		return fmt.Sprintf("%s of %d", what, of)
	}
	return what
}

func showActions(d deps, history []api.AppAction) {
	var rows [][]string
	for _, a := range history {
		var change []string
		for _, n := range []int{a.Before, a.Version} {
			if n == 0 {
				change = append(change, "-")
			} else {
				change = append(change, fmt.Sprint(n))
			}
		}
		rows = append(rows, []string{a.Time.Local().Format("2006-01-02 15:04:05"), a.What, strings.Join(change, " → "), a.Note, a.Who})
	}
	d.ui.Table([]string{"TIME", "ACTION", "VERSION", "NOTE", "WHO"}, rows)
}
