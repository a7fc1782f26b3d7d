package host

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gx-dev/gx/emulator"
	"github.com/gx-dev/gx/gpu"
)

// chooseGPUs makes the provider of GPUs that was asked for; nil = none.
func chooseGPUs(cfg Config, prices gpu.Prices, log *slog.Logger) (gpu.Provider, error) {
	switch cfg.Settings.GPUProvider {
	case "none":
		return nil, nil
	case "nvml":
		return nil, fmt.Errorf("gpu_provider nvml: this gx has no support for real GPUs")
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
