package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/container"
)

// still is a container whose overlays are only noted, and written by the test.
type still struct {
	container.Container
	busy  bool
	shown *container.Overlay
}

func (c *still) Remount(_ context.Context, _ string, next func() (container.Mount, error)) error {
	if c.busy {
		return &container.BusyError{Names: []string{"/data/open"}}
	}
	m, err := next()
	if err == nil {
		c.shown = m.Overlay
	}
	return err
}

func TestLargeWritableLayersAreExchanged(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	f.put(id, "before", "0")
	set, err := f.Attach(t.Context(), "co-1", []app.VolumeMount{{Volume: id, ID: true, Path: "/data"}})
	require.NoError(t, err)
	c := &still{shown: set.Mounts()[0].Overlay, busy: true}
	set.Running(c)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(c.shown.Upper, name), []byte(text), 0o600))
	}
	commit := func() {
		_, err := f.Commit(t.Context(), "co-1", id)
		require.NoError(t, err)
	}
	for i := range renewFiles + 1 {
		write(fmt.Sprint("many-", i), fmt.Sprint(i))
	}
	first := c.shown.Upper
	commit()
	require.Equal(t, first, c.shown.Upper, "what is in use stays")
	c.busy = false
	write("one", "1")
	commit()
	second := c.shown.Upper
	require.NotEqual(t, first, second)
	entries, err := os.ReadDir(second)
	require.NoError(t, err)
	require.Empty(t, entries)
	// Others' commits are not shown by it.
	f.put(id, "theirs", "x")
	write("two", "2")
	write("many-7", "seven")
	commit()
	require.Equal(t, second, c.shown.Upper, "it is small now")
	for _, dir := range c.shown.Lower {
		require.NoFileExists(t, filepath.Join(dir, "theirs"))
	}
	for name, want := range map[string]string{"before": "0", "one": "1", "two": "2", "many-7": "seven", "many-1000": "1000", "theirs": "x"} {
		require.Equal(t, want, f.read(id, name))
	}
	require.Len(t, f.do("volume.list", nil)["volumes"], 1)
	require.EqualValues(t, renewFiles+1+4, f.do("volume.list", nil)["volumes"].([]any)[0].(map[string]any)["files"])
	require.NoError(t, set.Commit(t.Context(), ""))
	require.NoError(t, set.Close())
}
