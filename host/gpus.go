package host

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gx-dev/gx/emulator"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/gpu/nvml"
)

// chooseGPUs makes the provider of GPUs that was asked for; nil = none.
func chooseGPUs(ctx context.Context, cfg Config, prices gpu.Prices, log *slog.Logger) (gpu.Provider, error) {
	switch cfg.Settings.GPUProvider {
	case "none":
		return nil, nil
	case "nvml":
		return realGPUs(ctx, cfg, log)
	case "", "auto":
		if !nvml.Present() {
			break
		}
		gpus, err := realGPUs(ctx, cfg, log)
		if err == nil {
			return gpus, nil
		}
		log.Warn("this machine has NVIDIA's driver, but its GPUs can't be used; they are emulated", "error", err)
	}
	stock, err := gpu.ParseStock(cfg.Settings.GPUs)
	if err != nil {
		return nil, fmt.Errorf("gpus: %w", err)
	}
	gpus, err := emulator.New(emulator.Config{
		Dir: filepath.Join(cfg.Dirs.State, "gpu"), RunDir: filepath.Join(cfg.Dirs.Runtime, "gpu"), Stock: stock, Prices: prices, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the GPU emulator: %w", err)
	}
	return gpus, nil
}

// realGPUs are the machine's own.
func realGPUs(ctx context.Context, cfg Config, log *slog.Logger) (gpu.Provider, error) {
	helper, err := nvml.Unpack(filepath.Join(cfg.Dirs.State, "helper"))
	if err != nil {
		return nil, err
	}
	gpus, err := nvml.New(ctx, nvml.Config{Helper: helper, Log: log})
	if err != nil {
		return nil, err
	}
	log.Info("GPUs", "provider", gpus.Name(), "stock", gpu.StockString(gpus.Stock()))
	return gpus, nil
}
