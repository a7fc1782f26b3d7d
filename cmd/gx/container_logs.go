package main

import "github.com/spf13/cobra"

func newContainerLogsCmd(d deps) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs CONTAINER",
		Short: "Print what a container printed, by its id, also after it has ended",
		Long:  "Print what a container printed, by its id, also after it has ended. The flags are those of gx logs.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogs(cmd.Context(), d, args[0], o)
		},
	}
	logFlags(cmd, &o)
	return cmd
}
