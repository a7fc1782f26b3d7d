package runc

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/containertest"
	"github.com/gx-dev/gx/engine/container/network"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ReaperCommand {
		os.Exit(RunReaper())
	}
	os.Exit(m.Run())
}

// needRoot skips where containers can't be had.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers by runc need root")
	}
	if _, err := findBinary("runc"); err != nil {
		t.Skip(err)
	}
}

func newRuntime(t testing.TB) *Runtime {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	r, err := New(context.Background(), Config{
		Dir: filepath.Join(dir, "disk"), RunDir: filepath.Join(dir, "run"), Binary: "runc",
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// hostImage is a container whose file system has the machine's own programs.
func hostImage(t testing.TB) container.Spec {
	t.Helper()
	lower := t.TempDir()
	for _, dir := range []string{"usr", "etc", "tmp", "root", "mnt"} {
		if err := os.Mkdir(filepath.Join(lower, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	spec := container.Spec{
		Root:   container.Root{Lower: []string{lower}},
		Env:    []string{"PATH=/usr/bin:/bin"},
		Mounts: []container.Mount{{Source: "/usr", Target: "/usr", ReadOnly: true}},
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		path := filepath.Join("/", name)
		if to, err := os.Readlink(path); err == nil {
			if err := os.Symlink(to, filepath.Join(lower, name)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := os.Stat(path); err == nil {
			spec.Mounts = append(spec.Mounts, container.Mount{Source: path, Target: path, ReadOnly: true})
		}
	}
	return spec
}

// left lists what on this machine belongs to a Runtime.
func left(t testing.TB, r *Runtime) []string {
	t.Helper()
	var found []string
	add := func(kind string, what any) { found = append(found, fmt.Sprintf("%s %v", kind, what)) }
	for _, dir := range []string{r.cfg.Dir, r.cfg.RunDir} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && path != dir && path != r.cfg.RunDir {
				add("file", path)
			}
			return nil
		})
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, r.cfg.Dir) || strings.Contains(line, r.cfg.RunDir) {
			add("mount", line)
		}
	}
	for _, dir := range r.cgroups.Mounts() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.Contains(path, r.owner) {
				add("control group", path)
			}
			return nil
		})
	}
	// Both kinds of names carry the digest that the network makes of the
	// owner's name.
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	key := network.Key(r.owner)
	for _, l := range links {
		if strings.Contains(l.Name, key) {
			add("interface", l.Name)
		}
	}
	for _, name := range tables(t) {
		if strings.Contains(name, key) {
			add("firewall table", name)
		}
	}
	return append(found, children(t)...)
}

// children lists the processes that this one started and that still exist,
// zombies included, and those in the namespaces of its reapers.
func children(t testing.TB) []string {
	t.Helper()
	var found []string
	self := fmt.Sprint(os.Getpid())
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
		if f := strings.Fields(rest); len(f) > 1 && f[1] == self {
			found = append(found, "process "+string(text))
		}
	}
	return found
}

func TestConformance(t *testing.T) {
	needRoot(t)
	containertest.Run(t, containertest.Suite{
		New:  func(t *testing.T) container.Runtime { return newRuntime(t) },
		Base: func(t *testing.T) container.Spec { return hostImage(t) },
		Left: func(t *testing.T, r container.Runtime) []string { return left(t, r.(*Runtime)) },
	})
}

// TestConformanceOfCrun runs the suite with crun, where that works.
func TestConformanceOfCrun(t *testing.T) {
	needRoot(t)
	crun, err := findBinary("crun")
	if err != nil {
		t.Skip(err)
	}
	first := newRuntime(t)
	refusal := first.try(t.Context(), crun)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if refusal != nil {
		t.Skip(refusal)
	}
	containertest.Run(t, containertest.Suite{
		New: func(t *testing.T) container.Runtime {
			r := newRuntime(t)
			r.bestBinary = crun
			return r
		},
		Base: func(t *testing.T) container.Spec { return hostImage(t) },
		Left: func(t *testing.T, r container.Runtime) []string { return left(t, r.(*Runtime)) },
	})
}

// TestBestBinary lets a Runtime choose by itself.
func TestBestBinary(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	log := &strings.Builder{}
	r, err := New(t.Context(), Config{Dir: filepath.Join(dir, "disk"), RunDir: filepath.Join(dir, "run"), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.try(t.Context(), r.Binary()); err != nil {
		t.Errorf("%s was chosen and does not work: %v", r.Binary(), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left := left(t, r); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	t.Logf("%s %s", r.Binary(), log)
}

// tables lists the packet filter's tables of gx.
func tables(t testing.TB) []string {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range all {
		if strings.HasPrefix(table.Name, "gx-") {
			names = append(names, table.Name)
		}
	}
	return names
}
