package runc

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/containertest"
)

// serveForks is a template's program that goes on, in each container, as the
// command that the container was asked for.
const serveForks = `import sys
sys.path.insert(0, "/__gx/sdk")
import os
from gx._runner import fork
server = fork.Server(int(os.environ["GX_FORK_FD"]))
server.step_down()
instance = server.serve(server.policy())
instance.execute()`

// templateSpec is a template whose containers run their Spec.Args.
func templateSpec(t testing.TB) container.Spec {
	t.Helper()
	spec := hostImage(t)
	packages, err := filepath.Abs("../../../sdk/python")
	require.NoError(t, err)
	spec.ID, spec.Args = "template", []string{"python3", "-S", "-B", "-c", serveForks}
	spec.Mounts = append(spec.Mounts, container.Mount{Source: packages, Target: "/__gx/sdk", ReadOnly: true})
	return spec
}

// forked is a Runtime whose containers are all forked from templates: one for
// each file system and kind of network.
type forked struct {
	*Runtime
	t         *testing.T
	mu        sync.Mutex
	templates map[container.Network]container.Template
}

func (f *forked) Start(ctx context.Context, spec container.Spec) (container.Container, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	base, err := f.template(spec.Network)
	if err != nil {
		return nil, err
	}
	return base.Fork(ctx, spec)
}

func (f *forked) template(network container.Network) (container.Template, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	base, ok := f.templates[network]
	if !ok {
		s := templateSpec(f.t)
		s.ID += string(network)
		s.Stdout, s.Stderr, s.Network = os.Stderr, os.Stderr, network
		var err error
		if base, err = f.Template(f.t.Context(), s); err != nil {
			return nil, err
		}
		f.templates[network] = base
	}
	return base, nil
}

// TestConformanceOfForks holds containers that are forked to what holds for
// those that are started.
func TestConformanceOfForks(t *testing.T) {
	needRoot(t)
	containertest.Run(t, containertest.Suite{
		New: func(t *testing.T) container.Runtime {
			return &forked{Runtime: newRuntime(t), t: t, templates: map[container.Network]container.Template{}}
		},
		Base: func(t *testing.T) container.Spec { return hostImage(t) },
		Left: func(t *testing.T, r container.Runtime) []string { return left(t, r.(*forked).Runtime) },
	})
}

// newTemplate starts a template whose containers run their Spec.Args, with a
// line of Python for it to run before. What both print comes out of the pipe.
func newTemplate(t *testing.T, r *Runtime, line string) (container.Template, container.Spec, *os.File) {
	t.Helper()
	out, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { out.Close(); w.Close() })
	spec := templateSpec(t)
	spec.Args[4] = line + "\n" + serveForks
	spec.Stdout, spec.Stderr = w, w
	base, err := r.Template(t.Context(), spec)
	require.NoError(t, err)
	return base, spec, out
}

// orderOf is a container that is to be forked.
func orderOf(spec container.Spec, id string, args ...string) container.Spec {
	spec.ID, spec.Args = id, args
	return spec
}

// TestTemplateKilled kills a template. Its containers end with it and say so;
// nothing is left, and the Runtime goes on.
func TestTemplateKilled(t *testing.T) {
	r := newRuntime(t)
	base, spec, _ := newTemplate(t, r, "")
	var forks []container.Container
	for i := range 3 {
		c, err := base.Fork(t.Context(), orderOf(spec, fmt.Sprintf("c%d", i), "sleep", "600"))
		require.NoError(t, err)
		forks = append(forks, c)
	}
	require.NoError(t, base.Kill())
	<-base.Done()
	assert.Equal(t, syscall.SIGKILL, base.Exit().Signal)
	for _, c := range forks {
		select {
		case <-c.Done():
		default:
			t.Errorf("the template is done before %s", c.ID())
		}
		assert.Equal(t, 137, c.Exit().Code)
		assert.Contains(t, c.Exit().Reason, "template")
	}
	_, err := base.Fork(t.Context(), orderOf(spec, "late", "true"))
	require.Error(t, err)
	c, err := r.Start(t.Context(), orderOf(spec, "c0", "true"))
	require.NoError(t, err)
	<-c.Done()
	require.NoError(t, r.Close())
	assert.Empty(t, left(t, r))
}

// TestTemplateClosed closes a template that has containers: it ends after the
// last of them.
func TestTemplateClosed(t *testing.T) {
	r := newRuntime(t)
	base, spec, _ := newTemplate(t, r, "")
	one, err := base.Fork(t.Context(), orderOf(spec, "one", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done"))
	require.NoError(t, err)
	two, err := base.Fork(t.Context(), orderOf(spec, "two", "sleep", "600"))
	require.NoError(t, err)
	require.NoError(t, base.Close())
	_, err = base.Fork(t.Context(), orderOf(spec, "three", "true"))
	require.ErrorIs(t, err, errTemplateClosed)
	require.NoError(t, two.Kill())
	<-two.Done()
	select {
	case <-base.Done():
		t.Error("the template ended before its last container")
	case <-time.After(50 * time.Millisecond):
	}
	require.Eventually(t, func() bool { // the shell sets its trap in its own time
		require.NoError(t, one.Signal(syscall.SIGTERM))
		select {
		case <-one.Done():
			return true
		default:
			return false
		}
	}, time.Minute, 20*time.Millisecond)
	assert.Equal(t, 3, one.Exit().Code)
	assert.Empty(t, one.Exit().Reason)
	<-base.Done()
	require.NoError(t, r.Close())
	assert.Empty(t, left(t, r))
}

// TestForksDiffer forks containers of other limits, mounts and networks than
// the template prepared for.
func TestForksDiffer(t *testing.T) {
	r := newRuntime(t)
	base, spec, _ := newTemplate(t, r, "")
	run := func(s container.Spec) string {
		out, w, err := os.Pipe()
		require.NoError(t, err)
		defer out.Close()
		s.Stdout, s.Stderr = w, w
		c, err := base.Fork(t.Context(), s)
		w.Close()
		require.NoError(t, err)
		<-c.Done()
		text, err := io.ReadAll(out)
		require.NoError(t, err)
		return string(text)
	}
	limit := "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; hostname; cat /etc/hostname; ls /sys/class/net | tr '\\n' ' '"
	for i := range 3 {
		s := orderOf(spec, fmt.Sprintf("c%d", i), "sh", "-c", limit)
		s.Memory = int64(64+64*(i/2)) << 20 // the second is as the first
		if i == 2 {
			s.Network = container.NetworkNone
			s.Mounts = append(s.Mounts, container.Mount{Source: t.TempDir(), Target: "/sys/../mnt/x", ReadOnly: true})
		}
		time.Sleep(2 * refillDelay) // one is ready by then, or is not: both are right
		network := "eth0 lo "
		if i == 2 {
			network = "lo "
		}
		assert.Equal(t, fmt.Sprintf("%d\nc%[2]d\nc%[2]d\n%s", s.Memory, i, network), run(s))
	}
	require.NoError(t, base.Kill())
}

// TestTemplatePrivileges lets a template's program try to become more than it
// is, before it serves, and the containers that are forked from it, to use what
// it has.
func TestTemplatePrivileges(t *testing.T) {
	r := newRuntime(t)
	try := `import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
def attempt(what, f, *a):
    try: r = f(*a)
    except OSError as e: return
    if r != -1: print("could", what, r)
m = libc.mount
attempt("remount /proc", m, b"proc", b"/proc", b"proc", REMOUNT, None)
attempt("remount the bind of /proc", m, None, b"/proc", None, REMOUNT | BIND, None)
attempt("mount /proc", m, b"proc", b"/mnt", b"proc", NOSUID | NODEV | NOEXEC, None)
attempt("mount sysfs", m, b"sysfs", b"/mnt", b"sysfs", 0, None)
attempt("mount cgroups", m, b"cgroup2", b"/mnt", b"cgroup2", 0, None)
attempt("mount tmpfs", m, b"tmpfs", b"/mnt", b"tmpfs", 0, None)
attempt("be another user namespace", libc.unshare, 0x10000000)
attempt("be everything", libc.unshare, 0x7e020000)
attempt("fsopen", libc.syscall, 430, b"proc", 0)
attempt("mount_setattr", libc.syscall, 442, -100, b"/proc", 0, ctypes.create_string_buffer(32), 32)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/proc/sys/vm/drop_caches"):
    attempt("write " + path, os.open, path, os.O_WRONLY)
attempt("read memory", os.open, "/proc/kcore", os.O_RDONLY)
attempt("make a device", os.mknod, "/tmp/sda", 0o60660, 0x800)
attempt("signal outside", os.kill, 4000000, 0)
status = dict(l.split(":\t") for l in open("/proc/self/status").read().splitlines())
print("capabilities", status["CapEff"], status["CapBnd"], "no new", status["NoNewPrivs"])
print("processes", sorted(int(p) for p in os.listdir("/proc") if p.isdigit()), flush=True)
`
	base, spec, out := newTemplate(t, r, "exec("+pythonString(try)+")")
	inside := "import os\nprint('open', sorted(os.listdir('/proc/self/fd')))\n" + try + `
attempt("mount as the template", m, b"proc", b"/mnt", b"proc", RDONLY | NOSUID | NODEV | NOEXEC, None)
attempt("bind", m, b"/etc", b"/mnt", None, BIND, None)
attempt("unmount", libc.umount2, b"/proc", 2)
attempt("pivot", libc.syscall, 155, b".", b".")
attempt("move a mount", libc.syscall, 429, -1, b"", -100, b"/mnt", 4)
attempt("name the host", libc.sethostname, b"x", 1)
for kind in (0x20000000, 0x40000000, 0x0e020000): attempt("unshare %x" % kind, libc.unshare, kind)
for kind in ("pid", "net", "mnt", "user", "cgroup"): attempt("enter " + kind, lambda: libc.setns(os.open("/proc/self/ns/" + kind, os.O_RDONLY), 0))
`
	forkedOut, w, err := os.Pipe()
	require.NoError(t, err)
	defer forkedOut.Close()
	s := orderOf(spec, "c", "python3", "-S", "-c", inside)
	s.Stdout, s.Stderr = w, w
	c, err := base.Fork(t.Context(), s)
	w.Close()
	require.NoError(t, err)
	<-c.Done()
	text, err := io.ReadAll(forkedOut)
	require.NoError(t, err)
	assert.Equal(t, "open ['0', '1', '2', '3']\ncapabilities 0000000000000000 0000000000000000 no new 1\nprocesses [1]\n", string(text))

	require.NoError(t, base.Kill())
	<-base.Done()
	spec.Stdout.Close()
	text, err = io.ReadAll(out)
	require.NoError(t, err)
	assert.Equal(t, "capabilities 0000000000200100 0000000000200100 no new 1\nprocesses [1]\n", string(text))
}

// pythonString is a Python string literal.
func pythonString(s string) string {
	return `'''` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "\"", "\\\"") + `'''`
}

// TestForkGivenUp ends the wait for a fork, and for a template.
func TestForkGivenUp(t *testing.T) {
	r := newRuntime(t)
	base, spec, _ := newTemplate(t, r, "")
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
		c, err := base.Fork(ctx, orderOf(spec, fmt.Sprintf("c%d", i), "true"))
		cancel()
		if err == nil {
			<-c.Done()
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	c, err := base.Fork(t.Context(), orderOf(spec, "last", "true"))
	require.NoError(t, err)
	<-c.Done()
	for i := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20*i)*time.Millisecond)
		s := templateSpec(t)
		s.ID, s.Stdout, s.Stderr = fmt.Sprintf("t%d", i), os.Stderr, os.Stderr
		_, err := r.Template(ctx, s)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	require.NoError(t, r.Close())
	assert.Empty(t, left(t, r))
}
