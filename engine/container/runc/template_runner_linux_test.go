package runc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/sdk"
	"github.com/gx-dev/gx/wire"
)

// stage is a host with just enough to run one module's function f.
type stage struct {
	t      testing.TB
	r      *Runtime
	hub    *runner.Hub
	base   container.Spec
	python string
	class  bool // f is one, with a method "f"
	next   atomic.Int64
}

func newStage(t testing.TB, module string) *stage {
	t.Helper()
	s := &stage{t: t, r: newRuntime(t), base: hostImage(t), python: "python3"}
	dir, err := os.MkdirTemp("", "gx-hub") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.hub, err = runner.Listen(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { s.hub.Close() })
	packages, err := filepath.Abs("../../../sdk/python")
	require.NoError(t, err)
	code := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(code, "mod.py"), []byte(module), 0o644))
	s.base.Mounts = append(s.base.Mounts,
		container.Mount{Source: packages, Target: sdk.ContainerDir, ReadOnly: true},
		container.Mount{Source: dir, Target: sdk.ContainerRunDir, ReadOnly: true},
		container.Mount{Source: code, Target: "/root", ReadOnly: true})
	s.base.Dir = "/root"
	s.base.Args = sdk.RunnerArgs(s.python)
	return s
}

// spec is a container with a token, and a pipe on which its output arrives.
func (s *stage) spec(token string, out *os.File) container.Spec {
	spec := s.base
	spec.ID = fmt.Sprintf("c%d", s.next.Add(1))
	spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], "GX_CONTAINER_ID="+spec.ID)
	spec.ExtraEnv = func() []string { return []string{"GX_TOKEN=" + token} }
	spec.Stdout, spec.Stderr = out, out
	return spec
}

// lines collects output.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (s *stage) output() (*os.File, *lines) {
	r, w, err := os.Pipe()
	require.NoError(s.t, err)
	all := &lines{}
	go func() {
		_, _ = io.Copy(all, r)
		r.Close()
	}()
	return w, all
}

// start says what is to be run and waits until the other side is ready.
func (s *stage) start(conn *runner.Conn) error {
	f, err := wire.JSON(wire.Start, 0, 0, wire.StartBody{Name: "f", Module: "mod", Qualname: "f", Class: s.class, Marker: hex.EncodeToString(make([]byte, 8))})
	if err != nil {
		return err
	}
	conn.Queue(f)
	conn.Flush()
	answer, err := conn.Read()
	if err != nil {
		return err
	}
	if answer.Type != wire.Ready {
		return fmt.Errorf("%v: %q", answer.Type, answer.Body)
	}
	return nil
}

// template starts a template.
func (s *stage) template() (container.Template, string, error) {
	token, arrival, forget := s.hub.Expect()
	defer forget()
	w, all := s.output()
	defer w.Close()
	spec := s.spec(token, w)
	spec.Args = sdk.TemplateArgs(s.python)
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		select {
		case conn := <-arrival:
			done <- s.start(conn)
			conn.Close()
		case <-stop:
			done <- errors.New("nobody came")
		}
	}()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	t, err := s.r.Template(ctx, spec)
	close(stop)
	err = errors.Join(err, <-done)
	return t, all.String(), err
}

// instance is a running runner.
type instance struct {
	container.Container
	conn *runner.Conn
	out  *lines
}

// run starts a runner, by Start or by Fork, and waits until it is ready.
func (s *stage) run(make func(context.Context, container.Spec) (container.Container, error)) *instance {
	token, arrival, forget := s.hub.Expect()
	defer forget()
	w, all := s.output()
	defer w.Close()
	c, err := make(s.t.Context(), s.spec(token, w))
	require.NoError(s.t, err)
	select {
	case conn := <-arrival:
		require.NoError(s.t, s.start(conn), "%s", all)
		return &instance{Container: c, conn: conn, out: all}
	case <-c.Done():
		s.t.Fatalf("it ended with %+v: %s", c.Exit(), all)
	}
	return nil
}

// call runs f once and returns its pickled result.
func (s *stage) call(i *instance) string {
	open, err := wire.JSON(wire.Open, 1, 0, wire.OpenBody{Method: map[bool]string{true: "f"}[s.class]})
	require.NoError(s.t, err)
	i.conn.Queue(open)
	// ((), {}) in pickle's protocol 2.
	i.conn.Queue(wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1}, Body: []byte("\x80\x02)}\x86.")})
	i.conn.Flush()
	for {
		f, err := i.conn.Read()
		require.NoError(s.t, err, "%s", i.out)
		if f.Type == wire.Result || f.Type == wire.Error {
			assert.Equal(s.t, wire.Result, f.Type, "%q", f.Body)
			return string(f.Body)
		}
	}
}

// end stops a runner in order.
func (s *stage) end(i *instance) {
	stop, err := wire.JSON(wire.Stop, 0, 0, wire.StopBody{})
	require.NoError(s.t, err)
	i.conn.Queue(stop)
	i.conn.Flush()
	for err == nil {
		_, err = i.conn.Read()
	}
	i.conn.Close() // it belongs to the container's network namespace, and would hold that
	<-i.Done()
	assert.Equal(s.t, 0, i.Exit().Code, "%s", i.out)
}

// TestForkedRunners runs a user's module in containers forked from a template.
func TestForkedRunners(t *testing.T) {
	s := newStage(t, `
import atexit, os, random, sys, tempfile, time, gx
print("imported once")
loaded, pid = time.monotonic(), os.getpid()
atexit.register(lambda: print("at exit", os.environ["GX_CONTAINER_ID"]))
name = tempfile.mktemp()
err = sys.stderr
os.environ["SET_BY_IMPORT"] = "yes"
os.environ["PATH"] += ":/mine"
os.umask(0o077)
os.chdir("/usr")
def f():
    print("hello", file=err)
    return "|".join(map(str, [os.getpid(), pid, os.environ["GX_CONTAINER_ID"], os.environ.get("OMP_NUM_THREADS"),
        loaded, random.random(), tempfile.mktemp(), "GX_TOKEN" in os.environ, gx.is_local(), os.environ.get("SET_BY_IMPORT"), os.environ["PATH"].endswith(":/mine"), os.getcwd(), os.umask(0)])) + "|"
`)
	base, out, err := s.template()
	require.NoError(t, err, out)
	assert.Equal(t, 1, strings.Count(out, "imported once"))
	var results [][]string
	for range 3 {
		i := s.run(base.Fork)
		text := s.call(i)
		_, fields, found := strings.Cut(text, "1|")
		require.True(t, found, text)
		results = append(results, strings.Split("1|"+fields, "|"))
		s.end(i)
		assert.NotContains(t, i.out.String(), "imported")
		assert.Contains(t, i.out.String(), "hello\n")
		assert.Contains(t, i.out.String(), "at exit "+i.ID())
	}
	for k, r := range results {
		assert.Equal(t, "1", r[0], "its pid")
		assert.NotEqual(t, "1", r[1], "the template's pid")
		assert.Equal(t, fmt.Sprintf("c%d", k+2), r[2])
		assert.Equal(t, []string{"None", results[0][4]}, r[3:5], "threads are not limited, and what was loaded is the same")
		assert.Equal(t, []string{"False", "False"}, r[7:9])
		assert.Equal(t, []string{"yes", "True", "/usr", "63"}, r[9:13], "what the import did to the process")
	}
	assert.NotEqual(t, results[0][5], results[1][5], "random numbers")
	assert.NotEqual(t, results[0][6], results[1][6], "names of temporary files")
	require.NoError(t, base.Close())
	<-base.Done()
	w, _ := s.output()
	_, err = base.Fork(t.Context(), s.spec("", w))
	w.Close()
	assert.ErrorContains(t, err, "closed")
	require.NoError(t, s.r.Close())
	assert.Empty(t, left(t, s.r))
}

// TestTemplateThatWrites refuses to fork where containers would miss files.
func TestTemplateThatWrites(t *testing.T) {
	for name, c := range map[string]struct{ code, reason string }{
		"a file":      {`open("/model", "w").write("weights")`, "/model"},
		"a directory": {`import os; os.mkdir("/cache-of-mine")`, "/cache-of-mine"},
		"a change":    {`open("/etc/hosts", "a").write("127.0.0.1 me\n")`, "/etc/hosts"},
		"nothing that lasts": {`
import os, tempfile
with tempfile.TemporaryDirectory() as d: open(d + "/x", "w").close()
os.makedirs("/__pycache__"); open("/__pycache__/m.pyc", "w").close()
`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.code+"\ndef f(): pass\n")
			_, _, err := s.template()
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			var refused *container.RefusedError
			require.ErrorAs(t, err, &refused)
			assert.Contains(t, refused.Reason, c.reason)
		})
	}
}

// TestForkedClass runs hooks of enter(snap=True) once, in the template, and
// those of enter in each container.
func TestForkedClass(t *testing.T) {
	s := newStage(t, `
import os
def role(name):
    def mark(f):
        f._gx_roles = (name,)
        return f
    return mark
class f:
    def __init__(self): self.log = ["made"]
    @role("enter_snap")
    def load(self): self.log.append("snap")
    @role("enter_snap")
    async def load_async(self):
        import asyncio
        await asyncio.sleep(0)
        self.log.append("async")
    @role("enter")
    def begin(self): self.log.append("enter %d" % os.getpid())
    @role("exit")
    def end(self): print("exit", self.log)
    @role("method")
    def f(self): return ",".join(self.log)
`)
	s.class = true
	base, out, err := s.template()
	require.NoError(t, err, out)
	for range 2 {
		i := s.run(base.Fork)
		assert.Contains(t, s.call(i), "made,snap,async,enter 1")
		s.end(i)
		assert.Contains(t, i.out.String(), "exit ['made', 'snap', 'async', 'enter 1']")
	}
}

// useSite lets Python find what GX_BENCH_SITE and GX_BENCH_ENV say, see
// BenchmarkFork.
func (s *stage) useSite() bool {
	site := os.Getenv("GX_BENCH_SITE")
	if site != "" {
		s.base.Mounts = append(s.base.Mounts, container.Mount{Source: site, Target: "/site", ReadOnly: true})
		s.base.Env = append(s.base.Env, strings.Split(os.Getenv("GX_BENCH_ENV"), ",")...)
	}
	return site != ""
}

// TestForkedNumpy uses what numpy has that a fork endangers: the threads of its
// linear algebra, also after the template had used them, and its random numbers.
func TestForkedNumpy(t *testing.T) {
	s := newStage(t, `
import os, numpy
a = numpy.random.rand(1000, 1000)
a @ a
def f():
    b = a @ a
    return "|%s|%d|%s|" % (numpy.random.rand(), len(os.listdir("/proc/self/task")), numpy.allclose(b, a.dot(a)))
`)
	if !s.useSite() {
		t.Skip("GX_BENCH_SITE does not say where numpy is")
	}
	fresh := s.run(s.r.Start)
	want := strings.Split(s.call(fresh), "|")
	s.end(fresh)
	base, out, err := s.template()
	require.NoError(t, err, out)
	var numbers []string
	for range 2 {
		i := s.run(base.Fork)
		got := strings.Split(s.call(i), "|")
		s.end(i)
		assert.Equal(t, want[2:4], got[2:4], "threads and result")
		numbers = append(numbers, got[1])
	}
	assert.NotEqual(t, numbers[0], numbers[1])
}

// TestGuards loads what must not be forked; the reason names it, and the
// module that did it.
func TestGuards(t *testing.T) {
	for name, c := range map[string]struct{ module, want string }{
		"thread": {"import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='poller').start()",
			"a thread is running (poller), since mod was imported"},
		"native thread": {"import _thread, time\n_thread.start_new_thread(time.sleep, (600,))", "a thread is running (python3), since mod was imported"},
		"socket":        {"import socket\ns = socket.socket()", "socket is open, since mod was imported"},
		"file":          {"x = open('/tmp/x', 'w')", "the file /tmp/x is open for writing"},
		"pipe":          {"import os\np = os.pipe()", "a pipe is open"},
		"epoll":         {"import select\ne = select.epoll()", "an eventpoll is open"},
		"event loop":    {"import asyncio\nloop = asyncio.new_event_loop()", "an eventpoll is open"},
		"directory":     {"import os\nd = os.open('/', os.O_RDONLY)", "the directory / is open"},
		"database":      {"import sqlite3\nd = sqlite3.connect('/tmp/db'); d.execute('create table x(y)')", "the file /tmp/db is open for writing"},
		"memory":        {"import mmap\nm = mmap.mmap(-1, 4096)", "memory is shared (/dev/zero (deleted))"},
		"child":         {"import subprocess\np = subprocess.Popen(['sleep', '600'])", "a child process is running (sleep)"},
		"timer":         {"import signal\nsignal.alarm(600)", "a timer is running"},
		"device":        {"import os\np = os.open('/dev/ptmx', os.O_RDWR)", "/dev/pts/ptmx is open"},
		"cuda":          {"import sys, types\nsys.modules['torch'] = torch = types.ModuleType('torch')\ntorch.cuda = types.SimpleNamespace(is_initialized=lambda: True)", "CUDA is initialised"},
		"other process": {"import multiprocessing\nv = multiprocessing.Value('i')", "memory is shared"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.module+"\ndef f(): pass\n")
			_, out, err := s.template()
			var refused *container.RefusedError
			require.ErrorAs(t, err, &refused, out)
			assert.Contains(t, refused.Reason, c.want)
			// What can't be forked can be started.
			if name == "thread" {
				s.end(s.run(s.r.Start))
			}
			require.NoError(t, s.r.Close())
			assert.Empty(t, left(t, s.r))
		})
	}
}

// TestHarmless loads what looks like it must not be forked, and may.
func TestHarmless(t *testing.T) {
	s := newStage(t, `
import asyncio, logging, mmap, os, random, sqlite3, subprocess, threading, uuid
from concurrent.futures import ThreadPoolExecutor
file, null, noise = open(__file__), open(os.devnull, "w"), open("/dev/urandom", "rb")
thread = threading.Thread(target=print)
thread.start(); thread.join()
subprocess.run(["true"])
executor = ThreadPoolExecutor()
private = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
database = sqlite3.connect(":memory:")
logging.basicConfig()
lock = threading.RLock()
asyncio.run(asyncio.sleep(0))
def f():
    with lock:
        return "|%s|" % executor.submit(os.getpid).result()
`)
	base, out, err := s.template()
	require.NoError(t, err, out)
	i := s.run(base.Fork)
	assert.Contains(t, s.call(i), "|1|")
	s.end(i)
	_ = base.Kill()
}

// TestFailingImport says so by an error that is no refusal, and the host is
// told the traceback.
func TestFailingImport(t *testing.T) {
	s := newStage(t, "raise RuntimeError('not today')")
	_, _, err := s.template()
	assert.ErrorContains(t, err, "ended with status 1")
	var refused *container.RefusedError
	assert.False(t, errors.As(err, &refused))
}
