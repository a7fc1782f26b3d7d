package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/deployment"
)

// TestDeployAllAtOnce has many people change the same app at once, in every way
// that there is: what is recorded is what runs, and nothing is left behind.
func TestDeployAllAtOnce(t *testing.T) {
	h := newHost(t, "process")
	h.cfg.Deployments = deployment.Retention{Versions: 3}
	h.restart()
	require.NoError(t, h.environments.Create(t.Context(), "dev"))
	image := h.image()
	var manifests []app.Manifest
	for i := range 3 {
		m := h.manifest(tell(fmt.Sprint(i)), app.Function{Name: "tell", Schedule: every(1)}, app.Function{Name: fmt.Sprintf("only%d", i), Qualname: "tell"})
		for j := range m.Functions {
			m.Functions[j].Module = "app"
		}
		manifests = append(manifests, m)
	}
	end := time.Now().Add(6 * time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for worker := range 6 {
		random := rand.New(rand.NewPCG(uint64(worker), 7)) //nolint:gosec // not for secrets
		all.Go(func() {
			for time.Now().Before(end) {
				var err error
				did := random.IntN(9)
				switch did {
				case 0, 1, 2:
					strategy := api.Rolling
					if random.IntN(2) == 0 {
						strategy = api.Recreate
					}
					_, err = h.Deploy(ctx, api.DeployRequest{Manifest: manifests[random.IntN(len(manifests))], Images: []string{image}, Strategy: strategy})
				case 3:
					_, err = h.Rollback(ctx, "test", api.RollbackRequest{Version: random.IntN(4)})
				case 4:
					_, err = h.Rollover(ctx, "test", api.RolloverRequest{})
				case 5:
					err = h.StopApp(ctx, "test", random.IntN(2) == 0)
				case 6:
					err = h.DeleteDeployed(ctx, "test")
				case 7:
					_, fail := directory{h.Engine}.find("", "test", "tell", random.IntN(5))
					if fail != nil && fail.Kind != "not_found" {
						t.Errorf("finding it: %s", fail.Message)
					}
				case 8:
					_ = h.Apps()
					_, _ = h.Schedules(ctx, "main", "")
					_, err = h.Deployment(ctx, "test")
				}
				var told *api.Error
				switch {
				case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid), errors.As(err, &told):
				case strings.Contains(err.Error(), "no version"), strings.Contains(err.Error(), "not kept"), strings.Contains(err.Error(), "no earlier version"):
				default:
					t.Errorf("%d: %v", did, err)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, ctx.Err(), "nothing hangs")

	_, err := h.Deploy(ctx, api.DeployRequest{Manifest: manifests[1], Images: []string{image}})
	require.NoError(t, err)
	h.tells("1")
	now, err := h.Deployment(ctx, "test")
	require.NoError(t, err)
	require.Equal(t, "deployed", now.State)
	list, err := h.Schedules(ctx, "main", "test")
	require.NoError(t, err)
	active := 0
	for _, s := range list {
		if s.State == "active" {
			active++
		}
	}
	require.Equal(t, 1, active)
	h.restart()
	h.tells("1")
	again, err := h.Deployment(ctx, "test")
	require.NoError(t, err)
	require.Equal(t, now.Current, again.Current)
	require.Equal(t, now.App, again.App)
}
