package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newSecretCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Secrets that functions get as environment variables: set, list and delete them",
		Long: `Secrets that functions get as environment variables (gx.Secret.from_name). The
host keeps them encrypted, and shows nobody their values. A container that starts
after a change has the new ones.`,
		Example: "  gx secret create huggingface HF_TOKEN=-            # asks for the value\n  gx secret create production --from-dotenv .env.production\n  gx secret list",
	}
	cmd.AddCommand(newSecretCreateCmd(d), newSecretListCmd(d), newNamedDeleteCmd(d, "secret"))
	return group(cmd)
}

// secretOptions are what `gx secret create` is told.
type secretOptions struct {
	name   string
	pairs  []string // KEY=VALUE
	dotenv string   // files
	json   string
	force  bool
}

func newSecretCreateCmd(d deps) *cobra.Command {
	var o secretOptions
	cmd := &cobra.Command{
		Use:   "create NAME [KEY=VALUE...]",
		Short: "Make a secret, or with --force set all of its values anew",
		Long: `Make a secret, or with --force set all of its values anew.

Values that are given as KEY=VALUE stay in the shell's history, and others on this
machine can see them while the command runs. KEY=- asks for the value, or reads it
from standard input. What is given as KEY=VALUE wins over what files say.`,
		Example: "  gx secret create wandb WANDB_API_KEY=- WANDB_PROJECT=my-project\n  gx secret create deploy-key PRIVATE_KEY=- < id_ed25519\n  gx secret create production --from-dotenv .env.production --force",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.pairs = args[0], args[1:]
			return runSecretCreate(cmd.Context(), d, o)
		},
	}
	cmd.Flags().StringVar(&o.dotenv, "from-dotenv", "", "take the values from a .env `file`; - is standard input")
	cmd.Flags().StringVar(&o.json, "from-json", "", "take the values from a `file` with a JSON object of strings; - is standard input")
	cmd.Flags().BoolVar(&o.force, "force", false, "take the place of a secret of this name")
	return cmd
}

func runSecretCreate(ctx context.Context, d deps, o secretOptions) error {
	values, err := d.secretValues(o)
	if err != nil {
		return err
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	params := d.naming(o.name)
	params["overwrite"] = o.force
	var made secretObject
	if _, err := c.Ask(ctx, "secret.create", params, data, &made); err != nil {
		return answer(err)
	}
	verb := "created"
	if made.Updated != made.Created {
		verb = "set"
	}
	d.ui.Done(verb+" secret "+o.name, strings.Join(made.Keys, ", "))
	return nil
}

// secretObject is a secret, as the host describes it.
type secretObject struct {
	namedObject
	Keys    []string `json:"keys"`
	Updated float64  `json:"updated_at"` // seconds since 1970
}

func (o secretObject) updated() time.Time { return time.UnixMicro(int64(o.Updated * 1e6)) }

func newSecretListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List secrets and the names of their variables, but no values",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found struct {
				Objects []secretObject `json:"objects"`
			}
			if err := d.ask(cmd.Context(), "secret.list", map[string]any{"environment": d.environment()}, &found); err != nil {
				return err
			}
			if asJSON {
				return d.ui.JSON(found.Objects)
			}
			var rows [][]string
			for _, o := range found.Objects {
				rows = append(rows, []string{o.Name, strings.Join(o.Keys, ", "), ui.Ago(d.now(), o.created()), ui.Ago(d.now(), o.updated())})
			}
			d.ui.Table([]string{"NAME", "KEYS", "CREATED", "UPDATED"}, rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}
