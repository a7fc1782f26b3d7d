package host

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDashboardKey has the key of an earlier host be used again, unless somebody
// else may know it.
func TestDashboardKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dashboard.key")
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	read := func() []byte {
		t.Helper()
		said.Reset()
		key, err := dashboardKey(path, log)
		require.NoError(t, err)
		require.Len(t, key, keySize)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		return key
	}
	first := read()
	require.Equal(t, first, read())
	require.Empty(t, said.String())
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		require.NoError(t, os.Chmod(path, mode))
		second := read()
		require.NotEqual(t, first, second, "%04o", mode)
		require.Contains(t, said.String(), "could be read by others")
		require.Equal(t, second, read())
		first = second
	}
	require.NoError(t, os.Truncate(path, 3))
	first = read()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(path, elsewhere))
	require.NoError(t, os.Symlink(elsewhere, path))
	require.NotEqual(t, first, read(), "a link may lead anywhere")
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)
}
