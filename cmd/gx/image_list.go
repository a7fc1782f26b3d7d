package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newImageListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images on the host and what they occupy",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runImageList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runImageList(ctx context.Context, d deps, asJSON bool) error {
	usage, err := imageUsage(ctx, d)
	if err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(usage)
	}
	var rows [][]string
	for _, image := range usage.Images {
		state := ""
		if image.InUse {
			state = "in use"
		}
		last := ""
		if len(image.Steps) > 0 {
			last = image.Steps[len(image.Steps)-1]
		}
		rows = append(rows, []string{image.ID, ui.Bytes(image.Bytes), ui.Ago(d.now(), image.Created),
			ui.Ago(d.now(), image.LastUsed), state, fmt.Sprint(len(image.Steps)), last})
	}
	d.ui.Table([]string{"IMAGE", "OWN SIZE", "CREATED", "LAST USED", "STATE", "STEPS", "LAST STEP"}, rows)
	d.ui.Notice(fmt.Sprintf("%s in all, with caches; %s in use", ui.Bytes(usage.Bytes), ui.Bytes(usage.InUse)))
	return nil
}

// imageUsage asks the host; the images come last used first.
func imageUsage(ctx context.Context, d deps) (build.Usage, error) {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return build.Usage{}, err
	}
	defer c.Close()
	usage, err := c.Images(ctx)
	if err != nil {
		return build.Usage{}, answer(err)
	}
	slices.SortStableFunc(usage.Images, func(a, b build.ImageUsage) int { return b.LastUsed.Compare(a.LastUsed) })
	return usage, nil
}
