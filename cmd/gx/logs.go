package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

type logsOptions struct {
	follow bool
	tail   int
	asJSON bool
	style  ui.LogStyle
}

// newLogsCmd is the short name of `gx app logs`.
func newLogsCmd(d deps) *cobra.Command { return newAppLogsCmd(d) }

func newAppLogsCmd(d deps) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs APP",
		Short: "Print what an app's functions printed, by the app's id or name",
		Long: `Print what an app's functions printed, also after it has ended: their stdout on
stdout, their stderr on stderr.`,
		Example: "  gx logs hello\n  gx logs --follow --timestamps hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogs(cmd.Context(), d, args[0], o)
		},
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with new lines until the app ends")
	cmd.Flags().IntVar(&o.tail, "tail", 0, "how many of the last lines to begin with; 0 = all that are kept")
	cmd.Flags().BoolVar(&o.style.Timestamps, "timestamps", false, "begin each line with its time")
	cmd.Flags().BoolVar(&o.style.Names, "names", false, "begin each line with its function and container")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "one JSON object for each line")
	return cmd
}

func runLogs(ctx context.Context, d deps, app string, o logsOptions) error {
	if o.tail < 0 {
		return exit.With(exit.Usage, fmt.Errorf("--tail must be 0 or more, not %d", o.tail))
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Logs(ctx, d.inEnvironment(app), o.follow, o.tail, func(line api.LogLine) error {
		if o.asJSON {
			return d.ui.JSONLine(line)
		}
		d.ui.Log(line, o.style)
		if o.follow {
			d.ui.Flush()
		}
		return nil
	})
	d.ui.Flush()
	if ctx.Err() != nil {
		return nil // that is how --follow ends
	}
	return answer(err)
}
