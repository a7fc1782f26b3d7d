//go:build linux

package main

import "context"

// state: dicts and queues from four containers at once. Nothing is lost: the
// app counts.
func state(ctx context.Context, l *lab) ([]row, error) {
	stdout, err := l.run(ctx, "state.py")
	if err != nil {
		return nil, err
	}
	var got struct {
		DictPut     float64 `json:"dict_put"`
		DictPutMany float64 `json:"dict_put_many"`
		DictGet     float64 `json:"dict_get"`
		Queue       float64 `json:"queue"`
		SQLite1     float64 `json:"sqlite_1"`
		SQLite4     float64 `json:"sqlite_4"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	const owe = 5000
	held := func(what string, figure, peer float64, name string) row {
		return row{What: what, Ours: perSecond(figure), Peer: name + ": " + perSecond(peer), Ratio: figure / peer, Owe: "5000/s", Aim: "10000/s", Good: above(figure, 2*owe, owe)}
	}
	return []row{
		held("Dict.put from 4 containers", got.DictPut, got.SQLite4, "SQLite in one, 4 processes"),
		held("Dict.put from 4 containers", got.DictPut, got.SQLite1, "SQLite in one, 1 process"),
		held("Dict.put, 16 at once in each of 4", got.DictPutMany, got.SQLite1, "SQLite in one, 1 process"),
		held("Dict.get from 4 containers", got.DictGet, got.SQLite1, "SQLite puts in one, 1 process"),
		held("Queue.put of 2, Queue.get of 2", got.Queue, got.SQLite1, "SQLite in one, 1 process"),
	}, nil
}
