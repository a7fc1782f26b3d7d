package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/remote/client"
)

func newQueueCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue",
		Short:   "Queues that functions share: make, look into, clear and delete them",
		Long:    "Queues that functions share (gx.Queue). Items are shown as `gx dict` shows values.",
		Example: "  gx queue create jobs\n  gx queue peek jobs 5\n  gx queue len jobs --total",
	}
	cmd.AddCommand(newNamedCreateCmd(d, "queue"), newQueueListCmd(d), newQueuePeekCmd(d), newQueueLenCmd(d), newQueueClearCmd(d), newNamedDeleteCmd(d, "queue"))
	return group(cmd)
}

func newQueuePeekCmd(d deps) *cobra.Command {
	var partition string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "peek NAME [N]",
		Short: "Show the next item, or N, without taking them",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 1
			if len(args) == 2 {
				if _, err := fmt.Sscanf(args[1]+"\n", "%d\n", &n); err != nil || n < 1 {
					return exit.With(exit.Usage, fmt.Errorf("%q is not a number of items", args[1]))
				}
			}
			return runQueuePeek(cmd.Context(), d, args[0], partition, n, asJSON)
		},
	}
	cmd.Flags().StringVarP(&partition, "partition", "p", "", "a partition; default: that of items put without one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: one item in each line")
	return cmd
}

func runQueuePeek(ctx context.Context, d deps, name, partition string, n int, asJSON bool) error {
	return d.withNamed(ctx, "queue", name, func(c *client.Client, o namedObject) error {
		for after := int64(0); n > 0; {
			var page struct {
				Lengths []int `json:"lengths"`
				Last    int64 `json:"last"`
			}
			data, err := c.Ask(ctx, "queue.peek", map[string]any{"id": o.ID, "partition": partition, "n": n, "after": after, "timeout": 0}, nil, &page)
			if err != nil {
				return answer(err)
			}
			items, err := ask.Split(data, page.Lengths)
			if err != nil {
				return exit.With(exit.Host, err)
			}
			if len(items) == 0 {
				return nil
			}
			for _, item := range items {
				if asJSON {
					if err := d.ui.JSONLine(jsonValue(item)); err != nil {
						return err
					}
				} else {
					d.ui.Println(shown(item))
				}
			}
			n, after = n-len(items), page.Last
		}
		return nil
	})
}

func newQueueLenCmd(d deps) *cobra.Command {
	var partition string
	var total bool
	cmd := &cobra.Command{
		Use:   "len NAME",
		Short: "Print how many items there are",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return d.withNamed(ctx, "queue", args[0], func(c *client.Client, o namedObject) error {
				var result struct {
					Len int `json:"len"`
				}
				if _, err := c.Ask(ctx, "queue.len", map[string]any{"id": o.ID, "partition": partition, "total": total}, nil, &result); err != nil {
					return answer(err)
				}
				d.ui.Println(fmt.Sprint(result.Len))
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&partition, "partition", "p", "", "a partition; default: that of items put without one")
	cmd.Flags().BoolVarP(&total, "total", "t", false, "of all partitions")
	cmd.MarkFlagsMutuallyExclusive("partition", "total")
	return cmd
}

func newQueueClearCmd(d deps) *cobra.Command {
	var partition string
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "clear NAME",
		Short: "Delete the items of a partition, or with --all of all",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(yes, "Delete items of queue "+args[0]+"?"); err != nil {
				return err
			}
			ctx := cmd.Context()
			return d.withNamed(ctx, "queue", args[0], func(c *client.Client, o namedObject) error {
				if _, err := c.Ask(ctx, "queue.clear", map[string]any{"id": o.ID, "partition": partition, "all": all}, nil, nil); err != nil {
					return answer(err)
				}
				d.ui.Done("cleared queue "+args[0], "")
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&partition, "partition", "p", "", "a partition; default: that of items put without one")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all partitions")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.MarkFlagsMutuallyExclusive("partition", "all")
	return cmd
}
