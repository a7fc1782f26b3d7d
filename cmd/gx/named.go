package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
)

// namedObject is a dict or a queue, as the host describes it.
type namedObject struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Created float64 `json:"created_at"` // seconds since 1970
}

func (o namedObject) created() time.Time { return time.UnixMicro(int64(o.Created * 1e6)) }

// newNamedCreateCmd is `gx dict create` and `gx queue create`.
func newNamedCreateCmd(d deps, kind string) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Make a " + kind,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.ask(cmd.Context(), kind+".create", d.naming(args[0]), nil); err != nil {
				return err
			}
			d.ui.Done("created "+kind+" "+args[0], "")
			return nil
		},
	}
}

// newNamedDeleteCmd is `gx dict delete`, and the same of queues and volumes.
func newNamedDeleteCmd(d deps, kind string) *cobra.Command {
	var yes, missing bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a " + kind + " and all that it holds",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(yes, "Delete "+kind+" "+args[0]+" and all that it holds?"); err != nil {
				return err
			}
			err := d.ask(cmd.Context(), kind+".delete", d.naming(args[0]), nil)
			if missing && refusedAs(err, "not_found") {
				d.ui.Notice("there is no " + kind + " " + args[0])
				return nil
			}
			if err != nil {
				return err
			}
			d.ui.Done("deleted "+kind+" "+args[0], "")
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&missing, "allow-missing", false, "it is no error if there is none")
	return cmd
}

// naming are the parameters that name an object.
func (d deps) naming(name string) map[string]any {
	return map[string]any{"name": name, "environment": d.environment()}
}

// withNamed connects to the host, finds an object, and does something with it.
func (d deps) withNamed(ctx context.Context, kind, name string, do func(c *client.Client, o namedObject) error) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	var o namedObject
	if _, err := c.Ask(ctx, kind+".find", d.naming(name), nil, &o); err != nil {
		return answer(err)
	}
	return do(c, o)
}

// listNamed lists the objects of a kind, the newest first.
func (d deps) listNamed(ctx context.Context, c *client.Client, kind string) ([]namedObject, error) {
	var found struct {
		Objects []namedObject `json:"objects"`
	}
	_, err := c.Ask(ctx, kind+".list", map[string]any{"environment": d.environment()}, nil, &found)
	return found.Objects, answer(err)
}

func newDictListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dicts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := d.ensure(cmd.Context(), hostOptions{})
			if err != nil {
				return err
			}
			defer c.Close()
			list, err := d.listNamed(cmd.Context(), c, "dict")
			if err != nil {
				return err
			}
			if asJSON {
				return d.ui.JSON(list)
			}
			var rows [][]string
			for _, o := range list {
				rows = append(rows, []string{o.Name, ui.Ago(d.now(), o.created())})
			}
			d.ui.Table([]string{"NAME", "CREATED"}, rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func newQueueListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List queues, their partitions and items",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runQueueList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runQueueList(ctx context.Context, d deps, asJSON bool) error {
	type queue struct {
		namedObject
		Partitions int `json:"partitions"` // that have items
		Items      int `json:"items"`
	}
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	objects, err := d.listNamed(ctx, c, "queue")
	if err != nil {
		return err
	}
	list := make([]queue, len(objects))
	var rows [][]string
	for i, o := range objects {
		var found struct {
			Partitions []struct {
				Items int `json:"items"`
			} `json:"partitions"`
		}
		if _, err := c.Ask(ctx, "queue.partitions", map[string]any{"id": o.ID, "n": 10_000}, nil, &found); err != nil {
			return answer(err)
		}
		list[i] = queue{namedObject: o, Partitions: len(found.Partitions)}
		for _, p := range found.Partitions {
			list[i].Items += p.Items
		}
		rows = append(rows, []string{o.Name, ui.Ago(d.now(), o.created()), fmt.Sprint(list[i].Partitions), fmt.Sprint(list[i].Items)})
	}
	if asJSON {
		return d.ui.JSON(list)
	}
	d.ui.Table([]string{"NAME", "CREATED", "PARTITIONS", "ITEMS"}, rows)
	return nil
}
