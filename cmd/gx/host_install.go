package main

import (
	"context"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/host/service"
	"github.com/gx-dev/gx/remote/local"
)

func newHostInstallCmd(d deps) *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Have systemd start the host with the machine, and again after a crash",
		Long: `Write a unit of systemd for your own user, and have it started: the host, and
with it your deployed apps, comes back when it has crashed and after the machine
was started again. It stays while it is idle. Where the folders of gx are set by
the environment (GX_STATE_DIR, ...), the unit has them as they are now.

Without the unit, deployed apps come back with the first command, or the first
program, that needs the host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostInstall(cmd.Context(), d, show)
		},
	}
	cmd.Flags().BoolVar(&show, "print", false, "print the unit, and do nothing")
	return cmd
}

func runHostInstall(ctx context.Context, d deps, show bool) error {
	exe, _, err := d.build()
	if err != nil {
		return err
	}
	unit := service.Unit{Exe: exe}
	for _, key := range []string{"GX_STATE_DIR", "GX_RUNTIME_DIR", "GX_CONFIG_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if value := d.env(key); value != "" {
			unit.Env = append(unit.Env, key+"="+value)
		}
	}
	// A service's own is another folder where none is set here.
	if d.env("GX_RUNTIME_DIR") == "" {
		dirs, err := local.Paths(d.env)
		if err != nil {
			return exit.With(exit.Host, err)
		}
		unit.Env = append(unit.Env, "GX_RUNTIME_DIR="+dirs.Runtime)
	}
	if show {
		d.ui.Println(unit.Text())
		return nil
	}
	path, err := service.Path(d.env)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if err := service.Available(ctx); err != nil {
		return exit.With(exit.UserCode, fmt.Errorf("nothing was installed: %w. The first command that needs the host starts it, with the deployed apps; to have it started with the machine, have your service manager run `%s host start --foreground`, as you", err, exe))
	}
	if err := stopIdle(ctx, d); err != nil {
		d.ui.Notice("the host that runs goes on until its apps have ended; then the service takes over")
	}
	if err := service.Install(ctx, path, unit); err != nil {
		return exit.With(exit.UserCode, err)
	}
	d.ui.Done("the host is a service now: "+service.Name, path)
	if u, err := user.Current(); err == nil && !service.Lingers(ctx, u.Username) {
		d.ui.Warn(fmt.Sprintf("it ends when you log out, and starts when you log in: `loginctl enable-linger %s` has it run without you", u.Username))
	}
	return nil
}

// stopIdle ends a host that the service is to take over from; an error says that
// it is busy.
func stopIdle(ctx context.Context, d deps) error {
	c, err := d.dial(ctx)
	if err != nil {
		return nil //nolint:nilerr // none is running
	}
	defer c.Close()
	return c.StopHost(ctx, false)
}

func newHostUninstallCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Have systemd start the host no more",
		Long: `End the service that ` + "`gx host install`" + ` has made, and remove its unit. Deployed
apps are kept, and come back with the next host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runHostUninstall(cmd.Context(), d)
		},
	}
}

func runHostUninstall(ctx context.Context, d deps) error {
	path, err := service.Path(d.env)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	there, err := service.Uninstall(ctx, path)
	if err != nil {
		return exit.With(exit.UserCode, err)
	}
	if !there {
		d.ui.Notice("the host is no service: there is no " + path)
		return nil
	}
	d.ui.Done("the host is no service any more", "removed "+path)
	return nil
}
