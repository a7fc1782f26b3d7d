package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	hybrid = `22 1 0:20 / / rw - ext4 /dev/vda rw
30 22 0:25 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
34 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
35 22 0:29 / /mnt/again rw - cgroup2 cgroup2 rw
`
	unified = "30 22 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)

func TestParse(t *testing.T) {
	s, err := parse(strings.NewReader(hybrid))
	require.NoError(t, err)
	assert.Equal(t, "hybrid", s.Layout())
	assert.Equal(t, map[string]string{
		"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/memory", "name=systemd": "/sys/fs/cgroup/systemd",
	}, s.v1)
	assert.Equal(t, []string{"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}, s.Mounts())

	s, err = parse(strings.NewReader(unified))
	require.NoError(t, err)
	assert.Equal(t, "v2", s.Layout())
	assert.True(t, s.CanLimitSwap())

	_, err = parse(strings.NewReader("22 1 0:20 / / rw - ext4 /dev/vda rw\n"))
	assert.ErrorContains(t, err, "/sys/fs/cgroup")
}

func FuzzParse(f *testing.F) {
	f.Add(hybrid)
	f.Add(unified)
	f.Add(" -  - \n- - cgroup cgroup ,\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse(strings.NewReader(text))
		if err == nil {
			assert.NotEmpty(t, s.Mounts())
			assert.NotEmpty(t, s.Layout())
		}
	})
}

// TestUsageOfVersion2 reads files as a version 2 kernel writes them: the
// machine of the tests may be of version 1.
func TestUsageOfVersion2(t *testing.T) {
	root := t.TempDir()
	s := &System{v1: map[string]string{}, v2: root, all: []string{root}}
	g := s.Group("gx-test").Child("c1")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "gx-test", "c1"), 0o755))
	for name, text := range map[string]string{
		"cpu.stat":       "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
		"memory.current": "4096\n", "memory.peak": "8192\n", "pids.current": "3\n", "cgroup.procs": "12\n0\n13\n",
		"memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, "gx-test", "c1", name), []byte(text), 0o644))
	}
	assert.Equal(t, Usage{CPU: 1500 * time.Millisecond, Memory: 4096, Peak: 8192, Pids: 3, OOMKills: 1}, g.Usage())
	assert.Equal(t, []int{12, 13}, s.Group("/gx-test").Pids())
	assert.Equal(t, []string{"c1"}, s.Group("gx-test").Children())
	require.NoError(t, os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o644))
	have, lack := s.Controllers("cpu", "memory", "devices")
	assert.Equal(t, []string{"cpu", "memory"}, have)
	assert.Equal(t, []string{"devices"}, lack)
}

// TestCreateOfVersion2 makes a group of files as a version 2 kernel reads them.
func TestCreateOfVersion2(t *testing.T) {
	root := t.TempDir()
	s := &System{v1: map[string]string{}, v2: root, all: []string{root}}
	g := s.Group("gx-test").Child("c1")
	require.NoError(t, g.Create(Limits{CPU: 0.5, Memory: 64 << 20, Pids: 7}))
	for file, want := range map[string]string{
		"cgroup.subtree_control": "+cpu +memory +pids", "gx-test/c1/memory.max": "67108864", "gx-test/c1/memory.swap.max": "0",
		"gx-test/c1/cpu.max": "50000 100000", "gx-test/c1/cpu.weight": "20", "gx-test/c1/pids.max": "7",
	} {
		require.NoError(t, os.Chmod(filepath.Join(root, file), 0o600), file)
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		assert.Equal(t, want, string(text), file)
	}
	assert.Equal(t, map[string]string{"": filepath.Join(root, "gx-test", "c1")}, g.Views())
}

// TestCreate makes a real group, in which a process puts itself.
func TestCreate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	s, err := Open()
	require.NoError(t, err)
	g := s.Group(fmt.Sprintf("gx-cgroup-test-%d-%s", os.Getpid(), t.Name()))
	require.NoError(t, g.Create(Limits{CPU: 1, Memory: 64 << 20, Pids: 7}))
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, g.Remove(ctx))
		assert.False(t, g.Exists())
	}()
	entrances, err := g.Entrances()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `for fd do echo 0 >&"$fd"; done; sleep 600 & sleep 600`, "sh")
	for i := range entrances {
		cmd.Args = append(cmd.Args, strconv.Itoa(3+i))
	}
	cmd.ExtraFiles = entrances
	require.NoError(t, cmd.Start())
	for _, f := range entrances {
		f.Close()
	}
	require.Eventually(t, func() bool { return g.Usage().Pids == 3 }, time.Minute, 5*time.Millisecond)
	assert.Contains(t, g.Pids(), cmd.Process.Pid)
	for _, dir := range g.Views() {
		assert.DirExists(t, dir)
	}
	require.NoError(t, g.Kill())
	assert.Error(t, cmd.Wait())
}

func TestRootIsSafe(t *testing.T) {
	s := &System{v1: map[string]string{}, v2: t.TempDir()}
	assert.Error(t, s.Group("/").Kill())
	assert.Error(t, s.Group("a/../..").Remove(context.Background()))
}

// TestRemove removes real groups with a real process that ignores requests.
func TestRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	s, err := Open()
	require.NoError(t, err)
	s.Warm()
	g := s.Group(fmt.Sprintf("gx-cgroup-test-%d-%s", os.Getpid(), t.Name()))
	for _, point := range s.Mounts() {
		if strings.Contains(point, "cpuset") {
			continue // takes no process before its sets are filled in
		}
		require.NoError(t, os.MkdirAll(filepath.Join(point, g.Path(), "inner"), 0o755))
	}
	require.True(t, g.Exists())
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap '' TERM; for d do echo $$ >"$d/cgroup.procs"; done; echo in; sleep 600 & wait`, "sh")
	cmd.Args = append(cmd.Args, g.Child("inner").dirs()...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 8))
	require.NoError(t, err)
	require.NotEmpty(t, g.Pids())
	assert.Positive(t, g.Child("inner").Usage().Pids)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reaped := make(chan error)
	go func() { reaped <- cmd.Wait() }()
	require.NoError(t, g.Remove(ctx))
	assert.Error(t, <-reaped, "killed")
	assert.False(t, g.Exists())
	require.NoError(t, g.Remove(ctx), "again")
}
