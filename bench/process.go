//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// timed runs a command and tells how many milliseconds it took.
func timed(cmd *exec.Cmd) (float64, error) {
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return float64(took.Microseconds()) / 1000, nil
}

// pairs times two commands by turns, after a pause as between a user's commands.
func pairs(ctx context.Context, rounds int, pause time.Duration, a, b func() (float64, error)) (as, bs []float64, err error) {
	for range rounds {
		for _, side := range []struct {
			run  func() (float64, error)
			into *[]float64
		}{{a, &as}, {b, &bs}} {
			select {
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			case <-time.After(pause):
			}
			took, err := side.run()
			if err != nil {
				return nil, nil, err
			}
			*side.into = append(*side.into, took)
		}
	}
	return as, bs, nil
}

// version: what every command pays before it does anything.
func version(ctx context.Context, l *lab) ([]row, error) {
	ours, floor, err := pairs(ctx, 30, 0,
		func() (float64, error) { return timed(exec.CommandContext(ctx, l.gx, "--version")) },
		func() (float64, error) { return timed(exec.CommandContext(ctx, "true")) })
	if err != nil {
		return nil, err
	}
	figure := median(ours)
	return []row{{What: "gx --version", Ours: ms(figure), Peer: "true: " + ms(median(floor)),
		Aim: "20 ms", Good: below(figure, 20, 40)}}, nil
}

// hostStart: from no host to one that answers.
func hostStart(ctx context.Context, l *lab) ([]row, error) {
	var took []float64
	for range 7 {
		if _, err := l.command(ctx, "host", "stop", "--force"); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, l.gx, "host", "start")
		cmd.Env = l.env
		figure, err := timed(cmd)
		if err != nil {
			return nil, err
		}
		took = append(took, figure)
	}
	figure := median(took)
	return []row{{What: "host start to ready", Ours: ms(figure), Aim: "300 ms", Good: below(figure, 300, 600)}}, nil
}

// unchanged: the same app again, from command to result.
func unchanged(ctx context.Context, l *lab) ([]row, error) {
	app := filepath.Join(l.apps, "unchanged.py")
	run := func() (float64, error) {
		cmd := exec.CommandContext(ctx, l.gx, "run", app)
		cmd.Env = l.env
		return timed(cmd)
	}
	if _, err := run(); err != nil {
		return nil, err
	}
	ours, floor, err := pairs(ctx, 20, 400*time.Millisecond, run,
		func() (float64, error) { return timed(exec.CommandContext(ctx, l.python, "-I", "-c", "pass")) })
	if err != nil {
		return nil, err
	}
	figure := median(ours)
	return []row{{What: "gx run, nothing changed", Ours: ms(figure), Peer: "python3 -I -c pass: " + ms(median(floor)),
		Ratio: figure / median(floor), Aim: "100 ms", Owe: "400 ms", Good: below(figure, 100, 400)}}, nil
}
