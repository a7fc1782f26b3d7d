package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
)

type billingReportOptions struct {
	span       billingSpan
	resolution string
	by         []string
	json, csv  bool
}

func newBillingReportCmd(d deps) *cobra.Command {
	var o billingReportOptions
	cmd := &cobra.Command{
		Use:   "report",
		Short: "What was used by the day or hour; by default the last 7 days, by app",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runBillingReport(cmd.Context(), d, o) },
	}
	o.span.flags(cmd, "last 7 days")
	flags := cmd.Flags()
	flags.StringVarP(&o.resolution, "resolution", "r", "d", "a row for each d (day) or h (hour)")
	flags.StringSliceVar(&o.by, "by", []string{"app"}, "and for each app, function, gpu, or several of them with commas between")
	flags.BoolVar(&o.json, "json", false, "for programs")
	flags.BoolVar(&o.csv, "csv", false, "for spreadsheets")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

func runBillingReport(ctx context.Context, d deps, o billingReportOptions) error {
	start, end, err := o.span.read(d.now())
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if o.resolution != "d" && o.resolution != "h" {
		return exit.With(exit.Usage, fmt.Errorf("--resolution %q: it can be d (a row for each day) or h (each hour)", o.resolution))
	}
	for _, by := range o.by {
		if !slices.Contains([]string{"app", "function", "gpu"}, by) {
			return exit.With(exit.Usage, fmt.Errorf("--by %q: it can be app, function, gpu", by))
		}
	}
	list, err := billingQuery{Start: start, End: end, Step: o.resolution, Environment: d.environment(), By: o.by}.ask(ctx, d)
	switch {
	case err != nil:
		return err
	case o.json:
		return d.ui.JSON(list)
	case o.csv:
		return billingCSV(d, list)
	case len(list) == 0:
		d.ui.Notice("nothing was used " + o.span.String())
		return nil
	}
	header := []string{"DAY"}
	layout := time.DateOnly
	if o.resolution == "h" {
		header, layout = []string{"HOUR"}, "2006-01-02 15:04"
	}
	app := slices.Contains(o.by, "app") || slices.Contains(o.by, "function")
	function, card := slices.Contains(o.by, "function"), slices.Contains(o.by, "gpu")
	if app {
		header = append(header, "APP", "ID")
	}
	if function {
		header = append(header, "FUNCTION")
	}
	if card {
		header = append(header, "GPU")
	}
	var rows [][]string
	for _, u := range list {
		row := []string{u.Start.UTC().Format(layout)}
		if app {
			row = append(row, appName(u), u.App)
		}
		if function {
			row = append(row, u.Function)
		}
		if card {
			row = append(row, cardName(u))
		}
		rows = append(rows, append(row, billedColumns(u)...))
	}
	d.ui.Table(append(header, "CONTAINERS", "INPUTS", "SECONDS", "COST"), rows)
	return nil
}

func billingCSV(d deps, list []api.BilledUsage) error {
	var b strings.Builder
	w := csv.NewWriter(&b)
	records := [][]string{{"start", "environment", "app", "app_name", "function", "gpu", "gpus", "emulated", "containers", "inputs", "failed", "seconds", "cost"}}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for _, u := range list {
		records = append(records, []string{
			u.Start.UTC().Format(time.RFC3339), u.Environment, u.App, u.AppName, u.Function, u.GPU, strconv.Itoa(u.GPUs), strconv.FormatBool(u.Emulated),
			strconv.FormatInt(u.Containers, 10), strconv.FormatInt(u.Inputs, 10), strconv.FormatInt(u.Failed, 10), number(u.Seconds), number(u.Cost),
		})
	}
	if err := w.WriteAll(records); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	d.ui.Println(strings.TrimSuffix(b.String(), "\n"))
	return nil
}
