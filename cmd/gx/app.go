package main

import "github.com/spf13/cobra"

func newAppCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "List and stop apps, read their output"}
	cmd.AddCommand(newAppListCmd(d), newAppStopCmd(d), newAppLogsCmd(d))
	return group(cmd)
}
