package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/remote/local"
)

type hostLogsOptions struct {
	follow bool
	tail   int
}

func newHostLogsCmd(d deps) *cobra.Command {
	var o hostLogsOptions
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Print the host's own log",
		Long:  "Print the host's own log. For what your functions print see `gx logs`.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostLogs(cmd.Context(), d, o)
		},
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with new lines until interrupted")
	cmd.Flags().IntVar(&o.tail, "tail", 100, "how many of the last lines to begin with")
	return cmd
}

func runHostLogs(ctx context.Context, d deps, o hostLogsOptions) error {
	if o.tail < 0 {
		return exit.With(exit.Usage, fmt.Errorf("--tail must be 0 or more, not %d", o.tail))
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.dial(ctx)
	if errors.Is(err, errNoHost) {
		return printLogFile(d, o.tail)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.HostLog(ctx, o.follow, o.tail, d.ui.Println)
	if ctx.Err() != nil {
		return nil // that is how --follow ends
	}
	return answer(err)
}

// printLogFile prints what the last host left: it tells why it ended.
func printLogFile(d deps, tail int) error {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return exit.With(exit.Host, err)
	}
	f, err := os.Open(dirs.LogFile)
	if errors.Is(err, os.ErrNotExist) {
		d.ui.Notice("no host has run yet")
		return nil
	}
	if err != nil {
		return exit.With(exit.Host, err)
	}
	defer f.Close()
	var last []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = append(last, lines.Text())
		if len(last) > 2*tail+1000 {
			last = append([]string(nil), last[len(last)-tail:]...)
		}
	}
	for _, line := range last[max(0, len(last)-tail):] {
		d.ui.Println(line)
	}
	d.ui.Notice("(no host is running; this is the log of the last one)")
	return exit.With(exit.Host, lines.Err())
}
