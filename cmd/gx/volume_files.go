package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/remote/transfer"
)

func newVolumeLsCmd(d deps) *cobra.Command {
	var asJSON, recursive bool
	var version int
	cmd := &cobra.Command{
		Use:     "ls NAME [PATH]",
		Short:   "List the files of a volume",
		Example: "  gx volume ls data\n  gx volume ls data /checkpoints --recursive",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVolumeLs(cmd.Context(), d, args[0], strings.Join(args[1:], ""), version, recursive, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "also what is in directories")
	cmd.Flags().IntVar(&version, "version", 0, "as of this version; 0 = the newest")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runVolumeLs(ctx context.Context, d deps, name, at string, version int, recursive, asJSON bool) error {
	c, id, err := d.volume(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	entries, err := transfer.List(ctx, c, id, path.Join("/", at), version, recursive)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(entries)
	}
	rows := make([][]string, len(entries))
	for i, e := range entries {
		size, shown := "", ui.Name(e.Path)
		switch e.Type {
		case "file":
			size = ui.Bytes(e.Size)
		case "directory":
			shown += "/"
		case "symlink":
			shown += " -> " + ui.Name(e.Target)
		}
		rows[i] = []string{shown, e.Type, ui.Ago(d.now(), seconds(e.MTime)), size}
	}
	d.ui.Table([]string{"PATH", "TYPE", "CHANGED", "SIZE"}, rows)
	return nil
}

func newVolumePutCmd(d deps) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "put NAME LOCAL [REMOTE]",
		Short: "Upload a file or a directory",
		Long: `Upload a file or a directory, as one version of the volume: all of it, or
nothing. REMOTE is its path in the volume, or with a slash at its end the
directory that it is put into; the default is /.

Begun again after it was cut off, an upload goes on where it was.`,
		Example: "  gx volume put data model.bin\n  gx volume put data ./images /train/",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			remote := "/"
			if len(args) > 2 {
				remote = args[2]
			}
			return runVolumePut(cmd.Context(), d, args[0], args[1], remote, force)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace files that are there")
	return cmd
}

func runVolumePut(ctx context.Context, d deps, name, local, remote string, force bool) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	if strings.HasSuffix(remote, "/") {
		abs, err := filepath.Abs(local)
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		remote += filepath.Base(abs)
	}
	if _, err := os.Stat(local); err != nil {
		return exit.With(exit.Usage, err)
	}
	c, id, err := d.volume(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	cache, err := d.cacheDir()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	known := filehash.Open(filepath.Join(cache, "hashes"))
	hash := func(ctx context.Context, paths []string) ([]string, error) {
		sums, err := known.Sums(ctx, paths)
		list := make([]string, len(sums))
		for i, s := range sums {
			list[i] = s.SHA256
		}
		return list, err
	}
	progress := d.ui.Progress()
	done, err := transfer.Put(ctx, c, id, local, path.Join("/", remote), hash, transfer.Options{Force: force, Progress: progress.Upload, Warn: d.ui.Warn})
	progress.Close()
	if saved := known.Save(); saved != nil {
		d.ui.Warn(fmt.Sprintf("hashes of files could not be kept for the next time: %v", saved))
	}
	if err != nil {
		return moved(err, "gx volume put goes on where it was")
	}
	d.ui.Done(fmt.Sprintf("put %s into %s:%s", ui.Count(int64(done.Files), "file"), name, path.Join("/", remote)), amount(done))
	return nil
}

// amount is what a transfer has moved.
func amount(s transfer.Summary) string {
	if s.Moved < s.Bytes {
		return ui.Bytes(s.Bytes) + ", of which " + ui.Bytes(s.Bytes-s.Moved) + " were there"
	}
	return ui.Bytes(s.Bytes)
}

// moved is the error that a transfer ends with.
func moved(err error, again string) error {
	switch _, refused := errors.AsType[*api.Error](err); {
	case errors.Is(err, context.Canceled):
		return exit.With(exit.Interrupted, fmt.Errorf("interrupted: %s", again))
	case refused:
		return answer(err)
	case client.Gone(err):
		return exit.With(exit.Host, fmt.Errorf("%w: %s", err, again))
	}
	return exit.With(exit.UserCode, err)
}

func newVolumeGetCmd(d deps) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "get NAME REMOTE [LOCAL]",
		Short: "Download a file or a directory",
		Long: `Download a file or a directory, as it is in the newest version. LOCAL is what it
becomes, or a directory that exists, which it is put into; the default is the
working directory. With - a file goes to stdout.

Begun again after it was cut off, a download goes on where it was.`,
		Example: "  gx volume get data /model.bin\n  gx volume get data /train ./images\n  gx volume get data /notes.txt -",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			local := "."
			if len(args) > 2 {
				local = args[2]
			}
			return runVolumeGet(cmd.Context(), d, args[0], args[1], local, force)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace files that are there")
	return cmd
}

func runVolumeGet(ctx context.Context, d deps, name, remote, local string, force bool) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, id, err := d.volume(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	remote = path.Join("/", remote)
	if local == "-" {
		_, err := transfer.Copy(ctx, c, id, remote, d.stdout, transfer.Options{})
		if err != nil {
			return moved(err, "it was not whole")
		}
		return nil
	}
	if info, err := os.Stat(local); err == nil && info.IsDir() && remote != "/" {
		local = filepath.Join(local, path.Base(remote))
	}
	progress := d.ui.Progress()
	done, err := transfer.Get(ctx, c, id, remote, local, transfer.Options{Force: force, Progress: progress.Download, Warn: d.ui.Warn})
	progress.Close()
	if err != nil {
		return moved(err, "gx volume get goes on where it was")
	}
	d.ui.Done(fmt.Sprintf("got %s from %s:%s", ui.Count(int64(done.Files), "file"), name, remote), amount(done))
	return nil
}

func newVolumeRmCmd(d deps) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "rm NAME PATH",
		Short: "Remove a file or a directory from a volume",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			edits := []map[string]any{{"op": "remove", "path": path.Join("/", args[1]), "recursive": recursive}}
			if err := d.ask(cmd.Context(), "volume.edit", d.named(args[0], "edits", edits), nil); err != nil {
				return err
			}
			d.ui.Done("removed "+args[0]+":"+path.Join("/", args[1]), "")
			return nil
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "a directory, with all that is in it")
	return cmd
}

func newVolumeCpCmd(d deps) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "cp NAME FROM... TO",
		Short: "Copy files within a volume",
		Long: `Copy files within a volume: into TO if that is a directory, else to that name. The
copies share their content on the host's disk.`,
		Args: cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVolumeCp(cmd.Context(), d, args[0], args[1:len(args)-1], args[len(args)-1], recursive)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "also directories")
	return cmd
}

func runVolumeCp(ctx context.Context, d deps, name string, from []string, to string, recursive bool) error {
	c, id, err := d.volume(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	target := path.Join("/", to)
	there, err := transfer.List(ctx, c, id, target, 0, false)
	if err != nil && !refusedAs(err, "not_found") {
		return answer(err)
	}
	directory := err == nil && (len(there) != 1 || "/"+there[0].Path != target)
	if !directory && (len(from) > 1 || strings.HasSuffix(to, "/")) {
		return exit.With(exit.Usage, fmt.Errorf("there is no directory %s in volume %s", target, name))
	}
	var edits []map[string]any
	for _, f := range from {
		edit := map[string]any{"op": "copy", "from": path.Join("/", f), "to": target, "recursive": recursive}
		if directory {
			edit["to"] = path.Join(target, path.Base(path.Join("/", f)))
		}
		edits = append(edits, edit)
	}
	if _, err := c.Ask(ctx, "volume.edit", map[string]any{"id": id, "edits": edits, "force": true}, nil, nil); err != nil {
		return answer(err)
	}
	d.ui.Done(fmt.Sprintf("copied %s to %s:%s", ui.Count(int64(len(from)), "path"), name, target), "")
	return nil
}
