package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/remote/local"
	"github.com/gx-dev/gx/sdk"
)

type deployOptions struct {
	ref        string
	module     bool
	name       string
	tag        string
	strategy   string
	streamLogs bool
	json       bool
	runtime    string
}

func newDeployCmd(d deps) *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use:   "deploy [flags] FILE[::APP]",
		Short: "Let an app stay, or have one that stays go on with newer code",
		Long: `Make a new version of an app that stays: it goes on when this terminal is closed,
and comes back with the host. Its functions are called from any Python by
Function.from_name, from the shell by ` + "`gx call`" + `, and by their URLs.

Containers of the new version are started before it takes over. If they do not
come up, the version before goes on, and this command fails. Then new calls get
the new version, and what runs on the old one is finished there; with
--strategy recreate the old containers end before there are new ones.`,
		Example: `  gx deploy app.py
  gx deploy app.py::api --name api-staging --tag $(git rev-parse --short HEAD)
  gx deploy -m pkg.app --strategy recreate`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.With(exit.Usage, errorText("gx deploy needs a file: gx deploy FILE[::APP]"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ref = args[0]
			return runDeploy(cmd.Context(), d, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.module, "module", "m", false, "FILE is a module's name, as for python -m")
	flags.StringVar(&o.name, "name", "", "the deployed app's name (default: the name in the file)")
	flags.StringVar(&o.tag, "tag", "", "a name of your own for the version, such as a commit")
	flags.StringVar(&o.strategy, "strategy", api.Rolling, "how containers are replaced: rolling, or recreate")
	flags.BoolVar(&o.streamLogs, "stream-logs", false, "then print the app's output, until Ctrl-C")
	flags.BoolVar(&o.json, "json", false, "for programs")
	flags.StringVar(&o.runtime, "runtime", "", "how containers are made, runc or process; restarts an idle host that uses another")
	return cmd
}

// shownBefore is how many lines from before --stream-logs shows.
const shownBefore = 10

func runDeploy(ctx context.Context, d deps, o deployOptions) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if !slices.Contains([]string{api.Rolling, api.Recreate}, o.strategy) {
		return exit.With(exit.Usage, fmt.Errorf("--strategy %s: it can be %s or %s", o.strategy, api.Rolling, api.Recreate))
	}
	connecting := connect(ctx, d, hostOptions{runtime: o.runtime})
	defer connecting.close()
	apps, err := collect(ctx, d, o.ref, o.module)
	if err != nil {
		return err
	}
	if o.name != "" && len(apps) > 1 {
		return exit.With(exit.Usage, fmt.Errorf("%s has %d apps, and --name is for one: choose it by gx deploy %s::APP", o.ref, len(apps), o.ref))
	}
	cache, err := d.cacheDir()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	preparer := session.Preparer{UI: d.ui, Hashes: filehash.Open(filepath.Join(cache, "hashes")), Connect: connecting.host}
	var all []api.Deployed
	for _, a := range apps {
		if o.name != "" {
			a.Manifest.Name = o.name
		}
		if a.Manifest.Name == "" {
			return exit.With(exit.Usage, fmt.Errorf("the app %q in %s has no name, which an app that stays needs: gx.App(\"name\"), or --name", a.Variable, o.ref))
		}
		done, err := preparer.Deploy(ctx, sdk.Deploy{Manifest: a.Manifest, Output: true, Tag: o.tag, Strategy: o.strategy})
		if err != nil {
			return d.trouble(ctx, err)
		}
		all = append(all, done)
	}
	if o.json {
		if err := d.ui.JSON(all); err != nil {
			return err
		}
	}
	if o.streamLogs {
		return runLogs(ctx, d, all[0].App, logsOptions{query: api.LogQuery{Follow: true, Tail: shownBefore}})
	}
	return nil
}

// trouble shows what went wrong with preparing an app, and is how gx ends.
func (d deps) trouble(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit.Silently(exit.Interrupted)
	}
	logFile := ""
	if dirs, err := local.Paths(d.env); err == nil {
		logFile = dirs.LogFile
	}
	t := session.TroubleOf(err, logFile)
	d.ui.Problem(t.Problem)
	return exit.Silently(t.Code)
}

// collect has the user's Python import a file, and returns the apps in it.
func collect(ctx context.Context, d deps, ref string, module bool) ([]sdk.CollectedApp, error) {
	python, dir, err := pythonAndSDK(ctx, d)
	if err != nil {
		return nil, err
	}
	p, err := sdk.StartPython(ctx, sdk.Options{
		Python: python, SDKDir: dir, Args: []string{"-m", "gx._cli", "serve"}, Env: os.Environ(),
		Stdout: d.stderr, Stderr: d.stderr,
	})
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	collected, err := askCollect(ctx, d, p, sdk.Collect{Reference: ref, Module: module})
	code, failed := p.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, exit.Silently(exit.Interrupted)
	case err != nil:
		return nil, exit.With(exit.Usage, fmt.Errorf("the Python that imported %s has ended (%d): %w", ref, code, errors.Join(err, failed)))
	case collected.Exception != nil:
		d.ui.Problem(explain.Exception(*collected.Exception))
		return nil, exit.Silently(explain.ExceptionCode(*collected.Exception))
	}
	return collected.Apps, nil
}

func askCollect(ctx context.Context, d deps, p *sdk.Process, ask sdk.Collect) (sdk.Collected, error) {
	if err := p.Control().Send(sdk.ToPython{Collect: &ask}); err != nil {
		return sdk.Collected{}, err
	}
	for {
		m, err := p.Control().Recv(ctx)
		if err != nil {
			return sdk.Collected{}, err
		}
		if m.Warning != "" {
			d.ui.Warn(m.Warning)
		}
		if m.Collected != nil {
			return *m.Collected, nil
		}
	}
}
