package process

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/containertest"
)

func newRuntime(t testing.TB, dir string) *Runtime {
	t.Helper()
	r, err := New(context.Background(), Config{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

// venv makes a virtual environment of the machine's Python.
func venv(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "venv")
	out, err := exec.CommandContext(t.Context(), "python3", "-m", "venv", "--without-pip", dir).CombinedOutput()
	if err != nil {
		t.Skipf("the machine's Python makes no virtual environment: %v: %s", err, out)
	}
	return dir
}

func TestConformance(t *testing.T) {
	env := venv(t)
	containertest.Run(t, containertest.Suite{
		New: func(t *testing.T) container.Runtime { return newRuntime(t, t.TempDir()) },
		Base: func(*testing.T) container.Spec {
			return container.Spec{Root: container.Root{Venv: env}, Env: []string{"PATH=" + os.Getenv("PATH")}}
		},
		Left: func(t *testing.T, r container.Runtime) []string {
			var found []string
			own := r.(*Runtime)
			_ = filepath.WalkDir(own.cfg.Dir, func(path string, _ fs.DirEntry, err error) error {
				if err == nil && path != own.cfg.Dir {
					found = append(found, path)
				}
				return nil
			})
			for _, pid := range append(carrying(own.owner), children()...) {
				found = append(found, fmt.Sprintf("process %d", pid))
			}
			return found
		},
		Lacks: []containertest.Capability{
			containertest.Root, containertest.Mounts, containertest.Overlays, containertest.Namespaces, containertest.Networks, containertest.Memory,
			containertest.CPU, containertest.Pids, containertest.Disk, containertest.Privileges,
		},
	})
}

// children lists what this process has started and not reaped.
func children() []int {
	var pids []int
	for _, p := range table() {
		if p.parent == os.Getpid() && p.pid != os.Getpid() {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func TestMemoryWatch(t *testing.T) {
	r := newRuntime(t, t.TempDir())
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	c, err := r.Start(context.Background(), container.Spec{
		ID: "hog", Root: container.Root{Venv: venv(t)}, Env: []string{"PATH=" + os.Getenv("PATH")}, Memory: 64 << 20,
		// Two processes, each below the limit.
		Args:   []string{"python3", "-S", "-c", "import os, time; os.fork(); b = bytearray(48 << 20); time.sleep(600)"},
		Stdout: null, Stderr: null,
	})
	require.NoError(t, err)
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("not killed")
	}
	exit := c.Exit()
	assert.True(t, exit.OOMKilled)
	assert.Equal(t, 137, exit.Code)
	assert.Contains(t, exit.Reason, "its limit is 64 MiB")
	assert.Greater(t, exit.Peak, int64(64<<20))
}

func TestNetworkNoneIsRefused(t *testing.T) {
	r := newRuntime(t, t.TempDir())
	_, err := r.Start(context.Background(), container.Spec{
		ID: "x", Root: container.Root{Venv: "/venv"}, Args: []string{"true"}, Network: container.NetworkNone, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	assert.ErrorContains(t, err, "can't prevent")
}

func TestTreesAreCopied(t *testing.T) {
	top, bottom := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o444))
	}
	write(filepath.Join(top, "root/app.py"), "print(open('/nowhere' if 0 else 'data').read(), end='')")
	write(filepath.Join(top, "root/data"), "top\n")
	write(filepath.Join(bottom, "root/data"), "bottom\n")
	write(filepath.Join(bottom, "root/big"), strings.Repeat("x", copyLimit+1))
	write(filepath.Join(bottom, "opt/lib/module.py"), "where = __file__")
	require.NoError(t, os.Symlink("data", filepath.Join(bottom, "root/link")))

	r := newRuntime(t, t.TempDir())
	out, err := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, err)
	defer out.Close()
	script := `/root/app.py; python3 /root/app.py; cat link; wc -c <big; echo changed >data; cat data
echo new >$HOME/new; python3 -c 'import module, os; print(os.path.exists(module.__file__)); print(os.environ["PYTHONPATH"].count("/opt/lib"), os.environ["URL"])'`
	script = strings.TrimPrefix(script, "/root/app.py; ")
	c, err := r.Start(context.Background(), container.Spec{
		ID: "copy", Root: container.Root{Venv: venv(t), Lower: []string{top, bottom}}, Dir: "/root",
		Env:  []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "PYTHONPATH=/opt/lib:/root", "URL=http://host/root/app.py", "APP=/root/app.py"},
		Args: []string{"sh", "-c", strings.ReplaceAll(script, "/root/app.py", "$APP")}, Stdout: out, Stderr: out,
	})
	require.NoError(t, err)
	<-c.Done()
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("top\ntop\n%d\nchanged\nTrue\n1 http://host/root/app.py\n", copyLimit+1), string(text))
	kept, err := os.ReadFile(filepath.Join(top, "root/data"))
	require.NoError(t, err)
	assert.Equal(t, "top\n", string(kept))
}

func TestPaths(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "opt/app"), 0o755))
	p := newPaths(container.Spec{Dir: "/root", Mounts: []container.Mount{
		{Source: "/real/run", Target: "/__gx/run/"}, {Source: "/real/deep", Target: "/__gx/run/deep"}, {Source: "/real/sdk", Target: "/__gx/sdk"},
	}}, folder)
	for in, want := range map[string]string{
		"/__gx/run/host.sock":        "/real/run/host.sock",
		"/__gx/run/deep/x":           "/real/deep/x",
		"/__gx/running":              "/__gx/running",
		"/__gx/sdk:/root:/usr/lib":   "/real/sdk:" + folder + "/root:/usr/lib",
		"/root/not/yet":              folder + "/root/not/yet",
		"/rooted":                    "/rooted",
		"/opt/app":                   folder + "/opt/app",
		"/opt/other":                 "/opt/other",
		"/":                          "/",
		"":                           "",
		"relative/root":              "relative/root",
		"https://host/__gx/sdk":      "https://host/__gx/sdk",
		"/root/../__gx/sdk/x":        "/real/sdk/x",
		"name:/root/x":               "name:" + folder + "/root/x",
		"text with /root in between": "text with /root in between",
	} {
		assert.Equal(t, want, p.text(in), in)
	}
}
