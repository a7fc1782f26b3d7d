package engine

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

// TestCheckOfVolumesThatAreMade has volumes that are made by an image's step, or by
// a function, before another function names them without making them.
func TestCheckOfVolumesThatAreMade(t *testing.T) {
	h := newHost(t, "runc")
	mount := func(name string, create bool) []app.VolumeMount {
		return []app.VolumeMount{{Volume: name, Path: "/data", Create: create}}
	}
	makes, names := app.Function{Name: "makes", Volumes: mount("v", true)}, app.Function{Name: "names", Volumes: mount("v", false)}
	elsewhere := app.Function{Name: "elsewhere", Volumes: []app.VolumeMount{{Volume: "v", Environment: "main", Path: "/data"}}}
	byID := app.Function{Name: "by_id", Volumes: []app.VolumeMount{{Volume: "v", ID: true, Path: "/data"}}}
	for name, c := range map[string]struct {
		api.CheckRequest
		ok bool
	}{
		"nobody":     {api.CheckRequest{Functions: []app.Function{names}}, false},
		"a function": {api.CheckRequest{Functions: []app.Function{makes, names}}, true},
		"too late":   {api.CheckRequest{Functions: []app.Function{names, makes}}, false},
		"an image":   {api.CheckRequest{Functions: []app.Function{names, elsewhere}, Volumes: mount("v", true)}, true},
		"not made":   {api.CheckRequest{Functions: []app.Function{names}, Volumes: mount("v", false)}, false},
		"an id":      {api.CheckRequest{Functions: []app.Function{makes, byID}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := h.Check(context.Background(), c.CheckRequest)
			require.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}

// TestCheckOfVolumesWithoutThem has a runtime that has no volumes: nothing can be
// made there, and what is missing is not the trouble.
func TestCheckOfVolumesWithoutThem(t *testing.T) {
	h := newHost(t, "process")
	for _, create := range []bool{true, false} {
		volumes := []app.VolumeMount{{Volume: "v", Path: "/data", Create: create}}
		for name, req := range map[string]api.CheckRequest{
			"function": {Functions: []app.Function{{Name: "f", Volumes: volumes}}},
			"step":     {Functions: []app.Function{{Name: "f"}}, Volumes: volumes},
		} {
			err := h.Check(t.Context(), req)
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorContains(t, err, `the runtime "process" has none`, "%s, create %v", name, create)
		}
	}
	require.NoError(t, h.Check(t.Context(), api.CheckRequest{Functions: []app.Function{{Name: "f"}}}))
}

// TestMissingVolume names a volume of another environment.
func TestMissingVolume(t *testing.T) {
	h := newHost(t, "runc")
	require.NoError(t, h.environments.Create(t.Context(), "dev"))
	_, err := h.volumes.Resolve(t.Context(), "", []app.VolumeMount{{Volume: "v", Environment: "dev", Path: "/data"}})
	require.ErrorContains(t, err, "gx volume create v --env dev")
}

// TestMoment has times as programs write them for always and never.
func TestMoment(t *testing.T) {
	require.True(t, moment(0).IsZero())
	require.Equal(t, time.Unix(12, 500_000_000).UTC(), moment(12.5))
	for _, late := range []float64{253402300799, 1e300, math.MaxFloat64} {
		require.Greater(t, moment(late).UnixNano(), time.Now().UnixNano())
		require.Less(t, moment(-late).UnixNano(), int64(0))
	}
}
