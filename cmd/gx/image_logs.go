package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newImageLogsCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "logs IMAGE",
		Short: "Show what the steps of an image printed",
		Long: `Show what the steps of an image printed when they were carried out, however long
ago, and for whichever image that was. The beginning of an id is enough where it
is unambiguous.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImageLogs(cmd.Context(), d, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runImageLogs(ctx context.Context, d deps, id string, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	usage, err := c.Images(ctx)
	if err != nil {
		return answer(err)
	}
	image, err := findImage(usage.Images, id)
	if err != nil {
		return exit.With(exit.UserCode, err)
	}
	steps, err := c.ImageLogs(ctx, image.ID)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(steps)
	}
	for i, step := range steps {
		if step.Time.IsZero() {
			continue // it does nothing by itself, or nothing is kept of it
		}
		name := strings.Join(strings.Fields(step.Name), " ")
		d.ui.Heading(fmt.Sprintf("step %d: %s  %s", i+1, name, ui.Ago(d.now(), step.Time)))
		for line := range strings.Lines(step.Log + step.Error) {
			d.ui.Println(strings.TrimSuffix(line, "\n"))
		}
	}
	return nil
}
