//go:build linux

package buildkit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFunctionsFolderStaysWhileABuildNeedsIt(t *testing.T) {
	kept := t.TempDir()
	f := newFunctions(kept)
	sdk := func() (string, error) { return "/sdk", nil }
	given := func(text string) map[string]string {
		dir := filepath.Join(t.TempDir(), "k")
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600))
		return map[string]string{"k": dir}
	}
	command := []string{"python3", buildRunner, "k", functionDir}
	require.Empty(t, f.mounts(command))

	first, err := f.provide(given("first"), sdk)
	require.NoError(t, err)
	second, err := f.provide(given("second"), sdk)
	require.NoError(t, err)
	mounts := f.mounts(command)
	require.Len(t, mounts, 2)
	require.Equal(t, "/sdk", mounts[0].Source)

	// Whichever of them ends first, the other's step may be running in it.
	require.NoError(t, first())
	data, err := os.ReadFile(filepath.Join(mounts[1].Source, "file"))
	require.NoError(t, err)
	require.Equal(t, "first", string(data))
	require.Equal(t, mounts, f.mounts(command))
	require.NoError(t, second())
	require.Empty(t, f.mounts(command))
	left, err := os.ReadDir(kept)
	require.NoError(t, err)
	require.Empty(t, left)

	require.Empty(t, f.mounts([]string{"/bin/sh", "-c", "k", functionDir}), "another command gets nothing")
	_, err = f.provide(map[string]string{"k": filepath.Join(kept, "nowhere")}, sdk)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = f.provide(given("x"), func() (string, error) { return "", errors.New("no room") })
	require.ErrorContains(t, err, "no room")
	_, err = f.provide(given("x"), nil)
	require.ErrorContains(t, err, "no SDK")
	nothing, err := f.provide(nil, nil)
	require.NoError(t, err)
	require.NoError(t, nothing())
}
