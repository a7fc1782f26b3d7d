package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
)

// TestOwnerKilled kills the owner of a Runtime with SIGKILL: its container's
// first process ends at once, and the next Runtime ends the rest.
func TestOwnerKilled(t *testing.T) {
	if dir := os.Getenv("GX_TEST_OWNER_DIR"); dir != "" {
		runOwner(t, dir)
		return
	}
	dir := t.TempDir()
	mark := fmt.Sprintf("77%d.5", os.Getpid())
	owner := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwnerKilled$")
	owner.Env = append(os.Environ(), "GX_TEST_OWNER_DIR="+dir, "GX_TEST_VENV="+venv(t), "GX_TEST_MARK="+mark)
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		t.Log(lines.Text())
	}
	// The first process becomes the second of them only after its word.
	require.Eventually(t, func() bool { return count(t, mark) == 2 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()
	require.Eventually(t, func() bool { return count(t, mark) == 1 }, time.Minute, 10*time.Millisecond)
	newRuntime(t, dir)
	require.Zero(t, count(t, mark))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func runOwner(t *testing.T, dir string) {
	r := newRuntime(t, dir)
	_, err := r.Start(context.Background(), container.Spec{
		ID: "c", Root: container.Root{Venv: os.Getenv("GX_TEST_VENV")}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Args: []string{"sh", "-c", "setsid sleep $0 & echo ready; exec sleep $0", os.Getenv("GX_TEST_MARK")}, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	require.NoError(t, err)
	time.Sleep(10 * time.Minute) // until killed
}

func count(t *testing.T, mark string) (n int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "stat=,args=").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[1] == "sleep" && f[2] == mark && f[0][0] != 'Z' {
			n++
		}
	}
	return n
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(own))
	f.Add("12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22")
	f.Add("")
	f.Add("1 )(")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := parseStat(text); ok && p.pid <= 0 {
			t.Errorf("%q: %+v", text, p)
		}
	})
}
