//go:build linux

package main

import (
	"cmp"
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

// peerPackages are what the peers are installed from.
var peerPackages = []string{"distributed", "ray", "celery", "redis"}

// figures are one system's.
type figures struct {
	P50  float64            `json:"p50"` // µs
	P99  float64            `json:"p99"`
	Map  float64            `json:"map"`  // inputs a second
	Echo map[string]float64 `json:"echo"` // calls a second, by size
	Nap  map[string]float64 `json:"nap"`  // inputs a second, by how long each waits
}

// peers: the same small work by gx and by others, by turns in one process.
func peers(ctx context.Context, l *lab) ([]row, error) {
	python, err := l.peerPython(ctx)
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
		Table   map[string]map[string]figures `json:"table"`
		Missing map[string]string             `json:"missing"`
		Asyncio map[string]float64            `json:"asyncio"`
		Load    float64                       `json:"load"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	one := got.Table["1"]
	var rows []row
	for _, name := range names(one) {
		gx, peer := one["gx"], one[name]
		rows = append(rows,
			row{What: "call, p50", Ours: us(gx.P50), Peer: name + ": " + us(peer.P50), Ratio: gx.P50 / peer.P50, Aim: "1x", Good: below(gx.P50/peer.P50, 1, 1)},
			row{What: "call, p99", Ours: us(gx.P99), Peer: name + ": " + us(peer.P99), Ratio: gx.P99 / peer.P99, Aim: "1x", Good: below(gx.P99/peer.P99, 1, 1)})
	}
	for _, workers := range []int{1, 2, 4} {
		table := got.Table[strconv.Itoa(workers)]
		for _, name := range names(table) {
			rows = append(rows, faster(fmt.Sprintf("map on %d", workers), table["gx"].Map, name, table[name].Map))
		}
	}
	for _, size := range []string{"100 B", "100 KB", "10 MB"} {
		for _, name := range names(one) {
			rows = append(rows, faster(size+" there and back", one["gx"].Echo[size], name, one[name].Echo[size]))
		}
	}
	for _, wait := range []string{"10 ms", "0 ms"} {
		what := "async inputs that wait " + wait + ", 100 at once"
		for _, name := range names(one) {
			if figure := one[name].Nap[wait]; figure > 0 {
				rows = append(rows, faster(what, one["gx"].Nap[wait], name, figure))
			}
		}
		floor := got.Asyncio[wait]
		rows = append(rows, row{What: what, Ours: perSecond(one["gx"].Nap[wait]), Peer: "asyncio alone: " + perSecond(floor), Ratio: one["gx"].Nap[wait] / floor})
	}
	for _, name := range slices.Sorted(maps.Keys(got.Missing)) {
		reason, _, _ := strings.Cut(got.Missing[name], "\n")
		rows = append(rows, row{What: "not measured", Peer: name + ": " + reason})
	}
	return append(rows, row{What: "load of the machine", Ours: fmt.Sprintf("%.1f", got.Load)}), nil
}

// faster is a row of rates.
func faster(what string, ours float64, name string, theirs float64) row {
	return row{What: what, Ours: perSecond(ours), Peer: name + ": " + perSecond(theirs), Ratio: ours / theirs, Aim: "1x", Good: above(ours/theirs, 1, 1)}
}

// names are the peers that were measured.
func names(table map[string]figures) []string {
	order := []string{"ProcessPoolExecutor", "Ray", "dask", "Celery"}
	var list []string
	for name := range table {
		if name != "gx" {
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) })
	return list
}

// peerPython makes a virtual environment that has the peers. One that can't be
// installed is missing in it, and the app says so.
func (l *lab) peerPython(ctx context.Context) (string, error) {
	dir := filepath.Join(l.dir, "peers")
	if out, err := exec.CommandContext(ctx, l.python, "-m", "venv", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("making an environment for the peers: %w\n%s", err, out)
	}
	python := filepath.Join(dir, "bin", "python")
	for _, name := range peerPackages {
		fmt.Fprintf(os.Stderr, "installing %s ...\n", name)
		if out, err := exec.CommandContext(ctx, python, "-m", "pip", "install", "-q", name).CombinedOutput(); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "%s can't be installed: %v\n%s", name, err, out)
		}
	}
	return python, nil
}
