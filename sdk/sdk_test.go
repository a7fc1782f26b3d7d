package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/sdk"
)

// env is a getenv over a map, with this process's PATH unless it says otherwise.
func env(vars map[string]string) func(string) string {
	return func(key string) string {
		if value, ok := vars[key]; ok || key != "PATH" {
			return value
		}
		return os.Getenv("PATH")
	}
}

func TestExtract(t *testing.T) {
	cache := t.TempDir()
	dir, err := sdk.Extract(cache)
	require.NoError(t, err)
	for _, name := range []string{"gx/__init__.py", "gx/_wire.py", "gx/_runner/main.py", "gx/py.typed", "modal/__init__.py"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	require.NoDirExists(t, filepath.Join(dir, "gx", "__pycache__"))
	again, err := sdk.Extract(cache)
	require.NoError(t, err)
	require.Equal(t, dir, again)
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
}

func TestExtractMendsWhatIsDamaged(t *testing.T) {
	cache := t.TempDir()
	dir, err := sdk.Extract(cache)
	require.NoError(t, err)
	main := filepath.Join(dir, "gx", "_runner", "main.py")
	require.NoError(t, os.Truncate(main, 10))
	require.NoError(t, os.Remove(filepath.Join(dir, "gx", "_wire.py")))
	again, err := sdk.Extract(cache)
	require.NoError(t, err)
	require.Equal(t, dir, again)
	data, err := os.ReadFile(main)
	require.NoError(t, err)
	require.Greater(t, len(data), 10)
	require.FileExists(t, filepath.Join(dir, "gx", "_wire.py"))
}

func TestExtractAtOnce(t *testing.T) {
	cache := t.TempDir()
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := sdk.Extract(cache)
			errs <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
}

func TestFindPython(t *testing.T) {
	cache := t.TempDir()
	getenv := env(map[string]string{"GX_CACHE_DIR": cache})
	path, version, err := sdk.FindPython(t.Context(), getenv)
	require.NoError(t, err)
	out, err := exec.Command(path, "-c", "import sys; print(sys.executable, '%d.%d.%d' % sys.version_info[:3])").Output()
	require.NoError(t, err)
	require.Equal(t, path+" "+version, strings.TrimSpace(string(out)), "the interpreter itself, not a shim")
	require.FileExists(t, filepath.Join(cache, "pythons.json"))
}

// script writes a program that counts how often it is run.
func script(t *testing.T, path, body string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755))
}

func TestFindPythonRemembers(t *testing.T) {
	dir := t.TempDir()
	count, python := filepath.Join(dir, "count"), filepath.Join(dir, "shim")
	body := fmt.Sprintf("echo x >> %s\necho %s\necho 3.11.9\n", count, python)
	script(t, python, body)
	vars := map[string]string{"GX_PYTHON": python, "GX_CACHE_DIR": dir, "HOME": dir}
	asked := func() int {
		data, _ := os.ReadFile(count)
		return len(data) / 2
	}
	for range 3 {
		_, version, err := sdk.FindPython(t.Context(), env(vars))
		require.NoError(t, err)
		require.Equal(t, "3.11.9", version)
	}
	require.Equal(t, 1, asked())

	vars["PYENV_VERSION"] = "3.12"
	_, _, err := sdk.FindPython(t.Context(), env(vars))
	require.NoError(t, err)
	require.Equal(t, 2, asked(), "a shim that was told another version is asked again")

	script(t, python, body+"# changed\n")
	_, _, err = sdk.FindPython(t.Context(), env(vars))
	require.NoError(t, err)
	require.Equal(t, 3, asked(), "a file that changed is asked again")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "pythons.json"), []byte("{broken"), 0o644))
	_, _, err = sdk.FindPython(t.Context(), env(vars))
	require.NoError(t, err)
	require.Equal(t, 4, asked())
}

func TestFindPythonErrors(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	script(t, old, fmt.Sprintf("echo %s\necho 3.8.1\n", old))
	broken := filepath.Join(dir, "broken")
	script(t, broken, "echo no such thing >&2\nexit 3\n")
	chatty := filepath.Join(dir, "chatty")
	script(t, chatty, "echo hello\n")
	tests := map[string]struct {
		vars map[string]string
		want string
	}{
		"none":       {map[string]string{"PATH": dir}, "no python3 on PATH"},
		"missing":    {map[string]string{"GX_PYTHON": dir + "/nowhere"}, "no such file"},
		"name":       {map[string]string{"GX_PYTHON": "nowhere"}, `GX_PYTHON is "nowhere"`},
		"too old":    {map[string]string{"GX_PYTHON": old}, "is Python 3.8.1, and gx needs 3.9 or newer"},
		"broken":     {map[string]string{"GX_PYTHON": broken}, "no such thing"},
		"not Python": {map[string]string{"GX_PYTHON": chatty}, "is not a Python"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.vars["GX_CACHE_DIR"] = filepath.Join(dir, "cache")
			_, _, err := sdk.FindPython(t.Context(), env(test.vars))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestVirtualEnv(t *testing.T) {
	dir := t.TempDir()
	python := filepath.Join(dir, "venv", "bin", "python")
	script(t, python, fmt.Sprintf("echo %s\necho 3.12.0\n", python))
	vars := map[string]string{"VIRTUAL_ENV": filepath.Join(dir, "venv"), "GX_CACHE_DIR": dir}
	path, version, err := sdk.FindPython(t.Context(), env(vars))
	require.NoError(t, err)
	require.Equal(t, python, path)
	require.Equal(t, "3.12.0", version)
	vars["VIRTUAL_ENV"] = filepath.Join(dir, "deleted")
	path, _, err = sdk.FindPython(t.Context(), env(vars))
	require.NoError(t, err)
	require.NotEqual(t, python, path)
}

// start runs Python code with a control socket.
func start(t *testing.T, ctx context.Context, code string) *sdk.Process {
	t.Helper()
	cache := t.TempDir()
	python, _, err := sdk.FindPython(ctx, env(map[string]string{"GX_CACHE_DIR": cache}))
	require.NoError(t, err)
	dir, err := sdk.Extract(cache)
	require.NoError(t, err)
	p, err := sdk.StartPython(ctx, sdk.Options{
		Python: python, SDKDir: dir, Args: []string{"-c", code}, Env: append(os.Environ(), "PYTHONPATH=/elsewhere"), Stderr: os.Stderr,
	})
	require.NoError(t, err)
	return p
}

const connect = `
import os, socket, sys
control = socket.socket(fileno=int(os.environ["GX_CONTROL_FD"]))
`

func TestControl(t *testing.T) {
	p := start(t, t.Context(), connect+`
import json, array
from gx import _wire
assert sys.path[1].endswith("/gx") is False and "/elsewhere" in sys.path
control.sendall(json.dumps({"start": {"manifest": {"version": 1, "name": "x" * 300000}, "output": True}}).encode() + b"\n")
data, anc, flags, _ = control.recvmsg(65536, socket.CMSG_SPACE(16))
assert json.loads(data)["started"]["functions"] == {"f": "fu-1"}, data
fds = array.array("i"); fds.frombytes(anc[0][2])
os.write(fds[0], b"through the pipe")
os.close(fds[0])
control.sendall(b'{"sync": 7}\n{"exit": {"code": 4, "result": "49"}}\n')
sys.exit(4)
`)
	m, err := p.Control().Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, app.Manifest{Version: 1, Name: strings.Repeat("x", 300000)}, m.Start.Manifest)
	require.True(t, m.Start.Output)

	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, p.Control().Send(sdk.ToPython{Started: &sdk.Started{App: "ap-1", Functions: map[string]string{"f": "fu-1"}}}, write))
	require.NoError(t, write.Close())
	got, err := io.ReadAll(read)
	require.NoError(t, err)
	require.Equal(t, "through the pipe", string(got))

	m, err = p.Control().Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(7), m.Sync)
	m, err = p.Control().Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, &sdk.Exit{Code: 4, Result: "49"}, m.Exit)
	_, err = p.Control().Recv(t.Context())
	require.ErrorIs(t, err, io.EOF)
	code, err := p.Wait()
	require.NoError(t, err)
	require.Equal(t, 4, code)
}

func TestRecvErrors(t *testing.T) {
	p := start(t, t.Context(), connect+`
control.sendall(b'not json\n{"sync": 1')
`)
	_, err := p.Control().Recv(t.Context())
	require.ErrorContains(t, err, "understanding what Python said")
	_, err = p.Control().Recv(t.Context())
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = p.Wait()
	require.NoError(t, err)
}

func TestRecvEndsWithContext(t *testing.T) {
	p := start(t, t.Context(), connect+`control.recv(1)`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := p.Control().Recv(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	p.Signal(syscall.SIGTERM)
	code, err := p.Wait()
	require.NoError(t, err)
	require.Equal(t, 128+15, code)
}

func TestContextKills(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(t, ctx, connect+`control.recv(1)`)
	cancel()
	code, _ := p.Wait()
	require.Equal(t, 128+9, code)
}

func TestInheritedControl(t *testing.T) {
	for _, value := range []string{"", "x", "1", "-4"} {
		_, err := sdk.InheritedControl(env(map[string]string{sdk.ControlEnv: value}))
		require.ErrorContains(t, err, sdk.ControlEnv)
	}
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer write.Close()
	fd, err := syscall.Dup(int(read.Fd()))
	require.NoError(t, err)
	require.NoError(t, read.Close())
	_, err = sdk.InheritedControl(env(map[string]string{sdk.ControlEnv: fmt.Sprint(fd)}))
	require.Error(t, err, "a pipe is no socket")

	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	control, err := sdk.InheritedControl(env(map[string]string{sdk.ControlEnv: fmt.Sprint(fds[0])}))
	require.NoError(t, err)
	_, err = syscall.Write(fds[1], []byte("{\"warning\":\"old\"}\n"))
	require.NoError(t, err)
	m, err := control.Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, "old", m.Warning)
	require.NoError(t, control.Close())
	_, err = control.Recv(t.Context())
	require.True(t, err != nil && !errors.Is(err, io.EOF))
	require.NoError(t, syscall.Close(fds[1]))
}
