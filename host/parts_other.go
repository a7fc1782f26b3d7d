//go:build !linux

package host

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gx-dev/gx/build/hostenv"
)

// choose makes the parts that were asked for, or that are possible here.
func choose(_ context.Context, cfg Config, _ int64, _ hostenv.Env, log *slog.Logger) (parts, error) {
	if wanted := cfg.wanted(); wanted != "" && wanted != "process" {
		return parts{}, fmt.Errorf("the runtime %q needs Linux; on this system there is only process", wanted)
	}
	return processes(cfg, log)
}
