package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/container/runc"
)

// onSmallDisk has the host's state be on a file system of so many bytes.
func (h *host) onSmallDisk(size string) {
	h.t.Helper()
	if os.Geteuid() != 0 {
		h.t.Skip("mounting a small file system needs root")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(h.t, h.Close(ctx))
	h.cfg.Dir = filepath.Join(h.dir, "small")
	require.NoError(h.t, os.Mkdir(h.cfg.Dir, 0o700))
	if err := unix.Mount("gx-test", h.cfg.Dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		h.t.Skip("a small file system cannot be mounted here: ", err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = h.Close(ctx)
		if err := unix.Unmount(h.cfg.Dir, 0); err != nil {
			h.t.Error(err)
		}
	})
	var err error
	if _, contained := h.runtime.Runtime.(*runc.Runtime); contained { // which sees what was mounted before it began
		require.NoError(h.t, h.runtime.Close())
		h.runtime.Runtime, err = runc.New(context.Background(), runc.Config{Dir: filepath.Join(h.dir, "c"), RunDir: filepath.Join(h.dir, "r"), Log: h.cfg.Log})
		require.NoError(h.t, err)
		h.cfg.Runtime = h.runtime.Runtime // as it is: it can have volumes
	}
	h.Engine, err = New(context.Background(), h.cfg)
	require.NoError(h.t, err)
}

// fill takes all room that there is, until the returned function gives it back.
func (h *host) fill() (free func()) {
	h.t.Helper()
	path := filepath.Join(h.cfg.Dir, "filler")
	f, err := os.Create(path)
	require.NoError(h.t, err)
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	require.ErrorIs(h.t, err, unix.ENOSPC)
	require.NoError(h.t, f.Close())
	return func() { require.NoError(h.t, os.Remove(path)) }
}

// TestFullDisk fills the disk under all that a host does: what is refused says
// so, what was there stays, and when there is room again everything goes on.
func TestFullDisk(t *testing.T) {
	h := newHost(t, "process")
	h.onSmallDisk("24m")
	h.deployScheduled(app.Function{Name: "job", Schedule: every(1)}, app.Function{Name: "square"})
	_, err := h.deploy(tell("one"), api.DeployRequest{})
	require.NoError(t, err)
	h.tells("one")
	_, err = h.secrets.Set(t.Context(), "", "kept", map[string]string{"TOKEN": "before"}, false)
	require.NoError(t, err)
	ran := func() int { return h.outcomes("job")["ok"] }
	require.Eventually(t, func() bool { return ran() >= 1 }, time.Minute, 20*time.Millisecond)

	never := api.DeployRequest{Manifest: h.manifest(tell("never"), app.Function{Name: "tell"}, app.Function{Name: "wait"}), Images: []string{h.image()}}
	for range 3 {
		free := h.fill()
		_, err = h.Deploy(t.Context(), never)
		require.Error(t, err)
		h.tells("one")
		_, err = h.secrets.Set(t.Context(), "", "kept", map[string]string{"TOKEN": "after"}, true)
		if err != nil {
			d, err := h.secrets.Resolve(t.Context(), "", []app.Secret{{Name: "kept"}})
			require.NoError(t, err)
			require.Equal(t, "before", d[0].Values["TOKEN"])
		}
		time.Sleep(2500 * time.Millisecond) // ticks come, and cannot be recorded
		_, _ = h.secrets.Set(t.Context(), "", "kept", map[string]string{"TOKEN": "before"}, true)
		free()

		before := ran()
		require.Eventually(t, func() bool { return ran() >= before+2 }, 3*time.Minute, 50*time.Millisecond, "schedules go on: %v", h.outcomes("job"))
		_, err = h.deploy(tell("one"), api.DeployRequest{})
		require.NoError(t, err)
		h.tells("one")
		_, err = h.secrets.Set(t.Context(), "", "kept", map[string]string{"TOKEN": "before"}, true)
		require.NoError(t, err)
	}
	free := h.fill()
	time.Sleep(1500 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	require.NoError(t, h.Close(ctx), "a host can end on a full disk")
	cancel()
	free()
	h.Engine, err = New(context.Background(), h.cfg)
	require.NoError(t, err)
	h.tells("one")
	before := ran()
	require.Eventually(t, func() bool { return ran() >= before+1 }, 3*time.Minute, 50*time.Millisecond)
	var verdict string
	require.NoError(t, h.db.Read().QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict))
	require.Equal(t, "ok", verdict)
	_, err = h.Ask(t.Context(), ask.Query{Op: "secret.list"})
	require.NoError(t, err)
}

// TestVolumeOnFullDisk has a container end while the disk is full: what it has
// written into its volume is there when there is room again.
func TestVolumeOnFullDisk(t *testing.T) {
	h := newHost(t, "runc")
	h.onSmallDisk("24m")
	r := h.startFiles(files{"app.py": "def write(text):\n    open('/data/file', 'w').write(str(text))\n    return 'written'\n"},
		app.Function{Name: "write", Volumes: []app.VolumeMount{{Volume: "data", Path: "/data", Create: true}}})
	c := r.dial()
	c.expect(c.collect(c.open("call", "write", "", args(7)))[0], "written")
	c.close()
	free := h.fill()
	done := make(chan struct{})
	go func() { r.stop(false); close(done) }()
	time.Sleep(7 * time.Second) // longer than the container's grace: the commit has been tried meanwhile
	free()
	<-done
	_, v, err := h.volumes.Get(t.Context(), "", "data")
	require.NoError(t, err)
	require.Equal(t, 1, v.Version)
	require.EqualValues(t, 1, v.Files)
	require.NotContains(t, r.text(), "is lost")
}
