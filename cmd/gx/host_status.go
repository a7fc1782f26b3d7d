package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newHostStatusCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running host: pid, version, address, runtime, disk use",
		Long:  "Show the running host. Ends with 4 if none is running; it does not start one.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostStatus(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runHostStatus(ctx context.Context, d deps, asJSON bool) error {
	c, err := d.dial(ctx)
	if errors.Is(err, errNoHost) {
		d.ui.Notice(errNoHost.Error())
		return exit.Silently(exit.Host)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status(ctx)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(status)
	}
	d.ui.Fields(statusFields(status))
	return nil
}

func statusFields(s api.Status) [][2]string {
	busy := "busy"
	if s.Idle > 0 {
		busy = "idle for " + ui.Seconds(s.Idle)
	}
	isolation := s.Runtime
	if len(s.Unisolated) > 0 {
		isolation += " (does not isolate: " + strings.Join(s.Unisolated, "; ") + ")"
	}
	disk := s.Disk
	return [][2]string{
		{"pid", fmt.Sprint(s.Pid)},
		{"version", s.Version + " (build " + s.Build + ")"},
		{"address", s.Address},
		{"up", ui.Seconds(s.Uptime) + ", " + busy},
		{"running", ui.Count(int64(s.Apps), "app") + ", " + ui.Count(int64(s.Containers), "container")},
		{"runtime", isolation},
		{"images by", s.Engine},
		{"disk", fmt.Sprintf("%s of %s: images %s, files %s, logs %s, results for --resume %s; %s free",
			ui.Bytes(disk.Images+disk.Blobs+disk.Logs+disk.Journals),
			ui.Bytes(disk.Budget), ui.Bytes(disk.Images), ui.Bytes(disk.Blobs), ui.Bytes(disk.Logs), ui.Bytes(disk.Journals), ui.Bytes(disk.Free))},
		{"state", s.StateDir},
		{"log", s.LogFile},
	}
}
