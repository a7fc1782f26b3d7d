package engine

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/wire"
)

// lasting starts an app as it is started when it was deployed.
func (h *host) lasting(module string, functions ...app.Function) *running {
	r := h.start(module, functions...)
	r.deployed = &deployed{}
	h.expected()
	h.resumeSpawned(r.App)
	return r
}

// expected has hosts to come find a deployed app, whose image is gone, so that
// what waits for it goes on waiting until lasting starts it.
func (h *host) expected() {
	h.t.Helper()
	h.mu.Lock()
	d := h.deployed[deploymentKey{1, "test"}]
	h.mu.Unlock()
	if d != nil {
		return
	}
	_, _, err := h.deployments.Add(h.t.Context(), 1, deployment.App{ID: call.NewID("ap"), Name: "test"}, deployment.Version{}, deployment.Contents{Images: []build.Kept{{ID: "im-gone"}}})
	require.NoError(h.t, err)
}

// get asks for the answer of a spawned call's input, and waits for it.
func (c *client) get(id string, index uint32) wire.Frame {
	c.t.Helper()
	c.next++
	ask, err := wire.JSON(wire.Request, c.next, 0, wire.RequestBody{Op: call.OpGet, Params: map[string]any{"call_id": id, "index": index}})
	require.NoError(c.t, err)
	c.write(ask)
	var answer wire.Frame
	for {
		f := c.read()
		switch {
		case f.Call != c.next: // an earlier call's
		case f.Type == wire.Reply:
			var body wire.ReplyBody
			require.NoError(c.t, f.Decode(&body))
			if body.Error != nil {
				c.t.Fatalf("input %d of %s: %+v", index, id, *body.Error)
			}
			return answer
		default:
			answer = f
		}
	}
}

// spawn spawns a call and returns its id.
func (c *client) spawn(function string, inputs ...[]byte) string {
	c.t.Helper()
	number := c.open("spawn", function, "", inputs...)
	for {
		f := c.read()
		if f.Call != number {
			continue
		}
		require.Equal(c.t, wire.Opened, f.Type, string(f.Body))
		var body wire.OpenedBody
		require.NoError(c.t, f.Decode(&body))
		return body.CallID
	}
}

func TestSpawnedOutliveTheHost(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		functions := []app.Function{{Name: "square"}, {Name: "slow", Concurrency: 1, Scaling: app.Scaling{Max: 1}}, {Name: "fails"}, {Name: "length"}, {Name: "big"}}
		r := h.lasting("functions", functions...)
		c := r.dial()
		large := args(bytes.Repeat([]byte("x"), 3<<20))
		done := c.spawn("square", args(7))
		failed := c.spawn("fails", args(5))
		many := c.spawn("slow", args(0.01), args(0.02), args(300.0), args(0.03))
		big := c.spawn("length", large)
		require.Equal(t, wire.Result, c.get(done, 0).Type)
		require.Equal(t, wire.Result, c.get(many, 1).Type)
		require.Equal(t, wire.Error, c.get(failed, 0).Type)
		require.Equal(t, wire.Result, c.get(big, 0).Type)
		huge := c.spawn("big", args(5<<20))
		f := c.get(huge, 0)
		require.Greater(t, f.FileSize, int64(5<<20))
		require.NoError(t, f.File.Close())
		h.restart()

		// Without the app: what is done is there, the rest is waited for.
		w, err := h.Why(many)
		require.NoError(t, err)
		require.Contains(t, strings.Join(w.Answer, "\n"), "not running")
		require.Contains(t, strings.Join(w.Answer, "\n"), "The host has ended once")
		w, err = h.Why(failed)
		require.NoError(t, err)
		require.Contains(t, strings.Join(w.Answer, "\n"), "ValueError: no 5")

		functions[1].Timeout = 3 // of the input that never ends
		r = h.lasting("functions", functions...)
		c = r.dial()
		for id, want := range map[string]wire.Type{done: wire.Result, failed: wire.Error, big: wire.Result, huge: wire.Result} {
			f := c.get(id, 0)
			require.Equal(t, want, f.Type)
			if f.File != nil {
				require.NoError(t, f.File.Close())
			}
		}
		c.expect(c.get(done, 0), 49)
		c.expect(c.get(big, 0), 3<<20)
		for i, want := range []wire.Type{wire.Result, wire.Result, wire.Fail, wire.Result} {
			require.Equal(t, want, c.get(many, uint32(i)).Type, i)
		}
		require.Zero(t, h.spawnedWaiting())
		c.close()
		r.stop(true)
		h.restart()
		files, err := filepath.Glob(filepath.Join(h.dir, "state", "spawned", "*", "*"))
		require.NoError(t, err)
		require.Equal(t, []string{filepath.Join(h.dir, "state", "spawned", huge, "0.out")}, files)
	})
}

// spawnedWaiting is how many spawned calls are not done.
func (h *host) spawnedWaiting() int {
	list, err := h.spawned.Unfinished(h.t.Context())
	require.NoError(h.t, err)
	return len(list)
}

// TestSpawnedCancelled cancels calls whose app is not there, and has an app come
// back without the function.
func TestSpawnedCancelled(t *testing.T) {
	h := newHost(t, "process")
	r := h.lasting("functions", app.Function{Name: "slow"}, app.Function{Name: "square"})
	c := r.dial()
	first, second, third := c.spawn("slow", args(300.0)), c.spawn("slow", args(300.0)), c.spawn("slow", args(300.0))
	_ = c.spawn("slow", args(300.0))
	h.restart()
	require.Equal(t, 4, h.spawnedWaiting())

	other := h.start("functions", app.Function{Name: "pause"})
	c = other.dial()
	c.next++
	cancel, err := wire.JSON(wire.Request, c.next, 0, wire.RequestBody{Op: call.OpCancel, Params: map[string]any{"call_id": first}})
	require.NoError(t, err)
	c.write(cancel)
	require.Equal(t, wire.FailCancelled, fail(t, c.get(first, 0)).Kind)
	other.stop(true)
	c.close()

	r = h.lasting("functions", app.Function{Name: "square"})
	c = r.dial()
	require.Equal(t, wire.FailNotFound, fail(t, c.get(second, 0)).Kind)
	require.Contains(t, fail(t, c.get(third, 0)).Message, "has no function slow any more")
	require.Zero(t, h.spawnedWaiting())
	r.stop(true)
	c.close()
}

// TestSpawnedAndStopped ends an app: its calls do not come again.
func TestSpawnedAndStopped(t *testing.T) {
	h := newHost(t, "process")
	r := h.lasting("functions", app.Function{Name: "slow"})
	c := r.dial()
	id := c.spawn("slow", args(300.0))
	r.stop(true)
	c.close()
	require.Eventually(t, func() bool { return h.spawnedWaiting() == 0 }, time.Minute, 10*time.Millisecond)
	h.restart()
	r = h.start("functions", app.Function{Name: "slow"})
	c = r.dial()
	require.Equal(t, wire.FailCancelled, fail(t, c.get(id, 0)).Kind)
	r.stop(true)
	c.close()
}

func fail(t *testing.T, f wire.Frame) wire.FailBody {
	t.Helper()
	var body wire.FailBody
	require.Equal(t, wire.Fail, f.Type)
	require.NoError(t, f.Decode(&body))
	return body
}
