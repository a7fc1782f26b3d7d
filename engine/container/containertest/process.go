package containertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

func testStreams(t *testing.T, f *fixture) {
	p := f.run(t, f.sh(`echo out; echo err >&2; printf 'no newline \377'`))
	if exit := p.wait(t); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	if got := p.out.String(); got != "out\nno newline \xff" {
		t.Errorf("stdout %q", got)
	}
	if got := p.err.String(); got != "err\n" {
		t.Errorf("stderr %q", got)
	}
}

func testExitCodes(t *testing.T, f *fixture) {
	for _, code := range []int{0, 1, 7, 255} {
		before := time.Now()
		_, exit := f.finish(t, f.sh(fmt.Sprintf("exit %d", code)))
		if exit.Code != code || exit.Signal != 0 || exit.OOMKilled || exit.Reason != "" {
			t.Errorf("exit %d: got %+v", code, exit)
		}
		if exit.Started.Before(before) || exit.Finished.Before(exit.Started) || exit.Finished.After(time.Now()) {
			t.Errorf("exit %d: times %v to %v", code, exit.Started, exit.Finished)
		}
	}
}

func testMissingProgram(t *testing.T, f *fixture) {
	_, err := f.start(t, context.Background(), f.spec("no-such-program"))
	if err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("error %v does not name the program", err)
	}
	// The name is free again.
	s := f.sh("echo again")
	s.ID = "c1"
	if out, exit := f.finish(t, s); out != "again\n" || exit.Code != 0 {
		t.Errorf("%q, %+v", out, exit)
	}
}

func testBadSpecs(t *testing.T, f *fixture) {
	for name, change := range map[string]func(*container.Spec){
		"no id":             func(s *container.Spec) { s.ID = "" },
		"path as id":        func(s *container.Spec) { s.ID = "../x" },
		"long id":           func(s *container.Spec) { s.ID = strings.Repeat("x", 65) },
		"no arguments":      func(s *container.Spec) { s.Args = nil },
		"no file system":    func(s *container.Spec) { s.Root = container.Root{} },
		"relative dir":      func(s *container.Spec) { s.Dir = "here" },
		"negative memory":   func(s *container.Spec) { s.Memory = -1 },
		"unknown network":   func(s *container.Spec) { s.Network = "carrier-pigeon" },
		"relative mount":    func(s *container.Spec) { s.Mounts = []container.Mount{{Source: "/tmp", Target: "t"}} },
		"mount of nothing":  func(s *container.Spec) { s.Mounts = []container.Mount{{Source: "/no/such/dir", Target: "/t"}} },
		"mount at the root": func(s *container.Spec) { s.Mounts = []container.Mount{{Source: "/tmp", Target: "/"}} },
	} {
		s := f.sh("echo no")
		change(&s)
		if p, err := f.start(t, context.Background(), s); err == nil {
			t.Errorf("%s: started", name)
			p.wait(t)
		}
	}
}

func testSignal(t *testing.T, f *fixture) {
	p := f.run(t, f.sh(`trap 'echo got it; exit 42' TERM; echo ready; while :; do sleep 0.05; done`))
	p.out.await(t, "ready")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := p.wait(t); exit.Code != 42 || exit.Signal != 0 {
		t.Errorf("exit %+v", exit)
	}
	if got := p.out.String(); got != "ready\ngot it\n" {
		t.Errorf("stdout %q", got)
	}
}

func testSignalsAfterEnd(t *testing.T, f *fixture) {
	p := f.run(t, f.sh("exit 3"))
	p.wait(t)
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Kill(), p.Kill()); err != nil {
		t.Error(err)
	}
	if got := p.Exit().Code; got != 3 {
		t.Errorf("exit code %d", got)
	}
}

// mark is a command line argument by which the host finds a process.
func mark() string { return fmt.Sprintf("31%d.%d", os.Getpid(), rand.Uint32()) }

// find lists the processes with a marked command line.
func find(t *testing.T, mark string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, mark) && !strings.Contains(line, "sh -c") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// tree starts a shell with a process in the background, one in a session of
// its own, and one that has lost its parent.
const tree = `sleep MARK & python3 -S -c 'import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "MARK"])
    os._exit(0)
os.wait()'
echo ready; `

func testKillTree(t *testing.T, f *fixture) {
	m := mark()
	p := f.run(t, f.sh(strings.ReplaceAll(tree, "MARK", m)+"trap '' TERM; sleep "+m))
	p.out.await(t, "ready")
	for deadline := time.Now().Add(patience); len(find(t, m)) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("running: %q", find(t, m))
		}
	}
	var kills sync.WaitGroup
	for range 3 {
		kills.Go(func() {
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
	exit := p.wait(t)
	kills.Wait()
	if exit.Code != 137 || exit.Signal != syscall.SIGKILL || exit.OOMKilled {
		t.Errorf("exit %+v", exit)
	}
	if left := find(t, m); len(left) > 0 {
		t.Errorf("alive after Done: %q", left)
	}
}

func testOrphans(t *testing.T, f *fixture) {
	m := mark()
	p := f.run(t, f.sh(strings.ReplaceAll(tree, "MARK", m)+"exit 5"))
	if exit := p.wait(t); exit.Code != 5 {
		t.Errorf("exit %+v", exit)
	}
	if left := find(t, m); len(left) > 0 {
		t.Errorf("alive after Done: %q", left)
	}
}

func testEnvironment(t *testing.T, f *fixture) {
	s := f.python(`import os
for k in ("PLAIN", "SPACED", "EMPTY", "TOKEN", "LATE"): print(k, repr(os.environ.get(k)))
print("UNASKED", [k for k in os.environ if k in ("SUITE_OWN", "SUDO_USER")])`)
	t.Setenv("SUITE_OWN", "must not be inherited")
	s.Env = append(s.Env, "PLAIN=1", "SPACED=a b\nc", "EMPTY=", "LATE=early")
	calls := 0
	s.ExtraEnv = func() []string { calls++; return []string{"TOKEN=secret", "LATE=late"} }
	out, exit := f.finish(t, s)
	want := "PLAIN '1'\nSPACED 'a b\\nc'\nEMPTY ''\nTOKEN 'secret'\nLATE 'late'\nUNASKED []\n"
	if out != want || exit.Code != 0 || calls != 1 {
		t.Errorf("got %q, want %q; %+v; %d calls", out, want, exit, calls)
	}
}

func testDirectory(t *testing.T, f *fixture) {
	s := f.sh("pwd; test -w . && echo writable")
	s.Dir = "/root"
	if out, exit := f.finish(t, s); !strings.HasSuffix(out, "/root\nwritable\n") || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	s = f.sh("pwd")
	s.Dir = "/made/when missing"
	if out, exit := f.finish(t, s); !strings.HasSuffix(out, "/made/when missing\n") || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

func testStats(t *testing.T, f *fixture) {
	p := f.run(t, f.python(`import sys, time
end = time.process_time() + 0.3
while time.process_time() < end: pass
print("worked", flush=True)
sys.stdout.close(); time.sleep(600)`))
	p.out.await(t, "worked")
	live, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if live.CPU < 250*time.Millisecond || live.CPU > 10*time.Second || live.Memory <= 0 || live.Peak < live.Memory/2 || live.Pids < 1 {
		t.Errorf("alive: %+v", live)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	last, err := p.Stats()
	if err != nil || last.CPU < 250*time.Millisecond {
		t.Errorf("after the end: %+v, %v", last, err)
	}
}

func testSameID(t *testing.T, f *fixture) {
	first := f.sh("echo up; sleep 600")
	p := f.run(t, first)
	if _, err := f.start(t, context.Background(), first); err == nil || !strings.Contains(err.Error(), first.ID) {
		t.Errorf("a second %s: error %v", first.ID, err)
	}
	p.out.await(t, "up")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	again := f.sh("echo again")
	again.ID = first.ID
	if out, _ := f.finish(t, again); out != "again\n" {
		t.Errorf("%q", out)
	}
}

func testConcurrent(t *testing.T, f *fixture) {
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		s := f.sh(fmt.Sprintf("echo %d; exit %d", i, i))
		all.Go(func() {
			p, err := f.start(t, context.Background(), s)
			if err != nil {
				t.Error(err)
				return
			}
			<-p.Done()
			if out := p.out.String(); out != fmt.Sprintf("%d\n", i) || p.Exit().Code != i {
				t.Errorf("%d: %q %+v", i, out, p.Exit())
			}
		})
	}
	all.Wait()
}

func testCancelledStart(t *testing.T, f *fixture) {
	m := mark()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.start(t, ctx, f.sh("echo no")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for i := range 12 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*6*time.Millisecond)
		p, err := f.start(t, ctx, f.spec("sleep", m))
		cancel()
		switch {
		case err == nil:
			// A running container outlives the context of its start.
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
			if exit := p.wait(t); exit.Code != 137 {
				t.Errorf("exit %+v", exit)
			}
		case !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("start %d: %v", i, err)
		}
		if left := find(t, m); len(left) > 0 {
			t.Fatalf("start %d: alive: %q", i, left)
		}
	}
}

func testCloseEndsAll(t *testing.T, f *fixture) {
	m := mark()
	running := make([]*process, 0, 5)
	for range 5 {
		running = append(running, f.run(t, f.sh("trap '' TERM INT; echo up; sleep "+m)))
	}
	for _, p := range running {
		p.out.await(t, "up")
	}
	if err := f.runtime.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range running {
		select {
		case <-p.Done():
		default:
			t.Errorf("%s is not done", p.ID())
		}
	}
	if left := find(t, m); len(left) > 0 {
		t.Errorf("alive: %q", left)
	}
	if _, err := f.start(t, context.Background(), f.sh("true")); err == nil {
		t.Error("a container started after Close")
	}
}

// testMappedPaths checks what holds even where nothing can be mounted: a path
// that a Spec names as a target works in its arguments and environment.
func testMappedPaths(t *testing.T, f *fixture) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.py"), []byte("import os; print('hello from', os.environ['WHAT']); print(open(os.environ['DATA']).read())"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("some data"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := f.spec("python3", "-S", "/__test/code/hello.py")
	s.Env = append(s.Env, "WHAT=a mount", "DATA=/__test/code/data")
	s.Mounts = append(s.Mounts, container.Mount{Source: dir, Target: "/__test/code", ReadOnly: true})
	if out, exit := f.finish(t, s); out != "hello from a mount\nsome data\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}
