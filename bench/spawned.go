//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// spawned: spawned calls that outlive the host against those that do not.
func spawned(ctx context.Context, l *lab) (_ []row, err error) {
	if _, err := l.command(ctx, "deploy", filepath.Join(l.apps, "spawned.py")); err != nil {
		return nil, err
	}
	defer func() {
		_, failed := l.command(context.WithoutCancel(ctx), "app", "stop", "bench-spawned", "--now")
		err = errors.Join(err, failed)
	}()
	stdout, err := l.run(ctx, "spawned.py")
	if err != nil {
		return nil, err
	}
	var got struct {
		Remote   [2]float64 `json:"remote"` // µs: of the app that runs, of the one that is deployed
		Spawn    [2]float64 `json:"spawn"`
		SpawnGet [2]float64 `json:"spawn_get"`
		SpawnMap [2]float64 `json:"spawn_map"`
		Large    [2]float64 `json:"large"`
		Many     float64    `json:"many"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	line := func(what string, pair [2]float64, aim, owe float64) row {
		r := row{What: what, Ours: us(pair[1]), Peer: "in memory: " + us(pair[0]), Ratio: pair[1] / pair[0]}
		if owe > 0 {
			r.Aim, r.Owe, r.Good = fmt.Sprintf("%gx", aim), fmt.Sprintf("%gx", owe), below(r.Ratio, aim, owe)
		}
		return r
	}
	for i := range got.SpawnMap {
		got.SpawnMap[i] /= got.Many
	}
	return []row{
		line("deployed app, warm .remote()", got.Remote, 1.1, 1.3),
		line("deployed app, .spawn()", got.Spawn, 3, 6),
		line("deployed app, .spawn().get()", got.SpawnGet, 3, 6),
		line(fmt.Sprintf("deployed app, .spawn_map() of %.0f, each", got.Many), got.SpawnMap, 5, 10),
		line("deployed app, .spawn() of 1 MiB, .get()", got.Large, 4, 8),
	}, nil
}
