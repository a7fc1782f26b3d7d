//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// containerStart: from a call that needs a new container to the first line of
// the user's module, against plain `runc run` of the same Python on a directory
// that was prepared before.
func containerStart(ctx context.Context, l *lab) ([]row, error) {
	bundle, err := prepareBundle(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("preparing a directory for runc: %w", err)
	}
	stdout, err := l.run(ctx, "start.py")
	if err != nil {
		return nil, err
	}
	var ours []float64
	if err := lastJSON(stdout, &ours); err != nil {
		return nil, err
	}
	var floor []float64
	for i := range 30 {
		time.Sleep(500 * time.Millisecond)
		took, err := runcFirstLine(ctx, bundle, fmt.Sprintf("gx-bench-%d-%d", os.Getpid(), i))
		if err != nil {
			return nil, err
		}
		floor = append(floor, took)
	}
	ratio := median(ours) / median(floor)
	return []row{{What: "container start to first user line", Ours: ms(median(ours)), Peer: "runc run: " + ms(median(floor)),
		Ratio: ratio, Aim: "1.3x", Owe: "2x", Good: below(ratio, 1.3, 2)}}, nil
}

// prepareBundle copies the file system of a running gx container into a bundle
// of runc's own default configuration.
func prepareBundle(ctx context.Context, l *lab) (bundle string, err error) {
	bundle = filepath.Join(l.dir, "bundle")
	rootfs := filepath.Join(bundle, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return "", err
	}
	holding := exec.CommandContext(ctx, l.gx, "run", filepath.Join(l.apps, "hold.py"))
	holding.Env = l.env
	hold, err := holding.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := holding.Start(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, hold.Close(), holding.Wait()) }()

	pid, err := findRunner(ctx)
	if err != nil {
		return "", err
	}
	copying := exec.CommandContext(ctx, "cp", "-ax", fmt.Sprintf("/proc/%d/root/.", pid), rootfs)
	if out, err := copying.CombinedOutput(); err != nil {
		return "", fmt.Errorf("copying the container's files: %w\n%s", err, out)
	}
	spec := exec.CommandContext(ctx, "runc", "spec")
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil {
		return "", fmt.Errorf("runc spec: %w\n%s", err, out)
	}
	return bundle, configure(filepath.Join(bundle, "config.json"))
}

// findRunner waits for a process that runs gx's runner in a container.
func findRunner(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return 0, err
		}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			cmdline, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
			if args := strings.Split(string(cmdline), "\x00"); strings.Contains(args[0], "python") && bytes.Contains(cmdline, []byte("/__gx/sdk/gx/_runner/")) {
				return pid, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, errors.New("no container's runner appeared within 30 s")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// configure makes runc's default configuration run Python and print the time.
func configure(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	process := spec["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"python3", "-c", "import time; print(time.time_ns())"}
	// A machine may not let RLIMIT_NOFILE be raised.
	delete(process, "rlimits")
	data, err = json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func runcFirstLine(ctx context.Context, bundle, id string) (float64, error) {
	cmd := exec.CommandContext(ctx, "runc", "run", "--bundle", bundle, id)
	begin := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("runc run: %w", err)
	}
	first, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the time that Python printed: %w", err)
	}
	return float64(first-begin.UnixNano()) / 1e6, nil
}
