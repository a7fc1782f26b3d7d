package probe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "not", "made")
	for _, f := range Check(context.Background(), missing) {
		t.Logf("%-20s ok=%v needed=%v %s [%s]", f.Name, f.OK, f.Needed, f.Detail, f.Fix)
		assert.NotEmpty(t, f.Name)
		assert.NotEmpty(t, f.Detail)
		if os.Geteuid() == 0 && f.Needed {
			assert.True(t, f.OK, "containers are possible for root on a machine that runs these tests")
		}
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	links, err := filepath.Glob("/sys/class/net/*check*")
	require.NoError(t, err)
	assert.Empty(t, links)
}

func TestOverlayOnOverlay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	merged := filepath.Join(dir, "merged")
	require.NoError(t, unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)))
	defer func() { require.NoError(t, unix.Unmount(merged, 0)) }()
	f := overlay(merged)
	assert.True(t, f.OK)
	assert.Contains(t, f.Detail, "in memory")
	assert.NotEmpty(t, f.Fix)
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"5.10.0-8-amd64": true, "5.9.16": false, "4.19.0": false, "6.1.0": true, "10.0": true, "5.4.0-1103-aws": false, "5.15+": true, "next": true,
	} {
		assert.Equal(t, want, atLeast(release, oldestKernel), release)
	}
}

func TestChoose(t *testing.T) {
	runtime, reasons := Choose([]Finding{{Name: "a", OK: true, Needed: true}, {Name: "b"}})
	assert.Equal(t, "runc", runtime)
	assert.Empty(t, reasons)
	runtime, reasons = Choose([]Finding{{Name: "root", Needed: true, Detail: "only root can", Fix: "run gx with sudo"}, {Name: "b", Needed: true, Detail: "broken"}})
	assert.Equal(t, "process", runtime)
	assert.Equal(t, "root: only root can (run gx with sudo)|b: broken", strings.Join(reasons, "|"))
}
