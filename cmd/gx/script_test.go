//go:build linux

package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// lab is one host, and the binary under test, that all scripts share: the base
// image is made once. GX_TEST_CACHE keeps its state for the next run of the
// tests; GX_TEST_RACE=1 has gx itself, hosts included, watched for data races.
type lab struct {
	gx, state, runtime, cache, python string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root: run the tests with sudo, as `make test` does")
	}
	dir := t.TempDir()
	l := &lab{gx: filepath.Join(dir, "bin", "gx"), state: filepath.Join(dir, "state"),
		runtime: filepath.Join(dir, "run"), cache: filepath.Join(dir, "cache")}
	if kept := os.Getenv("GX_TEST_CACHE"); kept != "" {
		l.state = filepath.Join(kept, "state")
	}
	build := []string{"build", "-o", l.gx, "."}
	if os.Getenv("GX_TEST_RACE") != "" {
		build = slices.Insert(build, 1, "-race")
	}
	l.output(t, exec.CommandContext(t.Context(), "go", build...))
	python := "python3"
	// What the tests' own Python has, such as cloudpickle, is for programs too.
	if own, err := filepath.Abs("../../.cache/venv/bin/python"); err == nil {
		if _, err := os.Stat(own); err == nil {
			python = own
		}
	}
	l.python = strings.TrimSpace(l.output(t, exec.CommandContext(t.Context(), python, "-c", "import sys; print(sys.executable)")))
	t.Cleanup(func() {
		l.output(t, l.command("host", "stop", "--force"))
		if left := remains(l.runtime); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	return l
}

func (l *lab) env() []string {
	return []string{"GX_STATE_DIR=" + l.state, "GX_RUNTIME_DIR=" + l.runtime, "GX_CACHE_DIR=" + l.cache, "GX_PYTHON=" + l.python}
}

func (l *lab) command(args ...string) *exec.Cmd {
	cmd := exec.Command(l.gx, args...) //nolint:noctx // cleaning up goes on after the test
	cmd.Env = append(os.Environ(), l.env()...)
	return cmd
}

func (l *lab) output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, stderr.String())
	}
	return string(out)
}

// params runs the scripts of a folder with gx on the path. $EXAMPLES is the
// folder of examples.
func (l *lab) params(t *testing.T, dir string) testscript.Params {
	t.Helper()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			own := e.Vars
			e.Vars = append(append([]string{}, os.Environ()...), own...)
			e.Vars = append(e.Vars, l.env()...)
			e.Setenv("PATH", filepath.Dir(l.gx)+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("EXAMPLES", examples)
			// A host that a script started for itself ends with it, also if it fails.
			e.Defer(func() {
				own := filepath.Join(e.WorkDir, "run")
				if _, err := os.Stat(own); err == nil {
					stop := l.command("host", "stop", "--force")
					stop.Env = append(stop.Env, "GX_RUNTIME_DIR="+own, "GX_STATE_DIR="+filepath.Join(e.WorkDir, "state"))
					_ = stop.Run()
				}
			})
			return nil
		},
		Condition: func(name string) (bool, error) {
			asked := os.Getenv("GX_TEST_TORCH")
			switch name {
			case "torch":
				return asked != "", nil
			case "cuda": // PyPI's build of it for CUDA
				return asked == "cuda", nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":  await,
			"until":  until,
			"tmpfs":  tmpfs,
			"gone":   gone,
			"code":   code,
			"lines":  lines,
			"signal": signal,
		},
	}
}

// TestGx runs every script in testdata/script, several at once, then what needs
// a terminal, then the scripts in testdata/alone, one after the other: they
// harm the host. The last tests kill it over and over.
func TestGx(t *testing.T) {
	l := newLab(t)
	t.Run("shared", func(t *testing.T) { testscript.Run(t, l.params(t, "testdata/script")) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, l) })
	t.Run("shell", func(t *testing.T) { testShell(t, l) })
	t.Run("serve", func(t *testing.T) { testServe(t, l) })
	t.Run("dashboard", func(t *testing.T) { testDashboard(t, l) })
	t.Run("alone", func(t *testing.T) {
		p := l.params(t, "testdata/alone")
		testscript.RunT(oneByOne{t}, p)
	})
	t.Run("load", func(t *testing.T) { testDeployLoad(t, l) })
	t.Run("killed", func(t *testing.T) {
		t.Run("volumes", func(t *testing.T) { testVolumesKilled(t, l) })
		t.Run("deployed", func(t *testing.T) { testDeployedKilled(t, l) })
		t.Run("versions", func(t *testing.T) { testVersionsKilled(t, l) })
	})
}

// oneByOne is a test whose scripts do not run in parallel.
type oneByOne struct{ *testing.T }

func (t oneByOne) Parallel()     {}
func (t oneByOne) Verbose() bool { return testing.Verbose() }
func (t oneByOne) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// await FILE waits until a file exists: something that a program made when it
// had come that far.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s did not appear within 2 minutes", args[0])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// until FILE TEXT [N] waits until a file that a program in the background writes
// has a text, N times.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: until FILE TEXT [N]")
	}
	times := 1
	if len(args) == 3 {
		var err error
		times, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		data, _ := os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		if strings.Count(string(data), args[1]) >= times {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%q is not in %s within 2 minutes:\n%s", args[1], args[0], data)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signal NAME sends a signal to the program that was started last with &.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || len(ts.BackgroundCmds()) == 0 {
		ts.Fatalf("usage: signal NAME, after exec ... &")
	}
	cmds := ts.BackgroundCmds()
	number := unix.SignalNum("SIG" + args[0])
	if number == 0 {
		ts.Fatalf("there is no signal %s", args[0])
	}
	ts.Check(cmds[len(cmds)-1].Process.Signal(number))
}

// tmpfs DIR SIZE makes a small file system.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
}

// gone TEXT waits until no process has TEXT in its command line or environment,
// and no mount has it in its paths: nothing was left behind.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone TEXT")
	}
	if left := remains(args[0]); len(left) > 0 {
		ts.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// remains gives what is ending a minute, and returns what is still there.
func remains(text string) (left []string) {
	for range 1200 {
		if left = leftovers(text); len(left) == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return left
}

func leftovers(text string) []string {
	var left []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if strings.Contains(string(cmdline), text) || strings.Contains(string(environ), text) {
			left = append(left, fmt.Sprintf("process %d: %s", pid, strings.ReplaceAll(string(cmdline), "\x00", " ")))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, text) {
			left = append(left, "mount: "+strings.TrimSpace(line))
		}
	}
	return left
}

// code N PROGRAM ARGS... runs a program, which must end with code N within
// three minutes. Its output is for the commands stdout and stderr.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("it ended with %d, not %d", got, want)
	}
}

// lines FILE N checks how many lines a file has.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, not %s", args[0], n, args[1])
	}
}
