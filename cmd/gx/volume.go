package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
)

func newVolumeCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "volume",
		Short: "Folders that functions share, in versions",
		Long: `Volumes are named folders that the host keeps and functions share:

    @app.function(volumes={"/data": gx.Volume.from_name("data")})

Each commit, upload and change is a version of the whole volume; gx volume
history lists them and gx volume restore goes back to one.`,
	}
	cmd.AddCommand(
		newVolumeCreateCmd(d), newVolumeListCmd(d), newVolumeLsCmd(d), newVolumePutCmd(d), newVolumeGetCmd(d), newVolumeRmCmd(d),
		newVolumeCpCmd(d), newVolumeRenameCmd(d), newNamedDeleteCmd(d, "volume"), newVolumeHistoryCmd(d), newVolumeRestoreCmd(d),
	)
	return group(cmd)
}

// named is naming with more parameters, in pairs.
func (d deps) named(name string, more ...any) map[string]any {
	params := d.naming(name)
	for i := 0; i < len(more); i += 2 {
		params[more[i].(string)] = more[i+1]
	}
	return params
}

// volume connects with the host and finds a volume by its name. Close the client.
func (d deps) volume(ctx context.Context, name string) (c *client.Client, id string, err error) {
	if c, err = d.ensure(ctx, hostOptions{}); err != nil {
		return nil, "", err
	}
	var found struct {
		ID string `json:"id"`
	}
	if _, err := c.Ask(ctx, "volume.get", d.named(name), nil, &found); err != nil {
		c.Close()
		return nil, "", answer(err)
	}
	return c, found.ID, nil
}

func newVolumeCreateCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Make an empty volume",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.ask(cmd.Context(), "volume.create", d.named(args[0]), nil); err != nil {
				return err
			}
			d.ui.Done("created volume "+args[0], fmt.Sprintf("volumes={\"/data\": gx.Volume.from_name(%q)}", args[0]))
			return nil
		},
	}
}

func newVolumeListCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List volumes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVolumeList(cmd.Context(), d, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runVolumeList(ctx context.Context, d deps, asJSON bool) error {
	var found struct {
		Volumes []struct {
			ID      string  `json:"id"`
			Name    string  `json:"name"`
			Created float64 `json:"created_at"` // seconds since 1970
			Version int     `json:"version"`
			Files   int64   `json:"files"`
			Bytes   int64   `json:"bytes"`
		} `json:"volumes"`
	}
	if err := d.ask(ctx, "volume.list", map[string]any{"environment": d.environment()}, &found); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(found.Volumes)
	}
	rows := make([][]string, len(found.Volumes))
	for i, v := range found.Volumes {
		rows[i] = []string{v.Name, ui.Ago(d.now(), seconds(v.Created)), strconv.Itoa(v.Version), strconv.FormatInt(v.Files, 10), ui.Bytes(v.Bytes)}
	}
	d.ui.Table([]string{"NAME", "CREATED", "VERSION", "FILES", "SIZE"}, rows)
	return nil
}

// seconds is a time of the host's answers.
func seconds(since1970 float64) time.Time { return time.UnixMicro(int64(since1970 * 1e6)) }

func newVolumeRenameCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Give a volume another name",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.ask(cmd.Context(), "volume.rename", d.named(args[0], "to", args[1]), nil); err != nil {
				return err
			}
			d.ui.Done("volume "+args[0]+" is now "+args[1], "")
			return nil
		},
	}
}

func newVolumeHistoryCmd(d deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "List the versions of a volume that are kept",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVolumeHistory(cmd.Context(), d, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func runVolumeHistory(ctx context.Context, d deps, name string, asJSON bool) error {
	var found struct {
		Versions []struct {
			Version int     `json:"version"`
			At      float64 `json:"at"` // seconds since 1970
			By      string  `json:"by"` // container's id; "" = from outside
			Files   int64   `json:"files"`
			Bytes   int64   `json:"bytes"`
			Note    string  `json:"note"`
		} `json:"versions"`
	}
	if err := d.ask(ctx, "volume.history", d.named(name), &found); err != nil {
		return err
	}
	if asJSON {
		return d.ui.JSON(found.Versions)
	}
	rows := make([][]string, len(found.Versions))
	for i, v := range found.Versions {
		rows[i] = []string{strconv.Itoa(v.Version), ui.Ago(d.now(), seconds(v.At)), strconv.FormatInt(v.Files, 10), ui.Bytes(v.Bytes), cmp.Or(v.By, "-"), v.Note}
	}
	d.ui.Table([]string{"VERSION", "MADE", "FILES", "SIZE", "BY", ""}, rows)
	return nil
}

func newVolumeRestoreCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "restore NAME VERSION",
		Short: "Make an earlier version of a volume the newest again",
		Long: `Make an earlier version of a volume the newest again. It is a version of its
own: nothing that came in between is lost.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(strings.TrimPrefix(args[1], "v"))
			if err != nil || version < 0 {
				return exit.With(exit.Usage, fmt.Errorf("%q is no version: gx volume history %s lists them", args[1], args[0]))
			}
			var made struct {
				Version int `json:"version"`
			}
			if err := d.ask(cmd.Context(), "volume.restore", d.named(args[0], "version", version), &made); err != nil {
				return err
			}
			d.ui.Done(fmt.Sprintf("volume %s is as it was in version %d", args[0], version), fmt.Sprintf("version %d", made.Version))
			return nil
		},
	}
}
