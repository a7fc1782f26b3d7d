package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/doctor"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/local"
)

func newDoctorCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine has and lacks, with the command that mends it",
		Long: `Check what gx needs on this machine: Python, containers, disk, network, base
images. Each check that fails names the command that mends it. Ends with 1 if
something is missing without which gx does not work. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runDoctor(ctx context.Context, d deps, asJSON bool) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	dirs, err := local.Paths(d.env)
	if err != nil {
		return exit.With(exit.Host, err)
	}
	cache, err := d.cacheDir()
	if err != nil {
		return exit.With(exit.UserCode, err)
	}
	checks := []doctor.Check{
		func(ctx context.Context) []doctor.Result { return []doctor.Result{checkHost(ctx, d)} },
		doctor.Python(d.env),
		doctor.SDK(cache),
		doctor.Disk(dirs.State),
		doctor.Containers(dirs.State),
		doctor.Network(d.env),
		doctor.Base(),
	}
	results := doctor.Examine(ctx, checks)
	if asJSON {
		err = d.ui.JSON(results)
	} else {
		findings := make([]ui.Finding, len(results))
		for i, r := range results {
			findings[i] = ui.Finding{Level: string(r.Level), Name: r.Name, Found: r.Found, Mend: r.Mend}
		}
		d.ui.Findings(findings)
	}
	if err == nil && doctor.Failed(results) {
		return exit.Silently(exit.UserCode)
	}
	return err
}

func checkHost(ctx context.Context, d deps) doctor.Result {
	c, err := d.dial(ctx)
	if errors.Is(err, errNoHost) {
		return doctor.Result{Name: "host", Level: doctor.OK, Found: "not running; the first command that needs it starts it"}
	}
	if err != nil {
		return doctor.Result{Name: "host", Level: doctor.Fail, Found: err.Error(), Mend: "gx host logs"}
	}
	defer c.Close()
	status, err := c.Status(ctx)
	if err != nil {
		return doctor.Result{Name: "host", Level: doctor.Fail, Found: "it does not answer: " + err.Error(), Mend: "gx host logs"}
	}
	_, build, err := d.build()
	if err == nil && status.Build != build {
		return doctor.Result{Name: "host", Level: doctor.Warn, Found: fmt.Sprintf("pid %d runs another build of gx (%s)", status.Pid, status.Version),
			Mend: "gx host stop"}
	}
	return doctor.Result{Name: "host", Level: doctor.OK, Found: fmt.Sprintf("pid %d, %s runtime, images by %s", status.Pid, status.Runtime, status.Engine)}
}
