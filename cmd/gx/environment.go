package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// environmentVariable names the environment for the user's Python, which this
// program starts, and for gx itself.
const environmentVariable = "GX_ENVIRONMENT"

// enterEnvironment makes --env known to everything that follows.
func enterEnvironment(cmd *cobra.Command) error {
	flag := cmd.Flag("env")
	if flag == nil || !flag.Changed {
		return nil
	}
	return setEnvironment(flag.Value.String())
}

func setEnvironment(name string) error {
	if err := app.CheckName("environment", name); err != nil {
		return exit.With(exit.Usage, err)
	}
	return os.Setenv(environmentVariable, name)
}

// environment is the environment that is meant; "" = the main one.
func (d deps) environment() string {
	if name := d.env(environmentVariable); name != "" {
		return name
	}
	return d.env("MODAL_ENVIRONMENT")
}

// inEnvironment is the reference of an app that was named on the command line.
// An id is one everywhere.
func (d deps) inEnvironment(app string) string {
	in := d.environment()
	if in == "" || strings.HasPrefix(app, "ap-") || strings.Contains(app, "/") {
		return app
	}
	return in + "/" + app
}

func newEnvironmentCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "environment",
		Short: "Separate sets of names: of apps, volumes, secrets, dicts and queues",
		Long: `Environments are separate sets of names on one host: an app "train" of
environment "dev" and one of "main" are two apps, and so are volumes, secrets,
dicts and queues. --env, or $GX_ENVIRONMENT, says which is meant.`,
		Example: "  gx environment create dev\n  gx run --env dev train.py\n  gx volume list --env dev",
	}
	cmd.AddCommand(newEnvironmentListCmd(d), newEnvironmentCreateCmd(d), newEnvironmentUpdateCmd(d), newEnvironmentDeleteCmd(d))
	return group(cmd)
}

func newEnvironmentListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List environments",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runEnvironmentList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runEnvironmentList(ctx context.Context, d deps, asJSON bool) error {
	var found struct {
		Environments []struct {
			Name    string  `json:"name"`
			Created float64 `json:"created"` // seconds since 1970
			Default bool    `json:"default"`
		} `json:"environments"`
	}
	if err := d.ask(ctx, "environment.list", nil, &found); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(found.Environments)
	}
	var rows [][]string
	for _, e := range found.Environments {
		created, note := "", "default"
		if !e.Default {
			created, note = ui.Ago(d.now(), time.UnixMicro(int64(e.Created*1e6))), ""
		}
		rows = append(rows, []string{e.Name, created, note})
	}
	d.ui.Table([]string{"NAME", "CREATED", ""}, rows)
	return nil
}

func newEnvironmentCreateCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Make an environment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.ask(cmd.Context(), "environment.create", map[string]string{"name": args[0]}, nil); err != nil {
				return err
			}
			d.ui.Done("created environment "+args[0], "")
			return nil
		},
	}
}

func newEnvironmentUpdateCmd(d deps) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "update NAME --set-name NEW",
		Short: "Rename an environment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return exit.With(exit.Usage, fmt.Errorf("what is to change? --set-name gives a new name"))
			}
			if err := d.ask(cmd.Context(), "environment.rename", map[string]string{"name": args[0], "to": to}, nil); err != nil {
				return err
			}
			d.ui.Done("environment "+args[0]+" is now "+to, "")
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "set-name", "", "its new name")
	return cmd
}

func newEnvironmentDeleteCmd(d deps) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete an environment and all that belongs to it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(yes, "Delete environment "+args[0]+" with its volumes, secrets, dicts and queues?"); err != nil {
				return err
			}
			if err := d.ask(cmd.Context(), "environment.delete", map[string]string{"name": args[0]}, nil); err != nil {
				return err
			}
			d.ui.Done("deleted environment "+args[0], "")
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
