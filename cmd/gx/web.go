package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newWebCmd(d deps) *cobra.Command {
	token := &cobra.Command{
		Use:   "token",
		Short: "Tokens for endpoints with requires_proxy_auth",
		Long: `Web endpoints that are declared with requires_proxy_auth=True answer only
requests that have a token of the host in their headers:

  curl -H "Modal-Key: $KEY" -H "Modal-Secret: $SECRET" URL`,
		Example: `  gx web token create --note "the nightly job"
  gx web token list
  gx web token delete wk-...`,
	}
	token.AddCommand(newWebTokenCreateCmd(d), newWebTokenListCmd(d), newWebTokenDeleteCmd(d))
	cmd := &cobra.Command{Use: "web", Short: "What web endpoints need beside their apps"}
	cmd.AddCommand(group(token))
	return group(cmd)
}

func newWebTokenCreateCmd(d deps) *cobra.Command {
	var note string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token, and print it: its secret is shown this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runWebTokenCreate(cmd.Context(), d, note, asJSON)
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "what it is for")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runWebTokenCreate(ctx context.Context, d deps, note string, asJSON bool) error {
	var made struct {
		Key    string `json:"key"`
		Secret string `json:"secret"`
	}
	if err := d.ask(ctx, "web_token.create", map[string]string{"note": note}, &made); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(made)
	}
	d.ui.Table([]string{"KEY", "SECRET"}, [][]string{{made.Key, made.Secret}})
	return nil
}

func newWebTokenListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runWebTokenList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runWebTokenList(ctx context.Context, d deps, asJSON bool) error {
	var found struct {
		Tokens []struct {
			Key     string  `json:"key"`
			Note    string  `json:"note"`
			Created float64 `json:"created"` // seconds since 1970
		} `json:"tokens"`
	}
	if err := d.ask(ctx, "web_token.list", nil, &found); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(found.Tokens)
	}
	var rows [][]string
	for _, t := range found.Tokens {
		rows = append(rows, []string{t.Key, ui.Ago(d.now(), time.UnixMicro(int64(t.Created*1e6))), t.Note})
	}
	d.ui.Table([]string{"KEY", "CREATED", "NOTE"}, rows)
	return nil
}

func newWebTokenDeleteCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "delete KEY",
		Short: "Delete a token: requests with it are refused from now on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.ask(cmd.Context(), "web_token.delete", map[string]string{"key": args[0]}, nil); err != nil {
				return err
			}
			d.ui.Done("deleted web token "+args[0], "")
			return nil
		},
	}
}
