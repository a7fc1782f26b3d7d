package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersionCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print gx's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, build, err := d.build()
			if err != nil {
				return err
			}
			if asJSON {
				return d.ui.JSON(map[string]string{"version": d.version, "build": build, "go": runtime.Version(),
					"platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			d.ui.Println(fmt.Sprintf("gx %s (%s/%s, %s, build %s)", d.version, runtime.GOOS, runtime.GOARCH, runtime.Version(), build))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}
