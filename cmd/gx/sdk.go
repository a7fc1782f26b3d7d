package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/sdk"
)

func newSDKCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sdk",
		Short: "Use the Python SDK without `gx run`",
	}
	path := &cobra.Command{
		Use:     "path",
		Short:   "Print the folder that holds the Python packages gx and modal",
		Example: "  PYTHONPATH=$(gx sdk path) python app.py",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return runSDKPath(d)
		},
	}
	python := &cobra.Command{
		Use:                "python FILE [ARGUMENTS]",
		Short:              "Run your Python with the SDK on its path",
		Example:            "  gx sdk python app.py",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			return runSDKPython(cmd.Context(), d, args)
		},
	}
	cmd.AddCommand(path, python)
	return group(cmd)
}

func runSDKPath(d deps) error {
	cache, err := d.cacheDir()
	if err != nil {
		return err
	}
	dir, err := sdk.Extract(cache)
	if err != nil {
		return fmt.Errorf("unpacking the SDK: %w", err)
	}
	d.ui.Println(dir)
	return nil
}

// runSDKPython becomes Python: signals, terminal and exit code are its own.
func runSDKPython(ctx context.Context, d deps, args []string) error {
	python, dir, err := pythonAndSDK(ctx, d)
	if err != nil {
		return err
	}
	exe, _, err := d.build()
	if err != nil {
		return err
	}
	path := dir
	if old := d.env("PYTHONPATH"); old != "" {
		path += string(os.PathListSeparator) + old
	}
	env := withEnv(os.Environ(), "PYTHONPATH", path)
	env = withEnv(env, "GX_EXE", exe)
	err = syscall.Exec(python, append([]string{python}, args...), env)
	return exit.With(exit.Usage, fmt.Errorf("starting %s: %w", python, err))
}

// withEnv is an environment with one variable set anew.
func withEnv(env []string, key, value string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, key+"=") {
			out = append(out, kv)
		}
	}
	return append(out, key+"="+value)
}
