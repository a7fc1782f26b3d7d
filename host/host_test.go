//go:build linux

package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
)

// binaries are two versions of gx, built once.
var binaries struct{ one, two string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gx-host-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.one, binaries.two = filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for path, version := range map[string]string{binaries.one: "1.0.0", binaries.two: "2.0.0"} {
		cmd := exec.Command("go", "build", "-ldflags", "-X main.version="+version, "-o", path, "../cmd/gx")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building gx: %v\n%s", err, out)
			os.Exit(1)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// user is somebody with a host of their own.
type user struct {
	t   *testing.T
	dir string
	env []string
}

func newUser(t *testing.T, env ...string) *user {
	t.Helper()
	dir, err := os.MkdirTemp("", "gx-u-") // short: a socket's path has a limit
	require.NoError(t, err)
	u := &user{t: t, dir: dir}
	u.env = append(os.Environ(), "GX_STATE_DIR="+u.state(), "GX_RUNTIME_DIR="+u.run(), "GX_CONFIG_DIR="+filepath.Join(dir, "c"),
		"GX_CACHE_DIR="+filepath.Join(dir, "k"), "GX_REGISTRY=off", "GX_RUNTIME=process", "NO_COLOR=1")
	u.env = append(u.env, env...)
	t.Cleanup(func() {
		_, _, _ = u.gx(binaries.one, "host", "stop", "--force")
		require.NoError(t, os.RemoveAll(dir))
	})
	return u
}

func (u *user) state() string  { return filepath.Join(u.dir, "s") }
func (u *user) run() string    { return filepath.Join(u.dir, "r") }
func (u *user) socket() string { return filepath.Join(u.run(), "host.sock") }

func (u *user) gx(binary string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = u.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (u *user) status(binary string) api.Status {
	u.t.Helper()
	out, errs, err := u.gx(binary, "host", "status", "--json")
	require.NoError(u.t, err, errs)
	var s api.Status
	require.NoError(u.t, json.Unmarshal([]byte(out), &s))
	return s
}

// app writes a file that runs until it is ended, and starts it.
func (u *user) busy(binary string) (stop func()) {
	u.t.Helper()
	file := filepath.Join(u.dir, "busy.py")
	require.NoError(u.t, os.WriteFile(file, []byte(`import sys, gx
app = gx.App("busy")

@app.local_entrypoint()
def main():
    print("up", flush=True)
    sys.stdin.read()
`), 0o600))
	cmd := exec.Command(binary, "run", file)
	cmd.Env = u.env
	in, err := cmd.StdinPipe()
	require.NoError(u.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(u.t, err)
	require.NoError(u.t, cmd.Start())
	up := make([]byte, 2)
	_, err = out.Read(up)
	require.NoError(u.t, err)
	require.Equal(u.t, "up", string(up))
	return func() { _ = in.Close(); _ = cmd.Wait() }
}

// gone waits until a path is not there any more.
func gone(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool { _, err := os.Stat(path); return os.IsNotExist(err) }, time.Minute, 10*time.Millisecond)
}

func TestManyFirstCommandsStartOneHost(t *testing.T) {
	u := newUser(t)
	var all sync.WaitGroup
	pids := make([]string, 20)
	for i := range pids {
		all.Go(func() {
			out, errs, err := u.gx(binaries.one, "host", "start")
			if err != nil {
				t.Errorf("start %d: %v\n%s%s", i, err, out, errs)
			}
			pids[i] = strings.Fields(out + errs)[2]
		})
	}
	all.Wait()
	for _, pid := range pids {
		require.Equal(t, pids[0], pid)
	}
	require.Equal(t, pids[0], fmt.Sprint(u.status(binaries.one).Pid))
}

func TestOnlyItsUserReachesAHost(t *testing.T) {
	u := newUser(t)
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.NoError(t, err, errs)
	for path, want := range map[string]os.FileMode{u.socket(): 0o600, u.run(): 0o700, u.state(): 0o700, filepath.Join(u.state(), "host.log"): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), path)
	}
	s := u.status(binaries.one)
	require.Equal(t, "1.0.0", s.Version)
	require.Equal(t, "process", s.Runtime)
	require.Equal(t, "venv", s.Engine)
	require.Equal(t, "unix://"+u.socket(), s.Address)
	require.NotZero(t, s.Uptime)
	require.NotZero(t, s.Disk.Budget)
	require.NotEmpty(t, s.Unisolated)
}

func TestAForeignRuntimeFolderIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving a folder away needs root")
	}
	u := newUser(t)
	require.NoError(t, os.Mkdir(u.run(), 0o777))
	require.NoError(t, os.Chown(u.run(), 65534, 65534))
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.Error(t, err)
	require.Contains(t, errs, "pose as your host")
}

func TestAKilledHostIsFollowedByAnother(t *testing.T) {
	u := newUser(t)
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.NoError(t, err, errs)
	first := u.status(binaries.one).Pid
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	_, errs, err = u.gx(binaries.one, "host", "start")
	require.NoError(t, err, errs)
	require.NotEqual(t, first, u.status(binaries.one).Pid)
}

func TestAnIdleHostOfAnotherVersionIsReplaced(t *testing.T) {
	u := newUser(t)
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.NoError(t, err, errs)
	_, errs, err = u.gx(binaries.two, "host", "start")
	require.NoError(t, err, errs)
	require.Contains(t, errs, "replaced the idle host of 1.0.0 by one of 2.0.0")
	require.Equal(t, "2.0.0", u.status(binaries.two).Version)
}

func TestABusyHostIsNotReplaced(t *testing.T) {
	u := newUser(t)
	stop := u.busy(binaries.one)
	defer stop()
	_, errs, err := u.gx(binaries.two, "host", "start")
	require.Error(t, err)
	require.Contains(t, errs, "version 1.0.0, this is 2.0.0")
	require.Contains(t, errs, "gx host stop --force")
	_, errs, err = u.gx(binaries.one, "host", "stop")
	require.Error(t, err)
	require.Contains(t, errs, "apps are running")
	_, errs, err = u.gx(binaries.one, "host", "stop", "--force")
	require.NoError(t, err, errs)
	gone(t, u.socket())
}

func TestAnIdleHostEndsItself(t *testing.T) {
	u := newUser(t)
	_, errs, err := u.gx(binaries.one, "host", "start", "--idle-timeout", "2s") // long enough for this command to say so
	require.NoError(t, err, errs)
	gone(t, u.socket())
	_, errs, err = u.gx(binaries.one, "host", "status")
	require.Error(t, err)
	require.Contains(t, errs, "no host is running")
}

func TestAMistakeInTheConfigurationReachesItsUser(t *testing.T) {
	u := newUser(t)
	require.NoError(t, os.Mkdir(filepath.Join(u.dir, "c"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(u.dir, "c", "config.toml"), []byte("idle_timeout = \"1h\"\ndisc_budget = \"5 GiB\"\n"), 0o600))
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.Error(t, err)
	require.Contains(t, errs, "line 2: there is no setting disc_budget")
}

func TestTheHostsLogIsFollowed(t *testing.T) {
	u := newUser(t)
	_, errs, err := u.gx(binaries.one, "host", "start")
	require.NoError(t, err, errs)
	out, errs, err := u.gx(binaries.one, "host", "logs", "--tail", "1")
	require.NoError(t, err, errs)
	require.Contains(t, out, "host ready")
	require.Equal(t, 1, strings.Count(out, "\n"))

	cmd := exec.Command(binaries.one, "host", "logs", "--follow")
	cmd.Env = u.env
	followed, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// It follows once it shows what is there; stopped earlier, the host would
	// be gone before it was asked.
	lines := bufio.NewScanner(followed)
	for lines.Scan() && !strings.Contains(lines.Text(), "host ready") {
	}
	require.Contains(t, lines.Text(), "host ready")
	_, errs, err = u.gx(binaries.one, "host", "stop")
	require.NoError(t, err, errs)
	for lines.Scan() { // to its end, which is the host's
	}
	_ = cmd.Wait()
}
