package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
)

// many are the files of a mount that is large.
func (f *fixture) many(below string, n int) app.Mount {
	one := f.file("", "the same in all", 0o644)
	var m app.Mount
	for i := range n {
		one.Remote = fmt.Sprintf("%s/%d/%d", below, i%7, i)
		m.Files = append(m.Files, one)
	}
	return m
}

func TestALargeMountIsALayerOfItsOwn(t *testing.T) {
	f := setup(t)
	code := func(text string) app.Mount {
		return app.Mount{Files: []app.File{f.file("/root/app.py", text, 0o644)}}
	}
	make := func(mounts ...app.Mount) Tree {
		tree, err := f.trees.Make(t.Context(), mounts, nil, false)
		require.NoError(t, err)
		return tree
	}
	data := f.many("/data", large)
	first := make(code("1"), data)
	second := make(code("2"), data)
	require.Len(t, first.Dirs(), 2)
	require.Equal(t, first.Dirs()[0], second.Dirs()[0], "the data are not linked again")
	require.NotEqual(t, first.Dirs()[1], second.Dirs()[1])
	require.Len(t, first.Files(), large+1)

	// Later mounts win, whichever layer they are in.
	over := app.Mount{Files: []app.File{f.file("/data/0/0", "mine", 0o644)}}
	third := make(code("1"), data, over)
	require.Len(t, third.Dirs(), 3)
	require.Equal(t, "mine", read(t, third, "data/0/0"))
	require.Equal(t, over.Files[0], third.Files()["/data/0/0"])
	require.Equal(t, first.Dirs()[0], third.Dirs()[1], "what hides a file changes no layer")

	// Not more layers than a file system can be stacked of.
	var mounts []app.Mount
	for i := range 2 * maxLayers {
		mounts = append(mounts, f.many(fmt.Sprint("/m", i), large))
	}
	require.Len(t, make(mounts...).Dirs(), maxLayers)
	require.Len(t, make(code("1"), code("2")).Dirs(), 1)
	require.Equal(t, "2", read(t, make(code("1"), code("2")), "root/app.py"))

	// Who has taken a tree over keeps its layers.
	kept := first.Retain()
	for _, tree := range []Tree{first, second, third} {
		tree.Release()
	}
	f.clock.Advance(1)
	require.NoError(t, f.trees.Collect(1))
	require.FileExists(t, filepath.Join(kept.Dirs()[0], "data/0/0"))
	require.FileExists(t, filepath.Join(kept.Dirs()[1], "root/app.py"))
	require.NoDirExists(t, third.Dirs()[0])
}

func TestDirectoriesKeepTheImagesModes(t *testing.T) {
	f := setup(t)
	image := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(image, "tmp"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(image, "tmp"), 0o777|fs.ModeSticky))
	require.NoError(t, os.MkdirAll(filepath.Join(image, "usr/private"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(image, "usr/private"), 0o700))
	require.NoError(t, os.Symlink("usr/private/../private", filepath.Join(image, "way")))
	mounts := []app.Mount{{Files: []app.File{f.file("/tmp/x/file", "", 0o644), f.file("/way/file", "", 0o644), {Remote: "/way/empty", Dir: true}}}}
	tree, err := f.trees.Make(t.Context(), mounts, []string{image}, false)
	require.NoError(t, err)
	for path, mode := range map[string]fs.FileMode{
		"":                  fs.ModeDir | 0o755,
		"tmp":               fs.ModeDir | fs.ModeSticky | 0o777,
		"tmp/x":             fs.ModeDir | 0o755,
		"usr":               fs.ModeDir | 0o755,
		"usr/private":       fs.ModeDir | 0o700,
		"usr/private/empty": fs.ModeDir | 0o755,
		"usr/private/file":  0o644,
	} {
		info, err := os.Lstat(filepath.Join(tree.Dirs()[0], path))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), path)
	}
	require.NoFileExists(t, filepath.Join(tree.Dirs()[0], "way"))
	plain, err := f.trees.Make(t.Context(), mounts, nil, false)
	require.NoError(t, err)
	require.NotEqual(t, tree.Dirs(), plain.Dirs(), "over another image it is another layer")
}

func TestEmptyDirectories(t *testing.T) {
	f := setup(t)
	dir := func(remote string) app.File { return app.File{Remote: remote, Dir: true} }
	tree, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{dir("/data/out"), dir("/data"), f.file("/data/in/x", "", 0o644)}}}, nil, false)
	require.NoError(t, err)
	require.DirExists(t, filepath.Join(tree.Dirs()[0], "data/out"))
	require.Len(t, tree.Files(), 1)

	file := f.file("/data/out", "", 0o644)
	for _, files := range [][]app.File{{dir("/data/out"), file}, {dir("/data/out/deep"), file}, {f.file("/data/out/x", "", 0o644), file}} {
		for range 2 {
			_, err = f.trees.Make(t.Context(), []app.Mount{{Files: files}}, nil, false)
			require.ErrorIs(t, err, ErrPath)
			_, err = f.trees.Make(t.Context(), []app.Mount{{Files: files[:1]}, {Files: files[1:]}}, nil, false)
			require.ErrorIs(t, err, ErrPath, "nor in two mounts")
			slices.Reverse(files)
		}
	}
	_, err = f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{dir("/proc/x")}}}, nil, false)
	require.ErrorIs(t, err, ErrPath)
}

func TestNamesThatAreHardToWrite(t *testing.T) {
	f := setup(t)
	for _, name := range []string{"a\nb", "with space", "ünïcödé", "-rf", strings.Repeat("x", 255), `back\slash`, "*?[", "\U0001f984"} {
		tree, err := f.trees.Make(t.Context(), []app.Mount{{Files: []app.File{f.file("/data/"+name, name, 0o644)}}}, nil, false)
		require.NoError(t, err)
		require.Equal(t, name, read(t, tree, "data/"+name))
	}
}

func FuzzPlan(f *testing.F) {
	image := f.TempDir()
	for from, to := range map[string]string{"bin": "usr/bin", "up": "../../..", "loop": "loop", "abs": "/usr", "self": "."} {
		if err := os.Symlink(to, filepath.Join(image, from)); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(image, "usr/bin"), 0o755); err != nil {
		f.Fatal(err)
	}
	for _, p := range []string{"/root/a", "/bin/x", "/up/etc/passwd", "/loop/x", "/abs/bin/../x", "/self/self/up/x", "relative"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		contents, err := plan([]app.Mount{{Files: []app.File{{Remote: remote}, {Remote: remote + "/dir", Dir: true}}}, {Files: []app.File{{Remote: remote}}}}, []string{image})
		if err != nil {
			return
		}
		for _, c := range contents {
			for p := range c.files {
				if CheckPath(p) != nil {
					t.Errorf("%q became %q", remote, p)
				}
			}
		}
	})
}
