package containertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
)

// layers makes directories with files: "path=content", or "path/" for a
// directory.
func layer(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name, text, isFile := strings.Cut(f, "=")
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if isFile {
			err = os.WriteFile(path, []byte(text), 0o644)
		} else {
			err = os.MkdirAll(path, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// writable is an overlay that takes what is written.
func writable(t *testing.T, lower ...string) *container.Overlay {
	t.Helper()
	dir := layer(t, "upper/", "work/")
	return &container.Overlay{Lower: lower, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
}

func testOverlays(t *testing.T, f *fixture) {
	if _, able := f.runtime.(container.Overlayer); !able {
		t.Fatal("the runtime does not say that it mounts overlays")
	}
	top, bottom := layer(t, "a=top", "dir/b=top"), layer(t, "a=bottom", "dir/b=bottom", "dir/c=bottom", "sub/deep/s=sub", "gone=gone", "etc/")
	if err := os.Symlink("/etc", filepath.Join(bottom, "outside")); err != nil {
		t.Fatal(err)
	}
	rw, part := writable(t, top, bottom), writable(t, bottom)
	part.SubPath = "sub/deep"
	fresh := writable(t, bottom)
	fresh.SubPath = "made/by/it"
	trapped := writable(t, bottom)
	trapped.SubPath = "outside/new"
	s := f.sh(`cd /rw && cat a dir/b dir/c && mv dir renamed && rm gone && echo new >renamed/n && ls /rw/renamed &&
cat /part/s && echo p >/part/p && echo f >/fresh/f && echo t >/trapped/t && cat /ro/a && ! echo x 2>/dev/null >/ro/x`)
	s.Mounts = append(s.Mounts,
		container.Mount{Target: "/rw", Overlay: rw}, container.Mount{Target: "/part", Overlay: part}, container.Mount{Target: "/fresh", Overlay: fresh},
		container.Mount{Target: "/trapped", Overlay: trapped},
		container.Mount{Target: "/ro", Overlay: &container.Overlay{Lower: []string{top, bottom}}, ReadOnly: true})
	if out, exit := f.finish(t, s); out != "toptopbottomb\nc\nn\nsubtop" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	for path, want := range map[string]string{
		filepath.Join(rw.Upper, "renamed/n"): "new\n", filepath.Join(part.Upper, "sub/deep/p"): "p\n",
		filepath.Join(fresh.Upper, "made/by/it/f"): "f\n", filepath.Join(trapped.Upper, "etc/new/t"): "t\n",
		filepath.Join(top, "a"): "top", filepath.Join(bottom, "gone"): "gone",
	} {
		if text, err := os.ReadFile(path); string(text) != want {
			t.Errorf("%s is %q (%v), not %q", path, text, err, want)
		}
	}
	for name, o := range map[string]*container.Overlay{
		"one layer":       {Lower: []string{top}},
		"a missing layer": {Lower: []string{top, "/nonexistent/layer"}},
		"a relative one":  {Lower: []string{top, "layer"}},
		"no such folder":  {Lower: []string{top, bottom}, SubPath: "nope"},
		"a file":          {Lower: []string{top, bottom}, SubPath: "a"},
	} {
		s := f.sh("true")
		s.Mounts = append(s.Mounts, container.Mount{Target: "/v", Overlay: o, ReadOnly: true})
		if p, err := f.start(t, t.Context(), s); err == nil {
			t.Errorf("a container with %s was started", name)
			p.wait(t)
		}
	}
}

// talker is a container that does what it is told.
type talker struct {
	*process
	t  *testing.T
	to *os.File
	n  int
}

// tell has the container run Python code, and waits for it.
func (k *talker) tell(code string) {
	k.t.Helper()
	k.n++
	if _, err := fmt.Fprintf(k.to, "%s; print('done %d', flush=True)\n", code, k.n); err != nil {
		k.t.Fatal(err)
	}
	k.out.await(k.t, fmt.Sprintf("done %d\n", k.n))
}

func (f *fixture) talk(t *testing.T, mounts ...container.Mount) *talker {
	t.Helper()
	control := t.TempDir()
	fifo := filepath.Join(control, "in")
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	s := f.python(`
import os, threading
names = {"os": os}
def count():
    global seen
    while True:
        os.listdir("/v")
threading.Thread(target=count, daemon=True).start()
for line in open("/ctl/in"):
    exec(line, names)
`)
	s.Mounts = append(append(s.Mounts, container.Mount{Source: control, Target: "/ctl"}), mounts...)
	k := &talker{process: f.run(t, s), t: t}
	var err error
	if k.to, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	return k
}

func testRemount(t *testing.T, f *fixture) {
	first, second := layer(t, "file=first", "dir/x=x"), layer(t, "file=second")
	rw := writable(t, first)
	k := f.talk(t, container.Mount{Target: "/v", Overlay: rw}, container.Mount{Target: "/other", Overlay: writable(t, first)})
	defer k.to.Close()
	remounter, able := k.Container.(container.Remounter)
	if !able {
		t.Fatal("the container's overlays cannot be exchanged")
	}
	k.tell(`assert open("/v/file").read() == "first"; open("/v/mine", "w").write("mine")`)
	next := writable(t, second, first)
	remount := func() error {
		return remounter.Remount(t.Context(), "/v", func() (container.Mount, error) {
			if text, err := os.ReadFile(filepath.Join(rw.Upper, "mine")); string(text) != "mine" {
				return container.Mount{}, fmt.Errorf("what was written is %q: %w", text, err)
			}
			return container.Mount{Target: "/v", Overlay: next}, nil
		})
	}

	for name, open := range map[string]struct{ code, want, end string }{
		"file":      {`f = open("/v/file")`, "/v/file", `f.close()`},
		"directory": {`os.chdir("/v/dir")`, "/v/dir", `os.chdir("/")`},
		"mapping":   {`import mmap; m = open("/v/dir/x"); p = mmap.mmap(m.fileno(), 0, prot=mmap.PROT_READ); m.close()`, "/v/dir/x", `p.close()`},
	} {
		k.tell(open.code)
		busy, isBusy := errors.AsType[*container.BusyError](remount())
		if !isBusy || !slices.ContainsFunc(busy.Names, func(n string) bool { return strings.HasPrefix(n, open.want) }) {
			t.Errorf("with an open %s: %v", name, busy)
		}
		k.tell(open.end)
	}
	// What the directory is listed by at this moment counts as use; it is over soon.
	k.remount(remount)
	k.tell(`assert open("/v/file").read() == "second"; assert not os.path.exists("/v/mine"); assert open("/v/dir/x").read() == "x"`)
	k.tell(`open("/v/dir/y", "w").write("y"); os.rename("/v/dir", "/v/moved")`)
	if text, err := os.ReadFile(filepath.Join(next.Upper, "moved/y")); string(text) != "y" {
		t.Errorf("what was written after the exchange is %q: %v", text, err)
	}

	// One that fails leaves what was.
	next.Lower = []string{"/nonexistent/layer"}
	failed := func() error {
		return remounter.Remount(t.Context(), "/v", func() (container.Mount, error) { return container.Mount{Target: "/v", Overlay: next}, nil })
	}
	for {
		err := failed()
		if _, isBusy := errors.AsType[*container.BusyError](err); isBusy {
			continue
		}
		if err == nil {
			t.Error("an overlay without layers was mounted")
		}
		break
	}
	k.tell(`assert open("/v/moved/y").read() == "y"`)

	ro := &container.Overlay{Lower: []string{second, first}}
	k.remount(func() error {
		return remounter.Remount(t.Context(), "/v", func() (container.Mount, error) {
			return container.Mount{Target: "/v", Overlay: ro, ReadOnly: true}, nil
		})
	})
	k.tell(`assert open("/v/file").read() == "second"; assert not os.access("/v", os.W_OK); assert open("/other/file").read() == "first"`)
	k.to.Close()
	if exit := k.wait(t); exit.Code != 0 {
		t.Errorf("%+v %s", exit, k.err.String())
	}
	if err := failed(); err == nil {
		t.Error("an overlay of a container that has ended was exchanged")
	}
}

// remount tries until nobody happens to be looking.
func (k *talker) remount(try func() error) {
	k.t.Helper()
	for {
		err := try()
		if err == nil {
			return
		}
		if _, isBusy := errors.AsType[*container.BusyError](err); !isBusy {
			k.t.Fatal(err)
		}
	}
}
