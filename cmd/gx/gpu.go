package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/gpu"
)

func newGPUCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "gpu", Short: "See the host's GPUs, and who holds them"}
	cmd.AddCommand(newGPUListCmd(d), newGPUCatalogueCmd(d))
	return group(cmd)
}

func newGPUListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the host's GPUs, who holds them and who waits for some",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runGPUList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runGPUList(ctx context.Context, d deps, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	gpus, err := c.GPUs(ctx)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(gpus)
	}
	d.ui.Notice(stockText(gpus))
	var rows [][]string
	for _, g := range gpus.Cards {
		state := "free"
		switch {
		case g.Lost:
			state = "lost"
		case g.Function != "":
			state = g.AppName + "/" + g.Function
		case g.Container != "":
			state = "in use"
		}
		rows = append(rows, []string{
			g.Card, g.UUID, state, g.Container, fmt.Sprintf("%s / %s", ui.Bytes(g.Used), ui.Bytes(g.Memory)),
			fmt.Sprintf("%d %%", g.Load), fmt.Sprintf("%d °C", g.Heat), fmt.Sprintf("%.0f W", g.Power),
		})
	}
	d.ui.Table([]string{"CARD", "ID", "HELD BY", "CONTAINER", "MEMORY", "LOAD", "TEMPERATURE", "POWER"}, rows)
	for _, w := range gpus.Waiting {
		d.ui.Notice(fmt.Sprintf("%s waits for %s (inputs: %d)", w.Function, w.For, w.Inputs))
	}
	return nil
}

// stockText says in one line which cards a host has.
func stockText(g api.GPUs) string {
	kind := "GPUs"
	if g.Emulated {
		kind = "emulated GPUs"
	}
	switch {
	case g.Provider == "":
		return "this host has no GPUs"
	case g.Stock == nil:
		return kind + ": as many of each card as are asked for; `gx config set gpus \"A100-80GB:8,T4:4\"` makes them few"
	}
	return kind + ": " + gpu.StockString(g.Stock)
}

func newGPUCatalogueCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "catalogue",
		Short: "List the cards that a function may ask for: memory, speed, price",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runGPUCatalogue(d, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runGPUCatalogue(d deps, asJSON bool) error {
	settings, err := loadSettings(d)
	if err != nil {
		return err
	}
	prices, err := gpu.ListPrices().With(settings.GPUPrices)
	if err != nil {
		return err
	}
	if asJSON {
		text, err := prices.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(d.stdout, string(text))
		return err
	}
	rate := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.4g", v)
	}
	var rows [][]string
	for _, c := range gpu.Cards() {
		price := "-"
		if p := prices.Card(c.Name); p > 0 {
			price = fmt.Sprintf("$%.6f", p)
		}
		rows = append(rows, []string{
			c.Name, fmt.Sprintf("%d GB", c.Memory), fmt.Sprintf("%d.%d", c.Major, c.Minor), rate(c.Rates.FP32), rate(c.Rates.TF32), rate(c.Rates.FP16), rate(c.Rates.BF16), rate(c.Rates.FP8),
			rate(c.Rates.Bandwidth), price,
		})
	}
	d.ui.Table([]string{"CARD", "MEMORY", "CC", "FP32", "TF32", "FP16", "BF16", "FP8", "GB/s", "PER SECOND"}, rows)
	d.ui.Notice(fmt.Sprintf("TFLOP/s, dense, from data sheets (%s); prices: %s, %s", gpu.SheetDate, prices.Source, prices.Date))
	return nil
}
