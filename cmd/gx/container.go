package main

import "github.com/spf13/cobra"

func newContainerCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "container", Short: "List containers, read what they print, run commands in them, end them"}
	cmd.AddCommand(newContainerListCmd(d), newContainerLogsCmd(d), newContainerExecCmd(d), newContainerStopCmd(d))
	return group(cmd)
}
