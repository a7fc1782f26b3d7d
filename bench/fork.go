//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// furtherInstances: a container of a function that has one already, forked from
// its template, against a fresh start; from the order until the function's
// module is loaded. The containers are made of the machine's own Python, by
// gx's runtime itself.
func furtherInstances(ctx context.Context, l *lab) ([]row, error) {
	const python = "/usr/bin/python3" // what the containers of the runtime's tests have
	version, err := exec.CommandContext(ctx, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", python, err)
	}
	site := filepath.Join(l.dir, "site")
	install := exec.CommandContext(ctx, l.python, "-m", "pip", "install", "--quiet", "--target", site,
		"--only-binary=:all:", "--python-version", strings.TrimSpace(string(version)), "numpy", "pandas")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("installing what is to be loaded: %w\n%s", err, out)
	}
	measure := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkFork$", "-benchtime", "20x", "./engine/container/runc")
	measure.Env = append(os.Environ(), "GX_BENCH_MODULES=sys,numpy,pandas", "GX_BENCH_SITE="+site, "GX_BENCH_ENV=PYTHONPATH=/site")
	out, err := measure.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("measuring forks: %w\n%s", err, out)
	}
	var rows []row
	for _, c := range []struct {
		module, what string
		aim          float64
	}{{"sys", "nothing", 10}, {"numpy", "numpy", 25}, {"pandas", "pandas", 25}} {
		figures := metrics(string(out), "BenchmarkFork/"+c.module)
		fresh, forked := figures["fresh-ms"], figures["forked-ms"]
		if fresh == 0 || forked == 0 {
			return nil, fmt.Errorf("no figures for %s in:\n%s", c.module, out)
		}
		ratio := forked / fresh
		rows = append(rows, row{What: "further instance, " + c.what + " loaded", Ours: ms(forked), Peer: "fresh start: " + ms(fresh),
			Ratio: ratio, Aim: fmt.Sprintf("%.2fx", 1/c.aim), Owe: fmt.Sprintf("%.2fx", 2/c.aim), Good: below(ratio, 1/c.aim, 2/c.aim)},
			row{What: "  16 at once, each", Ours: ms(figures["burst-ms-each"])},
			row{What: "  its own memory", Ours: fmt.Sprintf("%.1f MB", figures["forked-MB"])})
	}
	return rows, nil
}

// metrics reads the figures of one benchmark from the output of go test:
// "NAME-CPUS  runs  value unit  value unit ...".
func metrics(output, name string) map[string]float64 {
	found := map[string]float64{}
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0]+"-", name+"-") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			found[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64)
		}
	}
	return found
}
