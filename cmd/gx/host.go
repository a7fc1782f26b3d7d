package main

import "github.com/spf13/cobra"

func newHostCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Start, stop and look at the host that runs your functions",
		Long: `A host runs functions. On this machine it is a background process, one for each
user, which the first command that needs it starts and which ends itself when it
has been idle for a while.`,
	}
	cmd.AddCommand(newHostStartCmd(d), newHostStatusCmd(d), newHostStopCmd(d), newHostLogsCmd(d), newHostInstallCmd(d), newHostUninstallCmd(d))
	return group(cmd)
}
