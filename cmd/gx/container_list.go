package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newContainerListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the containers of all apps and what they use",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runContainerList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runContainerList(ctx context.Context, d deps, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	containers, err := c.Containers(ctx)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(containers)
	}
	var rows [][]string
	for _, ct := range containers {
		rows = append(rows, []string{ct.ID, ct.AppName, ct.Function, ct.State, ui.Ago(d.now(), ct.Started),
			fmt.Sprint(ct.Running), ui.Bytes(ct.Memory), fmt.Sprintf("%.1f s", ct.CPU), gpuText(ct)})
	}
	d.ui.Table([]string{"CONTAINER", "APP", "FUNCTION", "STATE", "STARTED", "INPUTS", "MEMORY", "CPU", "GPU"}, rows)
	return nil
}

// gpuText says which cards a container has, and how much of their memory is in
// use.
func gpuText(c api.Container) string {
	if c.GPU == "" {
		return ""
	}
	text := c.GPU
	if c.GPUs > 1 {
		text = fmt.Sprintf("%d × %s", c.GPUs, c.GPU)
	}
	if c.Emulated {
		text += " (emulated)"
	}
	return fmt.Sprintf("%s, %s / %s", text, ui.Bytes(c.GPUUsed), ui.Bytes(c.GPUMemory))
}
