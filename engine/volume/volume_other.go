//go:build !linux

package volume

import (
	"context"
	"log/slog"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
)

// Config is what a Store is made of.
type Config struct {
	Dir          string
	DB           *store.DB
	Environments *environment.Store
	Clock        clock.Clock
	Log          *slog.Logger
	Keep         Keep
}

// Store keeps no volumes on this system: overlayfs is Linux's.
type Store struct{}

// Set is empty.
type Set struct{}

var errLinux = ask.Refused("volumes need a host on Linux; use one with --host, or a virtual machine")

// Open makes a store that refuses.
func Open(context.Context, Config) (*Store, error) { return &Store{}, nil }

// Operations implements ask.Service.
func (s *Store) Operations() map[string]ask.Handler {
	refuse := func(context.Context, ask.Query) (ask.Answer, error) { return ask.Answer{}, errLinux }
	all := map[string]ask.Handler{}
	for _, op := range []string{
		"create", "get", "ephemeral", "list", "delete", "rename", "history", "restore", "ls", "read", "have", "upload", "edit", "commit", "reload",
	} {
		all["volume."+op] = refuse
	}
	return all
}

// Resolve refuses.
func (s *Store) Resolve(_ context.Context, _ string, mounts []app.VolumeMount) ([]app.VolumeMount, error) {
	if len(mounts) > 0 {
		return nil, errLinux
	}
	return nil, nil
}

// Attach refuses.
func (s *Store) Attach(context.Context, string, []app.VolumeMount) (*Set, error) {
	return nil, errLinux
}

// AppEnded does nothing.
func (s *Store) AppEnded(context.Context, string) error { return nil }

// Close does nothing.
func (s *Store) Close() error { return nil }

// Mounts is empty.
func (set *Set) Mounts() []container.Mount { return nil }

// Running does nothing.
func (set *Set) Running(container.Container) {}

// Commit does nothing.
func (set *Set) Commit(context.Context, string) error { return nil }

// Close does nothing.
func (set *Set) Close() error { return nil }
