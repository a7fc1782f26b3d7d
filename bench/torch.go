//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/emulator/torch"
	"github.com/gx-dev/gx/gpu"
)

// torchOverhead: PyTorch on an emulated card against the same PyTorch on the
// CPU, in turns. It takes $GX_TORCH_PYTHON, or the system's Python if that has a
// torch; without one there are no rows.
func torchOverhead(ctx context.Context, l *lab) ([]row, error) {
	python := os.Getenv("GX_TORCH_PYTHON")
	for _, candidate := range []string{l.python, "/usr/bin/python3"} {
		if python == "" && exec.CommandContext(ctx, candidate, "-c", "import torch").Run() == nil {
			python = candidate
		}
	}
	if python == "" {
		fmt.Fprintln(os.Stderr, "  skipped: no Python here has torch (set GX_TORCH_PYTHON)")
		return nil, nil
	}
	env, err := cardEnv(filepath.Join(l.dir, "card"))
	if err != nil {
		return nil, err
	}

	type times struct{ Matmul, Training, Tiny float64 } // seconds
	measure := func(device string, env []string) (t times, err error) {
		cmd := exec.CommandContext(ctx, python, filepath.Join(l.apps, "torch_overhead.py"), device)
		cmd.Env, cmd.Stderr = env, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return t, fmt.Errorf("torch on %s: %w", device, err)
		}
		return t, json.Unmarshal(out, &t)
	}
	least := func(all *times, t times) {
		for _, v := range []struct{ all, now *float64 }{{&all.Matmul, &t.Matmul}, {&all.Training, &t.Training}, {&all.Tiny, &t.Tiny}} {
			if *v.all == 0 || *v.now < *v.all {
				*v.all = *v.now
			}
		}
	}
	var card, cpu times
	for range 3 {
		t, err := measure("cpu", os.Environ())
		if err != nil {
			return nil, err
		}
		least(&cpu, t)
		if t, err = measure("cuda", env); err != nil {
			return nil, err
		}
		least(&card, t)
	}
	ratio := func(what string, ours, theirs, owe float64) row {
		return row{
			What: what, Ours: fmt.Sprintf("%.3f ms", ours*1e3), Peer: fmt.Sprintf("%.3f ms: the CPU", theirs*1e3), Ratio: ours / theirs,
			Aim: fmt.Sprintf("%.2fx", owe), Owe: fmt.Sprintf("%.2fx", owe), Good: below(ours/theirs, owe, owe),
		}
	}
	more := (card.Tiny - cpu.Tiny) * 1e6
	return []row{
		ratio("torch: matrices of 512 x 512", card.Matmul, cpu.Matmul, 1.05),
		ratio("torch: a small training step", card.Training, cpu.Training, 1.35),
		{
			What: "torch: a tiny operation", Ours: fmt.Sprintf("%.2f us", card.Tiny*1e6), Peer: fmt.Sprintf("%.2f us: the CPU", cpu.Tiny*1e6),
			Aim: "+4 us", Owe: "+4 us", Good: below(more, 4, 4),
		},
	}, nil
}

// cardEnv makes an emulated card in a folder, and returns the environment of
// programs that have it.
func cardEnv(dir string) ([]string, error) {
	for name, data := range torch.Files() {
		path := filepath.Join(dir, "python", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return nil, err
		}
	}
	model, _ := gpu.Lookup("A10G")
	path := filepath.Join(dir, "page")
	file, err := page.Create(path, page.Header{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: 12080}, []page.Card{{
		Name: model.Device, UUID: "GPU-00000000-0000-4000-8000-000000000000", Bus: "00000000:01:00.0",
		Memory: uint64(model.MiB) << 20, CUDAMemory: uint64(model.CUDAMiB) << 20, Major: model.Major, Minor: model.Minor, SMs: model.SMs,
	}})
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return append(os.Environ(), page.Variable+"="+path, "PYTHONPATH="+filepath.Join(dir, "python")), nil
}
