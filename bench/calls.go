//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"encoding/json"
)

// calls: warm round trips, and maps on 1, 2 and 4 containers.
func calls(ctx context.Context, l *lab) ([]row, error) {
	stdout, err := l.run(ctx, "calls.py")
	if err != nil {
		return nil, err
	}
	var got struct {
		Warm struct {
			GxP50   float64 `json:"gx_p50"`
			GxP99   float64 `json:"gx_p99"`
			PoolP50 float64 `json:"pool_p50"`
			PoolP99 float64 `json:"pool_p99"`
		} `json:"warm"`
		Map map[string]struct {
			Gx      float64 `json:"gx"`
			Chunk1  float64 `json:"chunk1"`
			Chunk64 float64 `json:"chunk64"`
		} `json:"map"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	w := got.Warm
	rows := []row{
		{What: "warm .remote(), p50", Ours: us(w.GxP50), Peer: "ProcessPoolExecutor: " + us(w.PoolP50),
			Ratio: w.GxP50 / w.PoolP50, Aim: "0.5x", Owe: "1x", Good: below(w.GxP50/w.PoolP50, 0.5, 1)},
		{What: "warm .remote(), p99", Ours: us(w.GxP99), Peer: "ProcessPoolExecutor: " + us(w.PoolP99),
			Ratio: w.GxP99 / w.PoolP99},
	}
	for _, workers := range []int{1, 2, 4} {
		m := got.Map[strconv.Itoa(workers)]
		rows = append(rows,
			row{What: fmt.Sprintf("map of 50,000 on %d, chunksize 1", workers), Ours: perSecond(m.Gx),
				Peer: "ProcessPoolExecutor: " + perSecond(m.Chunk1), Ratio: m.Gx / m.Chunk1,
				Aim: "40x", Owe: "15x", Good: above(m.Gx/m.Chunk1, 40, 15)},
			row{What: fmt.Sprintf("map of 50,000 on %d, chunksize 64", workers), Ours: perSecond(m.Gx),
				Peer: "ProcessPoolExecutor: " + perSecond(m.Chunk64), Ratio: m.Gx / m.Chunk64})
	}
	return rows, nil
}

// million: a map of a million inputs, and the memory of both sides meanwhile.
func million(ctx context.Context, l *lab) ([]row, error) {
	status, err := l.command(ctx, "host", "status", "--json")
	if err != nil {
		return nil, err
	}
	var host struct {
		Pid int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(status), &host); err != nil {
		return nil, err
	}
	before := residentMiB(host.Pid)

	watching, stop := context.WithCancel(ctx)
	peak := make(chan float64, 1)
	go func() {
		highest := 0.0
		for watching.Err() == nil {
			highest = max(highest, residentMiB(host.Pid))
			time.Sleep(20 * time.Millisecond)
		}
		peak <- highest
	}()
	stdout, err := l.run(ctx, "million.py")
	stop()
	highest := <-peak
	if err != nil {
		return nil, err
	}
	var got struct {
		Rate      float64 `json:"rate"`
		BeforeKiB float64 `json:"before_kib"`
		AfterKiB  float64 `json:"after_kib"`
	}
	if err := lastJSON(stdout, &got); err != nil {
		return nil, err
	}
	return []row{
		{What: "map of 1,000,000 on 2", Ours: perSecond(got.Rate)},
		{What: "  memory the client grew by", Ours: fmt.Sprintf("%.0f MiB", (got.AfterKiB-got.BeforeKiB)/1024), Aim: "bounded"},
		{What: "  memory the host grew by", Ours: fmt.Sprintf("%.0f MiB", highest-before), Aim: "bounded"},
	}, nil
}

// residentMiB reads a process's resident memory; 0 when it is gone.
func residentMiB(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

func us(value float64) string        { return fmt.Sprintf("%.0f µs", value) }
func perSecond(value float64) string { return fmt.Sprintf("%.0f/s", value) }
