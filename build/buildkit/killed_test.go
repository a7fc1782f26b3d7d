//go:build linux

package buildkit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/buildkit"
)

// victimEnv names the store of a process that is to be killed while it builds.
const victimEnv = "GX_TEST_VICTIM"

// marker is in the command line of the build step, to find its process by.
const marker = "300.424242"

// victim builds until it is killed.
func victim(dir string) {
	e, err := buildkit.New(context.Background(), config(dir))
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	_, err = e.Build(context.Background(), build.Request{Recipe: recipe(slim, run("echo kept > /kept"), run("echo begun; sleep "+marker)), Python: "3.11"},
		func(ev build.Event) { fmt.Print(ev.Data) })
	fmt.Println("failed:", err)
}

// sleeping counts the processes of the build step.
func sleeping(t *testing.T) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	n := 0
	for _, path := range entries {
		data, _ := os.ReadFile(path)
		if string(data) == "sleep\x00"+marker+"\x00" {
			n++
		}
	}
	return n
}

// TestAKilledEnginesLeftoversAreCleared kills an engine in the middle of a step
// with -9, and builds on with another on the same store.
func TestAKilledEnginesLeftoversAreCleared(t *testing.T) {
	needContainers(t)
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir, "GX_TEST_BASES="+bases())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "begun" {
		require.False(t, strings.HasPrefix(lines.Text(), "failed:"), lines.Text())
	}
	// The shell says that it has begun before it has become the program that sleeps.
	asleep := assert.Eventually(t, func() bool { return sleeping(t) == 1 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed, as it says

	e, err := buildkit.New(context.Background(), config(dir))
	require.NoError(t, err)
	defer e.Close()
	require.True(t, asleep)
	require.Eventually(t, func() bool { return sleeping(t) == 0 }, time.Minute, 10*time.Millisecond)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), dir+"/store/runc-overlayfs/executor")

	image, h := mustBuild(t, e, recipe(slim, run("echo kept > /kept"), run("cat /kept > /again")), nil)
	require.Equal(t, []int{2}, h.ran, "what was finished before the kill is not done again")
	text, _ := read(t, image, "again")
	require.Equal(t, "kept\n", text)
}
