//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// volumes: commits of one changed file, and files in and out.
func volumes(ctx context.Context, l *lab) ([]row, error) {
	stdout, err := l.run(ctx, "volumes.py")
	if err != nil {
		return nil, err
	}
	type pair struct {
		Large float64 `json:"large"`
		Small float64 `json:"small"`
	}
	var got struct {
		First float64 `json:"first"`
		Same  pair    `json:"same"`
		Other pair    `json:"other"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	held := func(what string, p pair) row {
		return row{What: what, Ours: ms(p.Large), Peer: "in a volume of one file: " + ms(p.Small), Ratio: p.Large / p.Small,
			Aim: "1.5x", Owe: "3x", Good: below(p.Large/p.Small, 1.5, 3)}
	}
	rows := []row{
		{What: "commit of 10,000 new files", Ours: ms(got.First)},
		held("commit of 1 changed of 10,000, where they were written", got.Same),
		held("commit of 1 changed of 10,000, in another container", got.Other),
	}
	moved, err := transfers(ctx, l)
	return append(rows, moved...), err
}

// transfers: put and get of one large file and of many small ones, against cp
// that has the disk written too where put does.
func transfers(ctx context.Context, l *lab) ([]row, error) {
	dir := filepath.Join(l.dir, "transfers")
	if err := os.MkdirAll(filepath.Join(dir, "small"), 0o700); err != nil {
		return nil, err
	}
	const large, many, small = 512 << 20, 5000, 10 << 10
	if err := noise(filepath.Join(dir, "large"), large); err != nil {
		return nil, err
	}
	for i := range many {
		if err := noise(filepath.Join(dir, "small", strconv.Itoa(i)), small); err != nil {
			return nil, err
		}
	}
	if _, err := l.command(ctx, "volume", "create", "transfers"); err != nil {
		return nil, err
	}
	round := 0
	gx := func(args ...string) func() (float64, error) {
		return func() (float64, error) {
			cmd := exec.CommandContext(ctx, l.gx, args...)
			cmd.Env = l.env
			return timed(cmd)
		}
	}
	shell := func(script string) func() (float64, error) {
		return func() (float64, error) {
			cmd := exec.CommandContext(ctx, "sh", "-ec", script)
			cmd.Dir = dir
			return timed(cmd)
		}
	}
	var rows []row
	for _, c := range []struct {
		what, name string
		bytes      int
	}{{"one file of 512 MiB", "large", large}, {"5,000 files of 10 KiB", "small", many * small}} {
		// What was put before is there: each round has another volume.
		put := func() (float64, error) {
			round++
			volume := "transfers-" + strconv.Itoa(round)
			if _, err := l.command(ctx, "volume", "create", volume); err != nil {
				return 0, err
			}
			took, err := gx("volume", "put", volume, filepath.Join(dir, c.name), "/")()
			if err != nil {
				return 0, err
			}
			_, err = l.command(ctx, "volume", "delete", volume, "--yes")
			return took, err
		}
		copied := shell("rm -rf copy; cp -r " + c.name + " copy; sync -f copy")
		if err := errors.Join(second(gx("volume", "put", "transfers", filepath.Join(dir, c.name), "/"))); err != nil {
			return nil, err
		}
		for _, way := range []struct {
			what string
			ours func() (float64, error)
			peer string
			cp   func() (float64, error)
		}{
			{"put", put, "cp and sync", copied},
			{"get", func() (float64, error) {
				if err := os.RemoveAll(filepath.Join(dir, "got")); err != nil {
					return 0, err
				}
				return gx("volume", "get", "transfers", "/"+c.name, filepath.Join(dir, "got"))()
			}, "cp", shell("rm -rf copy; cp -r " + c.name + " copy")},
		} {
			ours, floor, err := pairs(ctx, 5, 0, way.ours, way.cp)
			if err != nil {
				return nil, err
			}
			rate := func(took float64) string { return fmt.Sprintf("%.0f MiB/s", float64(c.bytes)/(1<<20)/took*1000) }
			rows = append(rows, row{What: "gx volume " + way.what + ", " + c.what, Ours: rate(median(ours)), Peer: way.peer + ": " + rate(median(floor)),
				Ratio: median(floor) / median(ours), Aim: "0.5x", Owe: "0.1x", Good: above(median(floor)/median(ours), 0.5, 0.1)})
		}
	}
	return rows, os.RemoveAll(dir)
}

func second[A any](f func() (A, error)) error {
	_, err := f()
	return err
}

// noise writes a file that nothing can compress or share.
func noise(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, size)
	return errors.Join(err, f.Close())
}
