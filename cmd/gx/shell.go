package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/sdk"
)

type shellOptions struct {
	ref       string
	module    bool
	cmd       string
	image     string
	addPython string
	gpu       string
	volumes   []string
	secrets   []string
	pty       bool
	ptyAsked  bool
	runtime   string
}

func newShellCmd(d deps) *cobra.Command {
	var o shellOptions
	cmd := &cobra.Command{
		Use:   "shell [flags] [REF]",
		Short: "A terminal in a container that is made like a function's",
		Long: `A terminal in a container: with the image, the files, the volumes, the secrets,
the GPU and the limits of a function. REF is

    FILE::FUNCTION      a function in a file; FILE alone means its first one
    APP::FUNCTION       a function of an app that runs or is deployed, by its name or id
    CONTAINER           a container that is running (co-...): the shell is in that one

In the first two cases the container is one of its own. It ends with the shell,
and with gx or its connection; what was changed in its volumes then is kept.
--image makes a container of any image, without REF.`,
		Example: `  gx shell train.py::fit
  gx shell my-app::predict --cmd 'nvidia-smi'
  gx shell co-4h2xq7gq5bq6zk3e
  gx shell --image python:3.12 --gpu T4`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.ref = args[0]
			}
			o.ptyAsked = cmd.Flags().Changed("pty")
			return runShell(cmd.Context(), d, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.cmd, "cmd", "c", "", "what to run, by sh -c (default: bash, or sh)")
	f.StringVar(&o.image, "image", "", "an image from a registry, or debian_slim, instead of REF")
	f.StringVar(&o.addPython, "add-python", "", "with --image: the Python to add, as 3.12")
	f.StringVar(&o.gpu, "gpu", "", "with --image: the GPU, as T4 or A100:2")
	f.StringArrayVar(&o.volumes, "volume", nil, "with --image: a volume by its name, mounted at /mnt/NAME")
	f.StringArrayVar(&o.secrets, "secret", nil, "with --image: a secret by its name")
	f.BoolVar(&o.pty, "pty", false, "give the command a terminal (default: if gx has one)")
	f.BoolVarP(&o.module, "module", "m", false, "FILE is a module's name, as for python -m")
	f.StringVar(&o.runtime, "runtime", "", "how containers are made, runc or process; restarts an idle host that uses another")
	return cmd
}

func runShell(ctx context.Context, d deps, o shellOptions) error {
	req := api.ExecRequest{}
	if o.cmd != "" {
		req.Args = []string{"sh", "-c", o.cmd}
	}
	terminal := wantsTerminal(d, o.ptyAsked, o.pty)
	switch {
	case (o.ref == "") == (o.image == ""):
		return exit.With(exit.Usage, errorText("gx shell needs either REF or --image"))
	case o.image == "" && (o.addPython != "" || o.gpu != "" || len(o.volumes) > 0 || len(o.secrets) > 0):
		return exit.With(exit.Usage, errorText("--add-python, --gpu, --volume and --secret go with --image; REF has its own"))
	case o.image != "":
		return shellInImage(ctx, d, o, req, terminal)
	}
	file, function, _ := strings.Cut(o.ref, "::")
	if _, err := os.Stat(file); err == nil || o.module || strings.HasSuffix(file, ".py") {
		return shellInFile(ctx, d, o, function, req, terminal)
	}
	c, err := d.ensure(ctx, hostOptions{runtime: o.runtime})
	if err != nil {
		return err
	}
	defer c.Close()
	return runCommand(ctx, d, req, terminal, func(ctx context.Context, req api.ExecRequest, s client.ExecStreams) (api.ExecExit, error) {
		if strings.HasPrefix(o.ref, "co-") {
			return c.Exec(ctx, o.ref, req, s)
		}
		return c.Shell(ctx, d.inEnvironment(file), classOf(function), req, s)
	})
}

// classOf is the function to which a name belongs: a method is its class's.
func classOf(function string) string {
	class, _, _ := strings.Cut(function, ".")
	return class
}

// shellInFile starts the file's app for as long as the shell lasts.
func shellInFile(ctx context.Context, d deps, o shellOptions, function string, req api.ExecRequest, terminal bool) error {
	connecting := connect(ctx, d, hostOptions{runtime: o.runtime})
	defer connecting.close()
	file, _, _ := strings.Cut(o.ref, "::")
	apps, err := prepareStopped(ctx, func(ctx context.Context) ([]sdk.CollectedApp, error) { return collect(ctx, d, file, o.module) })
	if err != nil {
		return err
	}
	var names []string
	for _, a := range apps {
		for _, f := range a.Manifest.Functions {
			names = append(names, f.Name)
			if f.Name == classOf(function) || function == "" {
				return shellInApp(ctx, d, connecting, a, f.Name, req, terminal)
			}
		}
	}
	if len(names) == 0 {
		return exit.With(exit.Usage, fmt.Errorf("%s has no function to have a shell of", file))
	}
	return exit.With(exit.Usage, fmt.Errorf("%s has no function %q; it has %s", file, function, strings.Join(names, ", ")))
}

// prepareStopped runs what Ctrl-C may stop; afterwards it is the command's.
func prepareStopped[T any](ctx context.Context, run func(context.Context) (T, error)) (T, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	return run(ctx)
}

func shellInApp(ctx context.Context, d deps, connecting *connection, a sdk.CollectedApp, function string, req api.ExecRequest, terminal bool) error {
	cache, err := d.cacheDir()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	// Only what the shell needs is started: nothing else of the app runs.
	preparer := session.Preparer{UI: d.ui, Hashes: filehash.Open(filepath.Join(cache, "hashes")), Connect: connecting.host}
	running, err := prepareStopped(ctx, func(ctx context.Context) (*client.Session, error) {
		for i := range a.Manifest.Functions {
			a.Manifest.Functions[i].Scaling.Min = 0
		}
		ready, err := preparer.Prepare(ctx, a.Manifest, true)
		if err != nil {
			return nil, d.trouble(ctx, err)
		}
		running, err := connecting.client.StartSession(ctx, api.SessionRequest{Manifest: ready.Manifest, Images: ready.Images})
		if err != nil {
			return nil, d.trouble(ctx, session.Refusal(err))
		}
		return running, nil
	})
	if err != nil {
		return err
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for range running.Events() { // the shell tells what there is to tell
		}
	})
	id := running.Started().App
	err = runCommand(ctx, d, req, terminal, func(ctx context.Context, req api.ExecRequest, s client.ExecStreams) (api.ExecExit, error) {
		return connecting.client.Shell(ctx, id, function, req, s)
	})
	if running.Stop(ctx, true) == nil {
		listening.Wait()
	}
	_ = running.Close()
	listening.Wait()
	return err
}

// shellInImage makes a file with one function of the image.
func shellInImage(ctx context.Context, d deps, o shellOptions, req api.ExecRequest, terminal bool) error {
	quote := func(s string) string { // what JSON writes, Python reads
		text, _ := json.Marshal(s) // of a string never fails
		return string(text)
	}
	var b strings.Builder
	b.WriteString("import gx\napp = gx.App()\n")
	switch {
	case o.image == "debian_slim" && o.addPython != "":
		fmt.Fprintf(&b, "image = gx.Image.debian_slim(python_version=%s)\n", quote(o.addPython))
	case o.image == "debian_slim":
		b.WriteString("image = gx.Image.debian_slim()\n")
	case o.addPython != "":
		fmt.Fprintf(&b, "image = gx.Image.from_registry(%s, add_python=%s)\n", quote(o.image), quote(o.addPython))
	default:
		fmt.Fprintf(&b, "image = gx.Image.from_registry(%s)\n", quote(o.image))
	}
	b.WriteString("@app.function(image=image")
	if o.gpu != "" {
		fmt.Fprintf(&b, ", gpu=%s", quote(o.gpu))
	}
	b.WriteString(", volumes={")
	for _, name := range o.volumes {
		fmt.Fprintf(&b, "%s: gx.Volume.from_name(%s), ", quote("/mnt/"+name), quote(name))
	}
	b.WriteString("}, secrets=[")
	for _, name := range o.secrets {
		fmt.Fprintf(&b, "gx.Secret.from_name(%s), ", quote(name))
	}
	b.WriteString("])\ndef shell():\n    pass\n")
	dir, err := os.MkdirTemp("", "gx-shell-")
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer os.RemoveAll(dir)
	o.ref, o.module = filepath.Join(dir, "shell.py"), false
	if err := os.WriteFile(o.ref, []byte(b.String()), 0o600); err != nil {
		return exit.With(exit.Usage, err)
	}
	return shellInFile(ctx, d, o, "shell", req, terminal)
}
