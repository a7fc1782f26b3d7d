package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/remote/client"
)

type containerExecOptions struct {
	id       string
	args     []string
	dir      string
	pty      bool
	ptyAsked bool
}

func newContainerExecCmd(d deps) *cobra.Command {
	var o containerExecOptions
	cmd := &cobra.Command{
		Use:   "exec [flags] CONTAINER COMMAND [ARGUMENTS]",
		Short: "Run a command in a running container",
		Long: `Run a command in a running container, beside what runs there, with the files, the
environment, the secrets and the limits of its code. gx ends with the command's
exit code; when gx ends, or its connection does, so does the command and what it
has started. While it runs the container does not count as idle.

With a terminal, the command has one too; --pty=false keeps stdout and stderr
apart.`,
		Example: "  gx container exec co-4h2xq7gq5bq6zk3e bash\n  gx container exec co-4h2xq7gq5bq6zk3e -- py-spy dump --pid 1",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id, o.args, o.ptyAsked = args[0], args[1:], cmd.Flags().Changed("pty")
			if o.args[0] == "--" && len(o.args) > 1 {
				o.args = o.args[1:]
			}
			return runContainerExec(cmd.Context(), d, o)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVar(&o.pty, "pty", false, "give the command a terminal (default: if gx has one)")
	cmd.Flags().StringVar(&o.dir, "workdir", "", "where the command begins (default: where the function's code does)")
	return cmd
}

func runContainerExec(ctx context.Context, d deps, o containerExecOptions) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	req := api.ExecRequest{Args: o.args, Dir: o.dir}
	return runCommand(ctx, d, req, wantsTerminal(d, o.ptyAsked, o.pty), func(ctx context.Context, req api.ExecRequest, s client.ExecStreams) (api.ExecExit, error) {
		return c.Exec(ctx, o.id, req, s)
	})
}
