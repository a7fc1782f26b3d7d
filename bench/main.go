//go:build linux

// Command bench measures gx against floors and peers that it takes in the same
// run, and prints ratios: the machine's speed drops out of them. It is what
// `make bench` runs.
//
//	go run ./bench                 everything
//	go run ./bench -only warm,map  some of it
//	go run ./bench -json FILE      also the raw figures
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one benchmark: a name for -only, and a function that measures.
type bench struct {
	name string
	run  func(context.Context, *lab) ([]row, error)
}

var benches = []bench{
	{"version", version},
	{"host", hostStart},
	{"start", containerStart},
	{"fork", furtherInstances},
	{"warm", calls},
	{"peers", peers},
	{"million", million},
	{"spawned", spawned},
	{"unchanged", unchanged},
	{"rebuild", rebuild},
	{"state", state},
	{"volumes", volumes},
	{"files", localFiles},
	{"torch", torchOverhead},
	{"web", web},
	{"reload", reloads},
	{"logs", logging},
}

func main() {
	only := flag.String("only", "", "comma-separated names of benchmarks; empty = all")
	out := flag.String("json", "", "file for the rows as JSON")
	gx := flag.String("gx", "bin/gx", "the gx binary to measure")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := measure(ctx, *gx, *only, *out, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, gx, only, out string, w io.Writer) (err error) {
	lab, err := newLab(ctx, gx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.close()) }()

	var rows []row
	for _, b := range benches {
		if only != "" && !slices.Contains(strings.Split(only, ","), b.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s ...\n", b.name)
		got, err := b.run(ctx, lab)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		rows = append(rows, got...)
	}
	if out != "" {
		data, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, data, 0o644); err != nil {
			return err
		}
	}
	return printTable(w, rows)
}

// lab is a host of its own in a temporary directory, and what the benchmarks
// share.
type lab struct {
	gx     string // path of the binary
	dir    string
	apps   string
	env    []string
	python string // the interpreter itself
}

func newLab(ctx context.Context, gx string) (*lab, error) {
	binary, err := filepath.Abs(gx)
	if err != nil {
		return nil, err
	}
	apps, err := filepath.Abs("bench/apps")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(apps); err != nil {
		return nil, fmt.Errorf("run it from the repository's root: %w", err)
	}
	dir, err := os.MkdirTemp("", "gx-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{gx: binary, dir: dir, apps: apps}
	state := filepath.Join(dir, "state")
	if kept := os.Getenv("GX_BENCH_CACHE"); kept != "" { // images of an earlier run
		state = filepath.Join(kept, "state")
	}
	// Shims that find a Python cost more than what is measured.
	python, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return nil, fmt.Errorf("finding Python: %w", err)
	}
	l.python = strings.TrimSpace(string(python))
	l.env = append(os.Environ(),
		"GX_PYTHON="+l.python,
		"GX_STATE_DIR="+state,
		"GX_RUNTIME_DIR="+filepath.Join(dir, "run"),
		"NO_COLOR=1",
	)
	// The base image is made here, once, so that no benchmark pays for it.
	fmt.Fprintln(os.Stderr, "preparing: the first image ...")
	if _, err := l.run(ctx, "unchanged.py"); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// run runs an app with the lab's host and returns its standard output.
func (l *lab) run(ctx context.Context, app string) (string, error) {
	return l.command(ctx, "run", filepath.Join(l.apps, app))
}

// command runs gx and returns its standard output.
func (l *lab) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.gx, args...)
	cmd.Env = l.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("gx %s: %w\n%s%s", strings.Join(args, " "), err, stdout, stderr.String())
	}
	return string(stdout), nil
}

// lastJSON decodes the last line of an app's output.
func lastJSON(stdout string, into any) error {
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), into); err != nil {
		return fmt.Errorf("reading the app's figures from %q: %w", lines[len(lines)-1], err)
	}
	return nil
}

func (l *lab) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := l.command(ctx, "host", "stop", "--force")
	return errors.Join(err, os.RemoveAll(l.dir))
}
