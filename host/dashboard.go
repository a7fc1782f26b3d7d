package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/remote/dashboard"
)

// keySize is the bytes of the key that signs the dashboard's cookies.
const keySize = 32

// openDashboard makes the dashboard, with the key of an earlier host: a page
// that is open stays so.
func openDashboard(dir string, hostAPI http.Handler) (*dashboard.Dashboard, error) {
	path := filepath.Join(dir, "dashboard.key")
	key, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the dashboard's key: %w", err)
	}
	if len(key) < keySize { // there is none, or a host was killed while it wrote it
		key = make([]byte, keySize)
		_, _ = rand.Read(key) // never fails
		if err := os.WriteFile(path, key, 0o600); err != nil {
			return nil, fmt.Errorf("keeping the dashboard's key: %w", err)
		}
	}
	return dashboard.New(dashboard.Config{API: hostAPI, Key: key, Now: time.Now})
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
