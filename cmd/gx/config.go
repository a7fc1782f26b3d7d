package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/host/config"
	"github.com/gx-dev/gx/remote/local"
)

func newConfigCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show and change the settings of your host"}
	cmd.AddCommand(newConfigShowCmd(d), newConfigSetCmd(d))
	return group(cmd)
}

func newConfigShowCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every setting, and where it comes from",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runConfigShow(d, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runConfigShow(d deps, asJSON bool) error {
	path, err := configPath(d)
	if err != nil {
		return err
	}
	list, err := config.Settings(path, d.env)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if asJSON {
		return d.ui.JSON(list)
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{s.Key, s.Value, s.From})
	}
	d.ui.Table([]string{"SETTING", "VALUE", "FROM"}, rows)
	return nil
}

func newConfigSetCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "set SETTING VALUE",
		Short: "Change a setting; an empty value is its default",
		Long: `Changes a setting in the configuration file, and nothing else in it. The host
reads the file when it starts.

    gx config set gpus "A100-80GB:8,T4:4"
    gx config set gpu_prices.A100-80GB 0.0005
    gx config set images.registry off`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configPath(d)
			if err != nil {
				return err
			}
			if err := config.Set(path, args[0], args[1]); err != nil {
				return exit.With(exit.Usage, err)
			}
			c, err := d.dial(cmd.Context())
			if err == nil {
				c.Close()
				d.ui.Notice("the host that is running keeps the settings that it began with; `gx host stop`, and the next command starts one with these")
			}
			return nil
		},
	}
}

// configPath is where the configuration is.
func configPath(d deps) (string, error) {
	dirs, err := local.Paths(d.env)
	if err == nil && dirs.Config == "" {
		err = errors.New("nowhere to keep the configuration: neither HOME nor GX_CONFIG_DIR is set")
	}
	return dirs.Config, exit.With(exit.Usage, err)
}

// loadSettings reads the settings that a host would start with.
func loadSettings(d deps) (config.Config, error) {
	dirs, err := local.Paths(d.env)
	if err != nil {
		return config.Config{}, exit.With(exit.Usage, err)
	}
	settings, err := config.Load(dirs.Config, d.env)
	if err != nil {
		return settings, exit.With(exit.Usage, fmt.Errorf("the configuration: %w", err))
	}
	return settings, nil
}
