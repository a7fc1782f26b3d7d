package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

func newRootCmd(d deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "gx",
		Short: "Run Python functions in containers, on machines of your own",
		Long: `gx runs decorated Python functions in containers that it builds, with the
resources they ask for, on this machine. A file written for Modal runs as it is.

    gx run app.py                 run an app's entrypoint
    gx run app.py::train --lr 3   run one function of it
    gx serve app.py               keep it running, and have it follow its files
    gx deploy app.py              let it stay, whatever becomes of this terminal
    gx doctor                     check what this machine has and lacks`,
		Version:       d.version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringP("env", "e", "", "environment whose apps, volumes, secrets, dicts and queues are meant (default $"+environmentVariable+", else main)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return enterEnvironment(cmd) }
	root.SetVersionTemplate("gx {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.With(exit.Usage, err) })
	root.AddGroup(
		&cobra.Group{ID: "apps", Title: "Apps:"},
		&cobra.Group{ID: "host", Title: "The host and what it keeps:"},
		&cobra.Group{ID: "help", Title: "Help:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("apps", newRunCmd(d), newServeCmd(d), newShellCmd(d), newDeployCmd(d), newCallCmd(d), newAppCmd(d), newScheduleCmd(d), newLogsCmd(d), newContainerCmd(d), newTopCmd(d), newWhyCmd(d))
	add("host", newHostCmd(d), newDashboardCmd(d), newEnvironmentCmd(d), newVolumeCmd(d), newSecretCmd(d), newDictCmd(d), newQueueCmd(d), newWebCmd(d), newImageCmd(d), newGPUCmd(d), newConfigCmd(d), newBillingCmd(d), newDoctorCmd(d), newSDKCmd(d))
	add("help", newVersionCmd(d))
	root.AddCommand(newSessionCmd(d), newExitCodesTopic())
	root.SetHelpCommandGroupID("help")
	root.SetCompletionCommandGroupID("help")
	return root
}

// newExitCodesTopic is what `gx help exit-codes` shows.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What gx's exit codes mean", Long: exit.Doc()}
}

// group makes a command that only holds others: alone it shows its help, and a
// word that is none of them is a mistake.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return exit.With(exit.Usage, fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}
