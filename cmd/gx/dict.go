package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/sdk/pickle"
)

// shownBytes is how much of a value is shown to people.
const shownBytes = 200

// jsonParts is how many parts of a value are shown to programs.
const jsonParts = 10_000_000

func newDictCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dict",
		Short: "Dictionaries that functions share: make, read, clear and delete them",
		Long: `Dictionaries that functions share (gx.Dict). Values are shown as Python would
show them; of objects that are not plain data only the class is told, because
nothing of them is run here.`,
		Example: "  gx dict create results\n  gx dict items results\n  gx dict get results job-1 --json",
	}
	cmd.AddCommand(newNamedCreateCmd(d, "dict"), newDictListCmd(d), newDictGetCmd(d), newDictItemsCmd(d), newDictClearCmd(d), newNamedDeleteCmd(d, "dict"))
	return group(cmd)
}

func newDictGetCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get NAME KEY",
		Short: "Print the value of a key, which is a string",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDictGet(cmd.Context(), d, args[0], args[1], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runDictGet(ctx context.Context, d deps, name, key string, asJSON bool) error {
	return d.withNamed(ctx, "dict", name, func(c *client.Client, o namedObject) error {
		var result struct {
			Found bool `json:"found"`
		}
		value, err := c.Ask(ctx, "dict.get", map[string]string{"id": o.ID}, pickle.Key(key), &result)
		if err != nil {
			return answer(err)
		}
		if !result.Found {
			return exit.With(exit.UserCode, fmt.Errorf("dict %q has no key %q", name, key))
		}
		v, err := pickle.Load(value)
		if err != nil {
			return exit.With(exit.UserCode, fmt.Errorf("the value of %q cannot be shown: %w", key, err))
		}
		text, isText := v.(string)
		switch {
		case asJSON:
			return d.ui.JSON(pickle.JSON(v, jsonParts))
		case isText:
			d.ui.Println(text)
		default:
			d.ui.Println(pickle.Repr(v, 1<<20))
		}
		return nil
	})
}

func newDictItemsCmd(d deps) *cobra.Command {
	var n int
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "items NAME [N]",
		Short: "Show entries: the first 20, or N, or with --all all",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n = 20; len(args) == 2 {
				if _, err := fmt.Sscanf(args[1]+"\n", "%d\n", &n); err != nil || n < 1 {
					return exit.With(exit.Usage, fmt.Errorf("%q is not a number of entries", args[1]))
				}
			}
			if all {
				n = -1
			}
			return runDictItems(cmd.Context(), d, args[0], n, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show all entries")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: one entry in each line")
	return cmd
}

// runDictItems shows up to n entries; all if n is negative.
func runDictItems(ctx context.Context, d deps, name string, n int, asJSON bool) error {
	return d.withNamed(ctx, "dict", name, func(c *client.Client, o namedObject) error {
		var rows [][]string
		var after []byte
		for first := true; ; first = false {
			var page struct {
				Lengths []int `json:"lengths"`
				More    bool  `json:"more"`
			}
			data, err := c.Ask(ctx, "dict.items", map[string]any{"id": o.ID, "after": !first, "values": true}, after, &page)
			if err != nil {
				return answer(err)
			}
			parts, err := ask.Split(data, page.Lengths)
			if err != nil {
				return exit.With(exit.Host, err)
			}
			for i := 0; i+1 < len(parts); i += 2 {
				if n == 0 {
					page.More = true
					break
				}
				n--
				after = parts[i]
				if asJSON {
					err := d.ui.JSONLine(map[string]any{"key": jsonValue(parts[i]), "value": jsonValue(parts[i+1])})
					if err != nil {
						return err
					}
					continue
				}
				rows = append(rows, []string{shown(parts[i]), shown(parts[i+1])})
			}
			if !page.More || n == 0 {
				if !asJSON {
					d.ui.Table([]string{"KEY", "VALUE"}, rows)
					if page.More {
						d.ui.Notice("there are more: --all shows them")
					}
				}
				return nil
			}
		}
	})
}

// shown is a pickled value for people.
func shown(data []byte) string {
	v, err := pickle.Load(data)
	if err != nil {
		return fmt.Sprintf("<%d bytes>", len(data))
	}
	return pickle.Repr(v, shownBytes)
}

// jsonValue is a pickled value for programs.
func jsonValue(data []byte) any {
	v, err := pickle.Load(data)
	if err != nil {
		return fmt.Sprintf("<%d bytes>", len(data))
	}
	return pickle.JSON(v, jsonParts)
}

func newDictClearCmd(d deps) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "clear NAME",
		Short: "Delete all entries",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(yes, "Delete all entries of dict "+args[0]+"?"); err != nil {
				return err
			}
			return d.withNamed(cmd.Context(), "dict", args[0], func(c *client.Client, o namedObject) error {
				if _, err := c.Ask(cmd.Context(), "dict.clear", map[string]string{"id": o.ID}, nil, nil); err != nil {
					return answer(err)
				}
				d.ui.Done("cleared dict "+args[0], "")
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
