package containertest

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

// command is a process in a container, with its output.
type command struct {
	container.Process
	in       *os.File // its standard input, or its terminal
	out, err *output
}

func (f *fixture) exec(t *testing.T, in container.Container, s container.ExecSpec) (*command, error) {
	t.Helper()
	e, ok := in.(container.Execer)
	if !ok {
		t.Fatal("nothing can be started in the container")
	}
	if s.Env == nil {
		s.Env = f.base.Env
	}
	if s.Terminal != nil {
		p, err := e.Exec(t.Context(), s)
		if err != nil {
			return nil, err
		}
		c := &command{Process: p, in: p.Terminal(), out: collect(p.Terminal())}
		t.Cleanup(func() { _ = p.Terminal().Close() })
		return c, nil
	}
	inr, inw, _ := os.Pipe()
	outr, outw, _ := os.Pipe()
	errr, errw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin, s.Stdout, s.Stderr = inr, outw, errw
	c := &command{in: inw, out: collect(outr), err: collect(errr)}
	t.Cleanup(func() { _ = inw.Close() })
	c.Process, err = e.Exec(t.Context(), s)
	for _, f := range []*os.File{inr, outw, errw} {
		_ = f.Close()
	}
	return c, err
}

func (c *command) wait(t *testing.T) container.Exit {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the command does not end")
	}
	return c.Exit()
}

// idle is a container that does nothing.
func (f *fixture) idle(t *testing.T) *process {
	t.Helper()
	p := f.run(t, f.sh("echo up; while :; do sleep 1; done"))
	p.out.await(t, "up")
	return p
}

func testExec(t *testing.T, f *fixture) {
	p := f.idle(t)
	dir := "/root"
	if slices.Contains(f.suite.Lacks, Mounts) {
		dir = ""
	}
	run := func(script string, s container.ExecSpec) (*command, container.Exit) {
		s.Args = []string{"sh", "-c", script}
		s.Dir = dir
		c, err := f.exec(t, p.Container, s)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.in.Close()
		return c, c.wait(t)
	}
	c, exit := run(`echo out; echo err >&2; echo "$A $B"; exit 7`, container.ExecSpec{
		Env: append(slices.Clone(f.base.Env), "A=a"), ExtraEnv: func() []string { return []string{"B=b"} },
	})
	if exit.Code != 7 || exit.Signal != 0 || c.out.String() != "out\na b\n" || c.err.String() != "err\n" {
		t.Errorf("%+v, %q, %q", exit, c.out.String(), c.err.String())
	}
	if c, exit = run("kill -9 $$", container.ExecSpec{}); exit.Code != 137 || exit.Signal != syscall.SIGKILL {
		t.Errorf("killed: %+v, %q", exit, c.err.String())
	}
	// What it reads comes to its end, and what the container has is there.
	c, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", "cat > exec.txt; wc -c < exec.txt"}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.WriteString(strings.Repeat("x", 300_000)); err != nil {
		t.Fatal(err)
	}
	_ = c.in.Close()
	if exit := c.wait(t); exit.Code != 0 || strings.TrimSpace(c.out.String()) != "300000" {
		t.Errorf("%+v, %q, %q", exit, c.out.String(), c.err.String())
	}
	if _, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"no-such-program"}}); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is missing: %v", err)
	}
	for _, s := range []container.ExecSpec{{}, {Args: []string{"true"}, Dir: "here"}} {
		if _, err := f.exec(t, p.Container, s); err == nil {
			t.Errorf("%+v was started", s)
		}
	}
	_ = p.Kill()
	p.wait(t)
	if _, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"true"}}); !errors.Is(err, container.ErrEnded) {
		t.Errorf("after the container's end: %v", err)
	}
}

func testExecEndsWithContainer(t *testing.T, f *fixture) {
	p := f.idle(t)
	c, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", "echo up; sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "up")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if exit := c.wait(t); exit.Code != 137 {
		t.Errorf("%+v", exit)
	}
	if err := errors.Join(c.Kill(), c.Signal(syscall.SIGTERM)); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func testExecKill(t *testing.T, f *fixture) {
	p := f.idle(t)
	m := mark()
	c, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", "sleep " + m + " & echo up; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "up")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := c.wait(t); exit.Signal != syscall.SIGKILL {
		t.Errorf("%+v", exit)
	}
	for limit := time.Now().Add(patience); len(find(t, m)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("left: %q", find(t, m))
		}
	}
	select {
	case <-p.Done():
		t.Error("the container ended too")
	default:
	}
}

func testExecTerminal(t *testing.T, f *fixture) {
	p := f.idle(t)
	c, err := f.exec(t, p.Container, container.ExecSpec{
		Args: []string{"sh", "-c", `trap 'echo size now $(stty size)' WINCH; trap 'echo interrupted' INT; tty; stty size; echo ready
			while :; do read -r line || continue; case "$line" in quit) exit 5;; *) echo "got <$line>";; esac; done`},
		Terminal: &container.TerminalSize{Rows: 33, Columns: 111},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "/dev/pts/")
	c.out.await(t, "33 111")
	c.out.await(t, "ready")
	press := func(keys string) {
		t.Helper()
		if _, err := c.in.WriteString(keys); err != nil {
			t.Fatal(err)
		}
	}
	press("hello\n")
	c.out.await(t, "got <hello>")
	if err := container.Resize(c.in, container.TerminalSize{Rows: 12, Columns: 34}); err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "size now 12 34")
	press("\x03")
	c.out.await(t, "interrupted")
	press("quit\n")
	if exit := c.wait(t); exit.Code != 5 {
		t.Errorf("%+v", exit)
	}
	// A terminal that is closed takes its session along.
	m := mark()
	c, err = f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", "echo up; sleep " + m}, Terminal: &container.TerminalSize{Rows: 1, Columns: 1}})
	if err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "up")
	_ = c.in.Close()
	c.wait(t)
	for limit := time.Now().Add(patience); len(find(t, m)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("left: %q", find(t, m))
		}
	}
}

func testExecConfined(t *testing.T, f *fixture) {
	p := f.idle(t)
	status := "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/self/status; readlink /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/uts; cat /proc/self/cgroup; hostname; cat /proc/self/oom_score_adj; ulimit -n; mount /proc /mnt 2>/dev/null && echo mounted; unshare -U true 2>/dev/null && echo unshared; echo over"
	c, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", status}})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.in.Close()
	c.wait(t)
	got := c.out.String()
	// Another container's own first process tells what is to be expected of it,
	// its namespaces apart.
	first, _ := f.finish(t, f.sh(status))
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(first, "\n")
	if len(gotLines) != len(wantLines) {
		t.Fatalf("a command:\n%s\na container:\n%s", got, first)
	}
	for i := range gotLines {
		if strings.Contains(gotLines[i], ":[") || strings.HasPrefix(gotLines[i], "c") { // namespaces, host names
			continue
		}
		if gotLines[i] != wantLines[i] {
			t.Errorf("a command has %q, a container %q", gotLines[i], wantLines[i])
		}
	}
	// Its namespaces are its container's.
	inside, err := f.exec(t, p.Container, container.ExecSpec{Args: []string{"sh", "-c", "for n in user mnt net pid ipc uts; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo other $n; done; echo over"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = inside.in.Close()
	inside.wait(t)
	if got := inside.out.String(); got != "over\n" {
		t.Errorf("namespaces: %q, %q", got, inside.err.String())
	}
}

func testExecMany(t *testing.T, f *fixture) {
	p := f.idle(t)
	results := make(chan string, 8)
	for range cap(results) {
		go func() {
			e := p.Container.(container.Execer)
			null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			defer null.Close()
			c, err := e.Exec(context.Background(), container.ExecSpec{Args: []string{"sh", "-c", "exit 3"}, Env: f.base.Env, Stdin: null, Stdout: null, Stderr: null})
			if err != nil {
				results <- err.Error()
				return
			}
			<-c.Done()
			if c.Exit().Code != 3 {
				results <- "another exit code"
				return
			}
			results <- ""
		}()
	}
	for range cap(results) {
		if why := <-results; why != "" {
			t.Error(why)
		}
	}
}
