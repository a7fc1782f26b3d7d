package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/remote/dashboard"
)

// keySize is the bytes of the key that signs the dashboard's cookies.
const keySize = 32

// openDashboard makes the dashboard.
func openDashboard(dir string, hostAPI http.Handler, log *slog.Logger) (*dashboard.Dashboard, error) {
	key, err := dashboardKey(filepath.Join(dir, "dashboard.key"), log)
	if err != nil {
		return nil, err
	}
	return dashboard.New(dashboard.Config{API: hostAPI, Key: key, Now: time.Now})
}

// dashboardKey is the key of an earlier host: a page that is open stays so. One
// that others can read is not used any more: they could make cookies by it.
func dashboardKey(path string, log *slog.Logger) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the dashboard's key: %w", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0:
		log.Warn("the dashboard's key could be read by others; there is another one now, and pages that were open have to be opened anew", "file", path, "mode", info.Mode())
	default:
		key, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the dashboard's key: %w", err)
		}
		if len(key) >= keySize { // else a host was killed while it wrote it
			return key, nil
		}
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key)                                 // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // of mode 0600
	if err == nil {
		_, err = f.Write(key)
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the dashboard's key: %w", err)
	}
	return key, nil
}

// Dashboard is the address that opens the dashboard, once.
func (b *backend) Dashboard(ctx context.Context) (api.DashboardReply, error) {
	g := b.h.engine.Gateway()
	if err := g.Listen(ctx); err != nil {
		return api.DashboardReply{}, known(err)
	}
	url := g.URL(dashboard.Label)
	return api.DashboardReply{URL: url, Open: url + b.h.dashboard.Invite()}, nil
}
