package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newAppListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List apps",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAppList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runAppList(ctx context.Context, d deps, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	apps, err := c.Apps(ctx)
	if err != nil {
		return answer(err)
	}
	in := cmp.Or(d.environment(), "main")
	apps = slices.DeleteFunc(apps, func(a api.App) bool { return a.Environment != in })
	if asJSON {
		return d.ui.JSON(apps)
	}
	var rows [][]string
	for _, a := range apps {
		version := ""
		if a.Version > 0 {
			version = fmt.Sprint(a.Version)
			if a.Tag != "" {
				version += " (" + a.Tag + ")"
			}
		}
		rows = append(rows, []string{a.ID, a.Name, a.State, version, ui.Ago(d.now(), a.Created), fmt.Sprint(a.Containers), strings.Join(a.Functions, ", ")})
	}
	d.ui.Table([]string{"APP", "NAME", "STATE", "VERSION", "CREATED", "CONTAINERS", "FUNCTIONS"}, rows)
	return nil
}
