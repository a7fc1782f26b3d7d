package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

type imagePruneOptions struct {
	keep   string
	all    bool
	asJSON bool
}

func newImagePruneCmd(d deps) *cobra.Command {
	var o imagePruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove images that no running app uses, least recently used first",
		Long: `Remove images that no running app uses, least recently used first. It works on a
full disk. With --keep it stops when what is left is that small.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runImagePrune(cmd.Context(), d, o)
		},
	}
	cmd.Flags().StringVar(&o.keep, "keep", "0", `how much to keep: "20GB", "500MB"`)
	cmd.Flags().BoolVar(&o.all, "all", false, "also base images and download caches")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "for programs")
	return cmd
}

func runImagePrune(ctx context.Context, d deps, o imagePruneOptions) error {
	keep, err := parseBytes(o.keep)
	if err != nil {
		return exit.With(exit.Usage, fmt.Errorf("--keep: %w", err))
	}
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	usage, err := c.Prune(ctx, api.PruneRequest{Keep: keep, All: o.all})
	if err != nil {
		return answer(err)
	}
	if o.asJSON {
		return d.ui.JSON(usage)
	}
	d.ui.Println(fmt.Sprintf("freed %s; %s left, %s of it in use", ui.Bytes(usage.Freed), ui.Bytes(usage.Bytes), ui.Bytes(usage.InUse)))
	return nil
}

// parseBytes reads a size as people write it: "20GB", "1.5 GiB", "1000".
func parseBytes(text string) (int64, error) {
	number := strings.ToUpper(strings.TrimSpace(text))
	number = strings.TrimSuffix(number, "B")
	base := 1000.0
	if trimmed, ok := strings.CutSuffix(number, "I"); ok {
		number, base = trimmed, 1024
	}
	factor := 1.0
	if number != "" {
		if i := strings.IndexByte("KMGT", number[len(number)-1]); i >= 0 {
			factor = math.Pow(base, float64(i+1))
			number = number[:len(number)-1]
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || n < 0 || n*factor > math.MaxInt64/2 || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a size; write it like 20GB or 500MB", text)
	}
	return int64(n * factor), nil
}
