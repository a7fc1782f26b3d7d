package main

import "github.com/spf13/cobra"

func newAppCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "List, stop and roll back apps, read their output"}
	cmd.AddCommand(newAppListCmd(d), newAppHistoryCmd(d), newAppDiffCmd(d), newAppRollbackCmd(d), newAppRolloverCmd(d), newAppStopCmd(d), newAppDeleteCmd(d), newAppLogsCmd(d), newAppDashboardCmd(d))
	return group(cmd)
}
