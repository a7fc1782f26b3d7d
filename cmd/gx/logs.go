package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
)

type logsOptions struct {
	query        api.LogQuery
	since, until string
	asJSON       bool
	runs         bool
	style        ui.LogStyle
}

// newLogsCmd is the short name of `gx app logs`.
func newLogsCmd(d deps) *cobra.Command { return newAppLogsCmd(d) }

func newAppLogsCmd(d deps) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs APP",
		Short: "Print what an app's functions printed, by the app's id or name",
		Long: `Print what an app's functions printed, also after it has ended: their stdout on
stdout, their stderr on stderr. By its name that is the newest run that is going
on, or else the newest; earlier ones are known by their id (--runs lists them).
APP can also be the id of a container or a call.

A line that is a JSON object is structured, and can be asked for by its fields:
--where FIELD=VALUE, with = != < <= > >=, or ~ and !~ for a regular expression.
FIELD alone asks that it is there, !FIELD that it is not; a.b.0 leads into
objects and arrays. --where can be repeated, and all conditions have to hold;
of other flags that are repeated, one.`,
		Example: `  gx logs hello
  gx logs --follow --timestamps hello
  gx logs --since 2h --function train --stream stderr hello
  gx logs --where event=request --where 'latency_ms>100' --tail 20 hello`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogs(cmd.Context(), d, args[0], o)
		},
	}
	logFlags(cmd, &o)
	f := cmd.Flags()
	f.StringArrayVar(&o.query.Containers, "container", nil, "only lines of this container, by its id")
	f.BoolVar(&o.runs, "runs", false, "list the runs whose output is kept, instead")
	return cmd
}

// logFlags are the flags of all commands that print logs.
func logFlags(cmd *cobra.Command, o *logsOptions) {
	f := cmd.Flags()
	f.BoolVarP(&o.query.Follow, "follow", "f", false, "go on with new lines until the app ends")
	f.IntVar(&o.query.Tail, "tail", 0, "only so many of the last lines; 0 = all that are kept")
	f.StringVar(&o.since, "since", "", "only lines from this time on: 10m, 2h, 3d, 15:04, 2026-01-02, \"2026-01-02 15:04:05\", ...")
	f.StringVar(&o.until, "until", "", "only lines up to this time, written like --since")
	f.StringArrayVar(&o.query.Functions, "function", nil, "only lines of this function")
	f.StringArrayVar(&o.query.Calls, "call", nil, "only lines of this call, by its id (also: --function-call)")
	f.StringArrayVar(&o.query.Streams, "stream", nil, "only lines of stdout, stderr or system, gx's own words (also: --source)")
	f.StringVar(&o.query.Search, "search", "", "only lines with this text in them")
	f.StringArrayVar(&o.query.Where, "where", nil, "only structured lines of which this holds: event=request, latency_ms>100, ...")
	f.BoolVar(&o.style.Timestamps, "timestamps", false, "begin each line with its time")
	f.BoolVar(&o.style.Names, "names", false, "begin each line with its function and container")
	f.BoolVar(&o.asJSON, "json", false, "one JSON object for each line; of structured lines with their fields")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "function-call":
			name = "call"
		case "source":
			name = "stream"
		}
		return pflag.NormalizedName(name)
	})
}

// complete reads the times, and refuses what no host would take.
func (o *logsOptions) complete(now time.Time) error {
	if o.query.Tail < 0 || o.query.Tail > api.MaxTail {
		return exit.With(exit.Usage, fmt.Errorf("--tail must be from 0 to %d, not %d", api.MaxTail, o.query.Tail))
	}
	var err error
	if o.query.Since, err = moment(o.since, now); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("--since: %w", err))
	}
	if o.query.Until, err = moment(o.until, now); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("--until: %w", err))
	}
	return nil
}

func runLogs(ctx context.Context, d deps, ref string, o logsOptions) error {
	if err := o.complete(d.now()); err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if !strings.HasPrefix(ref, "co-") && !strings.HasPrefix(ref, "fc-") {
		ref = d.inEnvironment(ref)
	}
	if o.runs {
		return listRuns(ctx, d, c, ref, o)
	}
	err = c.Logs(ctx, ref, o.query, client.LogEvents{
		Lines: func(lines []api.LogLine) error { return printLines(d, lines, o) },
		Lost: func(err error) {
			d.ui.Flush()
			d.ui.Warn(fmt.Sprintf("%v; trying again", err))
		},
	})
	d.ui.Flush()
	if ctx.Err() != nil {
		return nil // that is how --follow ends
	}
	return answer(err)
}

// structuredLine is a line as --json shows it.
type structuredLine struct {
	api.LogLine
	Fields json.RawMessage `json:"fields,omitempty"`
}

func printLines(d deps, lines []api.LogLine, o logsOptions) error {
	for _, line := range lines {
		if !o.asJSON {
			d.ui.Log(line, o.style)
			continue
		}
		whole := structuredLine{LogLine: line}
		if text := strings.TrimSpace(line.Text); strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
			whole.Fields = json.RawMessage(text)
		}
		if err := d.ui.JSONLine(whole); err != nil {
			return err
		}
	}
	if o.query.Follow {
		d.ui.Flush()
	}
	return nil
}

func listRuns(ctx context.Context, d deps, c *client.Client, ref string, o logsOptions) error {
	list, err := c.LogList(ctx, ref)
	if err != nil {
		return answer(err)
	}
	if o.asJSON {
		return d.ui.JSON(list)
	}
	var rows [][]string
	for _, info := range list {
		state := "ended"
		if info.Live {
			state = "running"
		}
		rows = append(rows, []string{info.App, info.Name, state, info.Created.Local().Format("2006-01-02 15:04:05"), ui.Ago(d.now(), info.Created)})
	}
	d.ui.Table([]string{"APP", "NAME", "STATE", "STARTED", ""}, rows)
	return nil
}
