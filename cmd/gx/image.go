package main

import "github.com/spf13/cobra"

func newImageCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "List, explain and remove images"}
	cmd.AddCommand(newImageListCmd(d), newImageHistoryCmd(d), newImageLogsCmd(d), newImagePruneCmd(d))
	return group(cmd)
}
