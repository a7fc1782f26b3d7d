//go:build !linux

package runc

import (
	"context"
	"errors"

	"github.com/gx-dev/gx/engine/container"
)

// New fails: containers need Linux.
func New(context.Context, Config) (container.Runtime, error) {
	return nil, errors.New("containers by runc need Linux; use the process runtime, or a host on a Linux machine")
}

// RunReaper is of use on Linux alone.
func RunReaper() int { return 2 }
