package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newBillingCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "billing",
		Short: "What apps have used, and what that would cost",
		Long: `What apps have used, by the hour, also after they have ended: seconds of
containers and, at list prices, what they would cost on rented machines. Times
are UTC. What runs counts as far as it has come.`,
		Example: "  gx billing summary --for \"this month\"\n  gx billing report --for \"last 7 days\" --by function,gpu --csv",
	}
	cmd.AddCommand(newBillingSummaryCmd(d), newBillingReportCmd(d), newBillingRatesCmd(d))
	return group(cmd)
}

type billingSummaryOptions struct {
	span billingSpan
	json bool
}

func newBillingSummaryCmd(d deps) *cobra.Command {
	var o billingSummaryOptions
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "What each app and each kind of card has cost; by default this month",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runBillingSummary(cmd.Context(), d, o) },
	}
	o.span.flags(cmd, "this month")
	cmd.Flags().BoolVar(&o.json, "json", false, "for programs")
	return cmd
}

func runBillingSummary(ctx context.Context, d deps, o billingSummaryOptions) error {
	start, end, err := o.span.read(d.now())
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	query := billingQuery{Start: start, End: end, Environment: d.environment()}
	var apps, cards, total []api.BilledUsage
	for _, part := range []struct {
		by   []string
		rows *[]api.BilledUsage
	}{{[]string{"app"}, &apps}, {[]string{"gpu"}, &cards}, {nil, &total}} {
		query.By = part.by
		if *part.rows, err = query.ask(ctx, d); err != nil {
			return err
		}
	}
	if o.json {
		return d.ui.JSON(map[string]any{"apps": apps, "gpus": cards, "total": total})
	}
	if len(total) == 0 {
		d.ui.Notice("nothing was used " + o.span.String())
		return nil
	}
	var rows [][]string
	for _, u := range apps {
		rows = append(rows, append([]string{appName(u), u.App}, billedColumns(u)...))
	}
	d.ui.Table([]string{"APP", "ID", "CONTAINERS", "INPUTS", "SECONDS", "COST"}, rows)
	d.ui.Println("")
	rows = nil
	for _, u := range cards {
		rows = append(rows, append([]string{cardName(u)}, billedColumns(u)...))
	}
	d.ui.Table([]string{"GPU", "CONTAINERS", "INPUTS", "SECONDS", "COST"}, rows)
	d.ui.Println("")
	d.ui.Println(fmt.Sprintf("%s %s, at list prices (gx billing rates)", ui.Dollars(total[0].Cost), o.span))
	return nil
}

func newBillingRatesCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rates",
		Short: "The prices that costs are counted by",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBillingRates(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runBillingRates(ctx context.Context, d deps, asJSON bool) error {
	var r api.Rates
	if err := d.ask(ctx, "billing.rates", nil, &r); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(r)
	}
	price := func(perSecond float64) []string {
		if perSecond == 0 {
			return []string{"no list price", ""}
		}
		return []string{fmt.Sprintf("$%.8f", perSecond), fmt.Sprintf("$%.4f", perSecond*3600)}
	}
	rows := [][]string{append([]string{"CPU core", ""}, price(r.Core)...), append([]string{"memory", "1 GiB"}, price(r.Memory)...)}
	for _, c := range r.Cards {
		rows = append(rows, append([]string{c.Card, fmt.Sprintf("%d GB", c.Memory)}, price(c.Price)...))
	}
	d.ui.Table([]string{"WHAT", "", "A SECOND", "AN HOUR"}, rows)
	d.ui.Println("")
	d.ui.Println(fmt.Sprintf("%s, as of %s", r.Source, r.Date))
	return nil
}

// billingQuery is what the host is asked for.
type billingQuery struct {
	Start, End  time.Time
	Step        string
	Environment string
	By          []string
}

func (q billingQuery) ask(ctx context.Context, d deps) ([]api.BilledUsage, error) {
	var found struct {
		Rows []api.BilledUsage `json:"rows"`
	}
	params := map[string]any{"step": q.Step, "environment": q.Environment, "by": q.By}
	for name, t := range map[string]time.Time{"start": q.Start, "end": q.End} {
		if !t.IsZero() {
			params[name] = float64(t.Unix())
		}
	}
	err := d.ask(ctx, "billing.report", params, &found)
	return found.Rows, err
}

func appName(u api.BilledUsage) string {
	if u.Environment != "" && u.Environment != "main" {
		return u.Environment + "/" + u.AppName
	}
	return u.AppName
}

func cardName(u api.BilledUsage) string {
	switch {
	case u.GPU == "":
		return "none"
	case u.GPUs > 1:
		return fmt.Sprintf("%s:%d", u.GPU, u.GPUs)
	}
	return u.GPU
}

func billedColumns(u api.BilledUsage) []string {
	inputs := fmt.Sprint(u.Inputs)
	if u.Failed > 0 {
		inputs += fmt.Sprintf(" (%d failed)", u.Failed)
	}
	return []string{fmt.Sprint(u.Containers), inputs, fmt.Sprintf("%.1f", u.Seconds), ui.Dollars(u.Cost)}
}
