package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newAppDiffCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff APP VERSION [VERSION]",
		Short: "Show what differs between two versions of a deployed app",
		Long: `Show what differs between two versions of a deployed app, or one and the current
one: functions, their settings, the steps of their images, and the local files
that they have.`,
		Example: "  gx app diff pricing 3\n  gx app diff pricing 2 3",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := versionArg(args[1])
			if err != nil {
				return err
			}
			to := 0
			if len(args) > 2 {
				if to, err = versionArg(args[2]); err != nil {
					return err
				}
			}
			return runAppDiff(cmd.Context(), d, args[0], from, to, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runAppDiff(ctx context.Context, d deps, app string, from, to int, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	diff, err := c.Diff(ctx, d.inEnvironment(app), from, to)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(diff)
	}
	showDiff(d.ui, diff)
	return nil
}

func showDiff(u *ui.UI, diff api.Diff) {
	if diff.Same() {
		u.Println(fmt.Sprintf("versions %d and %d are the same", diff.From, diff.To))
		return
	}
	for _, name := range diff.Removed {
		u.Println("- function " + name)
	}
	for _, name := range diff.Added {
		u.Println("+ function " + name)
	}
	for _, s := range diff.Settings {
		u.Println(fmt.Sprintf("  %s: %s: %s → %s", s.Function, s.Setting, orNotSet(s.Before), orNotSet(s.After)))
	}
	for _, i := range diff.Images {
		u.Println(fmt.Sprintf("  image of %s: %s → %s", strings.Join(i.Functions, ", "), i.Before, i.After))
		if i.Rebuilt {
			u.Println("    built anew from the same steps")
		}
		for _, step := range i.Removed {
			u.Println("  - " + step)
		}
		for _, step := range i.Added {
			u.Println("  + " + step)
		}
	}
	for _, f := range diff.Files {
		u.Println(fmt.Sprintf("  %s %s", f.Change, f.Path))
		if f.Text != "" {
			u.Println(strings.TrimRight(f.Text, "\n"))
		}
	}
	if diff.MoreFiles > 0 {
		u.Println(fmt.Sprintf("  and %d more files", diff.MoreFiles))
	}
}

// orNotSet is a setting's value, which may not be set.
func orNotSet(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}
