package runc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/network"
)

// Environment of the process that TestOwnerKilled starts and kills.
const ownerDir = "GX_TEST_OWNER_DIR"

// TestOwnerKilled kills the owner of a Runtime with SIGKILL, at rest and in the
// middle of starts. Nothing that runs or is mounted outlives it, and the next
// Runtime finds and removes the rest.
func TestOwnerKilled(t *testing.T) {
	needRoot(t)
	if dir := os.Getenv(ownerDir); dir != "" {
		runOwner(t, dir)
		return
	}
	dir := t.TempDir()
	for i, phase := range []string{"ready", "starting", "starting", "starting"} {
		t.Run(phase, func(t *testing.T) {
			owner := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwnerKilled$", "-test.v")
			owner.Env = append(os.Environ(), ownerDir+"="+dir, "TMPDIR="+dir)
			out, err := owner.StdoutPipe()
			require.NoError(t, err)
			owner.Stderr = owner.Stdout
			require.NoError(t, owner.Start())
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != phase {
				t.Log(lines.Text())
			}
			if phase == "ready" {
				// A shell goes on as what it was asked for in its own time.
				require.Eventually(t, func() bool { return len(sleeping(t, dir)) == 5 }, time.Minute, 10*time.Millisecond, "five sleep")
			} else {
				time.Sleep(time.Duration(20+23*i) * time.Millisecond)
			}
			require.NoError(t, owner.Process.Kill())
			killed := time.Now()
			_ = owner.Wait()
			require.Eventually(t, func() bool { return len(inCell(t, dir)) == 0 }, time.Minute, 5*time.Millisecond, "processes are left")
			t.Logf("all processes gone after %v", time.Since(killed))
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			require.NoError(t, err)
			assert.NotContains(t, string(mounts), dir)
			// An interface pair lives as long as the namespace of either end.
			ports := "/sys/class/net/gv" + network.Key(ownerOf(filepath.Join(dir, "disk"))) + "*"
			require.Eventually(t, func() bool { found, _ := filepath.Glob(ports); return len(found) == 0 }, time.Minute, 20*time.Millisecond)

			next, err := New(context.Background(), Config{Dir: filepath.Join(dir, "disk"), RunDir: filepath.Join(dir, "run"), Binary: "runc"})
			require.NoError(t, err)
			require.NoError(t, next.Close())
			assert.Empty(t, left(t, next))
		})
	}
}

// runOwner starts containers until it is killed.
func runOwner(t *testing.T, dir string) {
	r, err := New(context.Background(), Config{Dir: filepath.Join(dir, "disk"), RunDir: filepath.Join(dir, "run"), Binary: "runc"})
	require.NoError(t, err)
	start := func(id string, network container.Network) {
		spec := hostImage(t)
		spec.ID, spec.Network = id, network
		spec.Args = []string{"sh", "-c", "setsid sleep 4321.5 & trap '' TERM HUP INT; exec sleep 4321.5", dir}
		spec.Stdout, spec.Stderr = os.Stdout, os.Stderr
		_, err := r.Start(context.Background(), spec)
		require.NoError(t, err)
	}
	start("a", container.NetworkOutbound)
	start("b", container.NetworkNone)
	base := templateSpec(t)
	base.Stdout, base.Stderr = os.Stdout, os.Stderr
	template, err := r.Template(context.Background(), base)
	require.NoError(t, err)
	fork := func(id, seconds string) {
		_, err := template.Fork(context.Background(), orderOf(base, id, "sleep", seconds))
		require.NoError(t, err)
	}
	fork("forked", "4321.5")
	fmt.Println("ready")
	fmt.Println("starting")
	for i := range 1000 {
		go start(fmt.Sprintf("n%d", i), container.NetworkOutbound)
		go fork(fmt.Sprintf("f%d", i), "4321.6")
		time.Sleep(30 * time.Millisecond)
	}
}

// inCell lists the processes that belong to the owner of a directory, by
// control group or as its reaper or OCI runtime.
func inCell(t *testing.T, dir string) []string {
	t.Helper()
	owner := ownerOf(filepath.Join(dir, "disk"))
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		groups, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		line := strings.ReplaceAll(string(args), "\x00", " ")
		if strings.Contains(string(groups), owner) || strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return found
}

// sleeping lists those of them that are a container's own.
func sleeping(t *testing.T, dir string) []string {
	var found []string
	for _, p := range inCell(t, dir) {
		if strings.HasPrefix(p, "sleep 4321.5") {
			found = append(found, p)
		}
	}
	return found
}

// TestReaperKilled kills the process on which all containers depend. They end,
// say why, and the Runtime goes on.
func TestReaperKilled(t *testing.T) {
	r := newRuntime(t)
	spec := hostImage(t)
	spec.ID, spec.Args, spec.Stdout, spec.Stderr = "a", []string{"sleep", "600"}, os.Stdout, os.Stderr
	c, err := r.Start(context.Background(), spec)
	require.NoError(t, err)
	require.NoError(t, r.cells[0].reaper.Process.Kill())
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the container does not end")
	}
	assert.Equal(t, 137, c.Exit().Code)
	assert.Contains(t, c.Exit().Reason, "killed from outside")
	spec.Args = []string{"sh", "-c", "exit 9"}
	c, err = r.Start(context.Background(), spec)
	require.NoError(t, err)
	<-c.Done()
	assert.Equal(t, 9, c.Exit().Code)
	require.NoError(t, r.Close())
	assert.Empty(t, left(t, r))
}

// TestLayersInMemory puts the writable layers where an overlay can't have
// them, as inside another container.
func TestLayersInMemory(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	merged := filepath.Join(dir, "merged")
	require.NoError(t, syscall.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)))
	defer func() { require.NoError(t, syscall.Unmount(merged, 0)) }()
	r, err := New(context.Background(), Config{Dir: filepath.Join(merged, "containers"), RunDir: filepath.Join(dir, "run"), Binary: "runc"})
	require.NoError(t, err)
	require.True(t, r.inRAM)
	out, err := os.CreateTemp(dir, "out")
	require.NoError(t, err)
	defer out.Close()
	spec := hostImage(t)
	spec.ID, spec.Stdout, spec.Stderr, spec.Disk = "a", out, out, 8<<20
	spec.Args = []string{"sh", "-c", "head -c 4000000 /dev/zero >/a && echo small; head -c 16000000 /dev/zero >/b || echo full"}
	c, err := r.Start(context.Background(), spec)
	require.NoError(t, err)
	<-c.Done()
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	assert.Contains(t, string(text), "small\n")
	assert.Contains(t, string(text), "full\n")
	require.NoError(t, r.Close())
	assert.Empty(t, left(t, r))
}

// TestSecretsOnDisk looks for a secret in every file of a running container's
// directories.
func TestSecretsOnDisk(t *testing.T) {
	r := newRuntime(t)
	spec := hostImage(t)
	secret := "secret-" + strconv.Itoa(os.Getpid())
	spec.ID, spec.Args, spec.Stdout, spec.Stderr = "a", []string{"sleep", "600"}, os.Stdout, os.Stderr
	spec.ExtraEnv = func() []string { return []string{"TOKEN=" + secret} }
	c, err := r.Start(context.Background(), spec)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), "grep", "-rl", secret, r.cfg.Dir, r.cfg.RunDir).Output()
	assert.Error(t, err, "grep finds nothing")
	assert.Empty(t, string(out))
	for _, dir := range []string{r.cfg.Dir, r.cfg.RunDir, c.(*running).bundle} {
		info, err := os.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o700), info.Mode().Perm(), dir)
	}
	require.NoError(t, c.Kill())
	<-c.Done()
}

// TestTwoOwners runs two Runtimes at once.
func TestTwoOwners(t *testing.T) {
	one, two := newRuntime(t), newRuntime(t)
	for _, r := range []*Runtime{one, two} {
		spec := hostImage(t)
		spec.ID, spec.Args, spec.Stdout, spec.Stderr = "same", []string{"sleep", "600"}, os.Stdout, os.Stderr
		_, err := r.Start(context.Background(), spec)
		require.NoError(t, err)
	}
	assert.False(t, one.network.Subnet().Overlaps(two.network.Subnet()))
	assert.NotEqual(t, network.Key(one.owner), network.Key(two.owner))
	require.NoError(t, one.Close())
	assert.Empty(t, left(t, one)[len(children(t)):], "but for the other's reaper")
	pids := two.live["same"].group.Pids()
	assert.Len(t, pids, 1, "the other's container lives on")
	require.NoError(t, two.Close())
	assert.Empty(t, left(t, two))
}

// TestCellsInARow makes cells whose first process is sometimes quicker than who
// has started it.
func TestCellsInARow(t *testing.T) {
	needRoot(t)
	for range 100 {
		c, err := newCell(t.Context(), []string{os.Args[0], ReaperCommand})
		require.NoError(t, err)
		c.close()
	}
}
