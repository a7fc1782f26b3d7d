package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/sdk"
)

// newSessionCmd is the part of gx that a Python program starts when it is run
// as `python app.py` and comes to `with app.run():`.
func newSessionCmd(d deps) *cobra.Command {
	var runtime string
	cmd := &cobra.Command{
		Use:    "session",
		Short:  "Conduct a session for a Python program that started this command",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSession(cmd.Context(), d, hostOptions{runtime: runtime})
		},
	}
	cmd.Flags().StringVar(&runtime, "runtime", "", "as for gx run")
	return cmd
}

func runSession(ctx context.Context, d deps, o hostOptions) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	control, err := sdk.InheritedControl(d.env)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer control.Close()
	connecting := connect(ctx, d, o)
	defer connecting.close()
	opts, err := sessionOptions(d, connecting, control, signals)
	if err != nil {
		return err
	}
	return exit.Silently(session.Run(ctx, opts).Code)
}
