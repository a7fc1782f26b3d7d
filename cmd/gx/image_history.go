package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/cmd/gx/exit"
)

func newImageHistoryCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history IMAGE",
		Short: "Show the steps that an image was made by",
		Long:  "Show the steps that an image was made by. The beginning of an id is enough where it is unambiguous.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImageHistory(cmd.Context(), d, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runImageHistory(ctx context.Context, d deps, id string, asJSON bool) error {
	usage, err := imageUsage(ctx, d)
	if err != nil {
		return err
	}
	image, err := findImage(usage.Images, id)
	if err != nil {
		return exit.With(exit.UserCode, err)
	}
	if asJSON {
		return d.ui.JSON(image)
	}
	rows := make([][]string, len(image.Steps))
	for i, step := range image.Steps {
		rows[i] = []string{fmt.Sprint(i + 1), step}
	}
	d.ui.Table([]string{"STEP", image.ID}, rows)
	return nil
}

func findImage(images []build.ImageUsage, id string) (build.ImageUsage, error) {
	var found []build.ImageUsage
	for _, image := range images {
		if image.ID == id {
			return image, nil
		}
		if strings.HasPrefix(image.ID, id) || strings.HasPrefix(image.ID, "im-"+id) {
			found = append(found, image)
		}
	}
	switch len(found) {
	case 0:
		return build.ImageUsage{}, fmt.Errorf("there is no image %s; `gx image list` shows those that there are", id)
	case 1:
		return found[0], nil
	default:
		return build.ImageUsage{}, fmt.Errorf("%s could be any of %d images, %s and %s among them", id, len(found), found[0].ID, found[1].ID)
	}
}
