package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/clock"
)

type fixture struct {
	t     *testing.T
	dir   string
	blobs *blob.Store
	trees *Store
	clock *clock.Fake
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), clock: clock.NewFake(time.Unix(1e9, 0))}
	var err error
	if f.blobs, err = blob.Open(filepath.Join(f.dir, "blobs"), f.clock); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	var err error
	if f.trees, err = Open(filepath.Join(f.dir, "trees"), f.blobs, f.clock); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) file(remote, content string, mode uint32) app.File {
	f.t.Helper()
	h := sha256.Sum256([]byte(content))
	sum := hex.EncodeToString(h[:])
	if err := f.blobs.Put(f.t.Context(), sum, strings.NewReader(content)); err != nil {
		f.t.Fatal(err)
	}
	return app.File{Remote: remote, SHA256: sum, Size: int64(len(content)), Mode: mode}
}

func read(t *testing.T, tree Tree, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(tree.Dirs()[0], path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMake(t *testing.T) {
	f := setup(t)
	image := t.TempDir()
	if err := os.Symlink("usr/bin", filepath.Join(image, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(image, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := []app.Mount{
		{Files: []app.File{f.file("/root/app.py", "old", 0o600), f.file("/bin/tool", "#!", 0o700)}},
		{Files: []app.File{f.file("/root/app.py", "new", 0o644), f.file("/root/pkg/__init__.py", "", 0o644)}},
	}
	tree, err := f.trees.Make(t.Context(), mounts, []string{image}, false)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, tree, "root/app.py") != "new" || read(t, tree, "root/pkg/__init__.py") != "" {
		t.Error("wrong contents")
	}
	if _, err := os.Lstat(filepath.Join(tree.Dirs()[0], "bin")); err == nil {
		t.Error("the image's link /bin is hidden by a directory")
	}
	info, err := os.Stat(filepath.Join(tree.Dirs()[0], "usr/bin/tool"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}

	same, err := f.trees.Make(t.Context(), mounts, []string{image}, false)
	if err != nil || same.Dirs()[0] != tree.Dirs()[0] {
		t.Errorf("the same files made another tree: %v", err)
	}
	copied, err := f.trees.Make(t.Context(), mounts, []string{image}, true)
	if err != nil || copied.Dirs()[0] == tree.Dirs()[0] {
		t.Errorf("copies and links must not share a tree: %v", err)
	}
	if err := os.WriteFile(filepath.Join(copied.Dirs()[0], "root/app.py"), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, tree, "root/app.py") != "new" {
		t.Error("writing to a copied tree changed the store")
	}
}

func TestMakeAtOnce(t *testing.T) {
	f := setup(t)
	mounts := []app.Mount{{Files: []app.File{f.file("/root/a", "a", 0o644), f.file("/root/b", "b", 0o644)}}}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			tree, err := f.trees.Make(t.Context(), mounts, nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			if read(t, tree, "root/b") != "b" {
				t.Error("an unfinished tree was seen")
			}
			tree.Release()
			tree.Release()
		})
	}
	wg.Wait()
	if n := f.trees.layers; len(n) != 1 {
		t.Errorf("%d trees", len(n))
	}
}

func TestCollect(t *testing.T) {
	f := setup(t)
	mounts := []app.Mount{{Files: []app.File{f.file("/root/a", "a", 0o644)}}}
	tree, err := f.trees.Make(t.Context(), mounts, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(time.Hour)
	if err := f.trees.Collect(time.Minute); err != nil {
		t.Fatal(err)
	}
	read(t, tree, "root/a")
	tree.Release()
	if err := os.Mkdir(filepath.Join(f.dir, "trees", "making-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	read(t, tree, "root/a") // a finished tree survives
	f.clock.Advance(time.Hour)
	if err := f.trees.Collect(time.Minute); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(f.dir, "trees"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	again, err := f.trees.Make(t.Context(), mounts, nil, false)
	if err != nil || read(t, again, "root/a") != "a" {
		t.Error("a collected tree must come back")
	}
}

func TestMakeRefuses(t *testing.T) {
	f := setup(t)
	good := f.file("/root/a", "a", 0o644)
	for _, path := range []string{"", "/", "a", "/root/../etc/passwd", "/root//a", "/root/", "/proc/x", "/__gx/sdk/gx.py", "/dev", "/a\x00b", "/" + strings.Repeat("a/", 1000) + "b"} {
		bad := good
		bad.Remote = path
		if _, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{bad}}}, nil, false); !errors.Is(err, ErrPath) {
			t.Errorf("%.30q: %v", path, err)
		}
	}
	below := good
	below.Remote = "/root/a/b"
	if _, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{good, below}}}, nil, false); !errors.Is(err, ErrPath) {
		t.Errorf("a file as directory: %v", err)
	}
	missing := good
	missing.SHA256 = strings.Repeat("0", 64)
	if _, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{missing}}}, nil, false); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a missing content: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(f.dir, "trees"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	image := t.TempDir()
	if err := os.Symlink("/proc", filepath.Join(image, "way")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(image, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/way/x", "/loop/x"} {
		bad := good
		bad.Remote = path
		if _, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{bad}}}, []string{image}, false); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
