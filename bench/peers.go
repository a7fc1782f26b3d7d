//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// peer is a system that gx is measured against, and what it is installed from.
type peer struct {
	name     string
	packages []string
	floor    bool // not to be beaten, only to be near to
}

var peerSystems = []peer{
	{name: "ProcessPoolExecutor"},
	{name: "Ray", packages: []string{"ray"}},
	{name: "dask", packages: []string{"distributed"}},
	{name: "Celery", packages: []string{"celery", "redis"}},
	{name: "asyncio alone", floor: true},
}

// round is what one system did in one round.
type round struct {
	Calls []float64          `json:"calls"` // µs, one after the other
	Map   float64            `json:"map"`   // inputs a second
	Echo  map[string]float64 `json:"echo"`  // calls a second, by size
	Nap   map[string]float64 `json:"nap"`   // inputs a second, by how long each waits
}

// peers: the same small work by gx and by others, by turns in one process.
func peers(ctx context.Context, l *lab) ([]row, error) {
	python, lacking, err := l.peerPython(ctx)
	if err != nil {
		return nil, err
	}
	env := l.env
	l.env = append(slices.Clone(env), "GX_PYTHON="+python)
	stdout, err := l.run(ctx, "peers/peers.py")
	l.env = env
	if err != nil {
		return nil, err
	}
	var got struct {
		Table   map[string]map[string][]round `json:"table"` // by workers and system
		Missing map[string]string             `json:"missing"`
		Load    []float64                     `json:"load"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	one := got.Table["1"]
	rows := slices.Concat(
		against(one, question{"call, p50", us, below, func(r round) float64 { return percentile(r.Calls, 0.5) }}),
		against(one, question{"call, p99", us, below, func(r round) float64 { return percentile(r.Calls, 0.99) }}),
	)
	for _, workers := range []int{1, 2, 4} {
		what := fmt.Sprintf("map on %d", workers)
		rows = append(rows, against(got.Table[strconv.Itoa(workers)], question{what, perSecond, above, func(r round) float64 { return r.Map }})...)
	}
	for _, size := range []string{"100 B", "100 KB", "10 MB"} {
		rows = append(rows, against(one, question{size + " there and back", perSecond, above, func(r round) float64 { return r.Echo[size] }})...)
	}
	for _, wait := range []string{"10 ms", "0 ms"} {
		what := "async inputs that wait " + wait + ", 100 at once"
		rows = append(rows, against(one, question{what, perSecond, above, func(r round) float64 { return r.Nap[wait] }})...)
	}
	maps.Copy(got.Missing, lacking) // pip says more than the import that failed
	for _, name := range slices.Sorted(maps.Keys(got.Missing)) {
		rows = append(rows, row{What: "not measured", Peer: name + ": " + got.Missing[name]})
	}
	return append(rows, row{What: "load of the machine", Ours: fmt.Sprintf("%.1f to %.1f", slices.Min(got.Load), slices.Max(got.Load))}), nil
}

// question is one figure that every system is asked for.
type question struct {
	what   string
	format func(float64) string
	judge  func(ratio, aim, owe float64) verdict // whether it should be small or large
	figure func(round) float64                   // 0 where the system has no such thing
}

// against holds gx's rounds against each peer's: the ratio is the median of the
// rounds' ratios, and the spread reaches from the least to the greatest.
func against(systems map[string][]round, ask question) []row {
	var rows []row
	for _, peer := range peerSystems {
		var ours, theirs, ratios []float64
		for i, r := range systems[peer.name] {
			if figure := ask.figure(r); figure > 0 {
				gx := ask.figure(systems["gx"][i])
				ours, theirs, ratios = append(ours, gx), append(theirs, figure), append(ratios, gx/figure)
			}
		}
		if len(ratios) == 0 {
			continue
		}
		ratio := median(ratios)
		r := row{What: ask.what, Ours: ask.format(median(ours)), Peer: peer.name + ": " + ask.format(median(theirs)),
			Ratio: ratio, Spread: fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios))}
		if !peer.floor {
			r.Aim, r.Good = "1x", ask.judge(ratio, 1, 1)
		}
		rows = append(rows, r)
	}
	return rows
}

// peerPython makes a virtual environment that has the peers, and tells which it
// lacks and why.
func (l *lab) peerPython(ctx context.Context) (python string, lacking map[string]string, err error) {
	dir := filepath.Join(l.dir, "peers")
	if out, err := exec.CommandContext(ctx, l.python, "-m", "venv", dir).CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("making an environment for the peers: %w\n%s", err, out)
	}
	python = filepath.Join(dir, "bin", "python")
	lacking = map[string]string{}
	for _, peer := range peerSystems {
		if len(peer.packages) == 0 {
			continue
		}
		fmt.Fprintf(os.Stderr, "installing %s ...\n", peer.name)
		install := append([]string{"-m", "pip", "install", "-q"}, peer.packages...)
		out, err := exec.CommandContext(ctx, python, install...).CombinedOutput()
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		if err != nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			lacking[peer.name] = "pip: " + lines[len(lines)-1]
		}
	}
	return python, lacking, nil
}
