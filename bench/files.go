//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// localFiles: an app that brings a tree of 2 GB in 50,000 files along, the first
// time, again, and with one file changed.
func localFiles(ctx context.Context, l *lab) ([]row, error) {
	tree := filepath.Join(l.dir, "tree")
	const files, size = 50_000, 40 << 10
	for i := range files {
		dir := filepath.Join(tree, strconv.Itoa(i%500))
		if i < 500 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
		}
		if err := noise(filepath.Join(dir, strconv.Itoa(i)), size); err != nil {
			return nil, err
		}
	}
	run := func() (float64, error) {
		cmd := exec.CommandContext(ctx, l.gx, "run", filepath.Join(l.apps, "files.py"), "--name", "0/0")
		cmd.Env = append(slices.Clone(l.env), "BENCH_TREE="+tree)
		return timed(cmd)
	}
	// The times of what was just written are too young to be trusted.
	time.Sleep(3 * time.Second)
	first, err := run()
	if err != nil {
		return nil, err
	}
	again, floor, err := pairs(ctx, 5, 0, run, func() (float64, error) {
		return timed(exec.CommandContext(ctx, "find", tree, "-type", "f", "-size", "-1c"))
	})
	if err != nil {
		return nil, err
	}
	var changed []float64
	for range 3 {
		if err := noise(filepath.Join(tree, "7", "7"), size); err != nil {
			return nil, err
		}
		took, err := run()
		if err != nil {
			return nil, err
		}
		changed = append(changed, took)
	}
	figure := median(again)
	return []row{
		{What: "gx run with 2 GB in 50,000 local files, first time", Ours: ms(first)},
		{What: "  again", Ours: ms(figure), Peer: "find, with every file's size: " + ms(median(floor)), Ratio: figure / median(floor),
			Aim: "2 s", Owe: "5 s", Good: below(figure, 2000, 5000)},
		{What: "  with one file changed", Ours: ms(median(changed)), Aim: "2 s", Owe: "5 s", Good: below(median(changed), 2000, 5000)},
	}, os.RemoveAll(tree)
}
