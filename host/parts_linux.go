package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/buildkit"
	"github.com/gx-dev/gx/build/debian"
	"github.com/gx-dev/gx/build/hostenv"
	"github.com/gx-dev/gx/engine/container/probe"
	"github.com/gx-dev/gx/engine/container/runc"
	"github.com/gx-dev/gx/sdk"
)

// choose makes the parts that were asked for, or that are possible here.
func choose(ctx context.Context, cfg Config, budget int64, env hostenv.Env, log *slog.Logger) (parts, error) {
	state := cfg.Dirs.State
	wanted := cfg.wanted()
	if wanted == "" {
		chosen, reasons := probe.Choose(probe.Check(ctx, state))
		for _, reason := range reasons {
			log.Warn("containers are impossible here", "reason", reason)
		}
		wanted = chosen
	}
	switch wanted {
	case "process":
		return processes(cfg, log)
	case "runc":
	default:
		return parts{}, fmt.Errorf("there is no runtime %q; it can be runc or process", wanted)
	}
	runtime, err := runc.New(ctx, runc.Config{Dir: filepath.Join(state, "containers"), RunDir: filepath.Join(cfg.Dirs.Runtime, "containers"), Log: log})
	if err != nil {
		return parts{}, fmt.Errorf("starting the container runtime: %w; `gx doctor` tells what is missing", err)
	}
	images, err := startBuilder(ctx, cfg, budget, env, log)
	if err != nil {
		return parts{}, errors.Join(err, runtime.Close())
	}
	tidy := func(ctx context.Context, all bool) (int64, error) { return debian.Clean(ctx, basesDir(cfg), all) }
	return parts{runtime: runtime, images: tidied{images, tidy}}, nil
}

// basesDir is where bootstrapped bases and what they are made of are kept.
func basesDir(cfg Config) string { return filepath.Join(cfg.Dirs.State, "bases") }

func startBuilder(ctx context.Context, cfg Config, budget int64, env hostenv.Env, log *slog.Logger) (build.Engine, error) {
	engine, err := buildkit.New(ctx, buildkit.Config{
		Dir: filepath.Join(cfg.Dirs.State, "buildkit"),
		Bases: debian.Options{
			Dir:     basesDir(cfg),
			Sources: strings.TrimSpace(cfg.Settings.Images.DebianSources),
			Tarball: cfg.Settings.Images.DebianTarball,
		},
		Host:     env,
		SDK:      func() (string, error) { return sdk.Extract(sdkDir(cfg)) },
		Budget:   budget,
		Registry: cfg.Settings.Images.Registry != "off",
		Log:      log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the image builder: %w", err)
	}
	return engine, nil
}
