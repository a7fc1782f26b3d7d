package venv

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// wheel writes a wheel of one module into dir: pip installs it without any index.
func wheel(t *testing.T, dir, name, version, source string) {
	t.Helper()
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	info := fmt.Sprintf("%s-%s.dist-info/", name, version)
	for _, f := range []struct{ name, text string }{
		{name + ".py", source},
		{info + "METADATA", fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", ""},
	} {
		w, err := z.Create(f.name)
		require.NoError(t, err)
		_, err = io.WriteString(w, f.text)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-py3-none-any.whl", name, version)), file.Bytes(), 0o644))
}

func newEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := New(Options{Dir: filepath.Join(t.TempDir(), "store")})
	require.NoError(t, err)
	if _, err := e.pythons.find(t.Context()); err != nil {
		t.Skip("needs a Python: ", err)
	}
	return e
}

// offline makes a pip step that takes packages from dir only.
func offline(dir string, packages ...string) app.Step {
	return app.Step{Op: app.OpPip, Packages: packages, Options: []string{"--no-index", "--find-links", dir}}
}

func request(steps ...app.Step) build.Request {
	return build.Request{Recipe: app.Image{Steps: append([]app.Step{{Op: app.OpDebianSlim}}, steps...), Force: -1}}
}

// collect returns a function that records events, and checks their order.
func collect(events *[]build.Event) func(build.Event) {
	return func(e build.Event) { *events = append(*events, e) }
}

func kinds(events []build.Event) string {
	var list []string
	for _, e := range events {
		if e.Kind != build.EventLog {
			list = append(list, fmt.Sprintf("%s%d", e.Kind, e.Step))
		}
	}
	return strings.Join(list, " ")
}

func python(t *testing.T, image build.Image, code string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), image.Config().Python, "-c", code).CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

func TestBuild(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	wheels := t.TempDir()
	wheel(t, wheels, "gxone", "1.2", "answer = 42\n")
	wheel(t, wheels, "gxtwo", "2.0", "answer = 43\n")
	content := []byte("hello\n")
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	steps := []app.Step{
		offline(wheels, "gxone==1.2"),
		{Op: app.OpPip, Requirements: "gxtwo>=1\n", Options: []string{"--no-index", "--find-links", wheels}},
		{Op: app.OpCopy, Files: []app.File{{Remote: "/data/in/hello.txt", SHA256: name, Size: 6, Mode: 0o640}}},
		{Op: app.OpEnv, Env: map[string]string{"GREETING": "hi", "B": "2"}},
		{Op: app.OpWorkdir, Path: "/srv"},
		{Op: app.OpRun, Commands: []string{"touch /tmp/must-not-run"}},
	}
	req := request(steps...)
	req.Open = func(sha string) (io.ReadCloser, error) {
		assert.Equal(t, name, sha)
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	var events []build.Event
	image, err := e.Build(t.Context(), req, collect(&events))
	require.NoError(t, err)
	defer image.Release()

	assert.Equal(t, "step0 step1 step2 step3 step4 step5 step6 start0 done0 start1 done1 start2 done2 start3 done3 start4 done4 start5 done5 start6 done6", kinds(events))
	assert.Equal(t, "pip_install gxone==1.2 --no-index --find-links "+wheels, events[1].Name)
	assert.Equal(t, 7, events[0].Total)
	assert.Regexp(t, `^im-[0-9a-f]{16}$`, image.ID())
	assert.Equal(t, "42 43", python(t, image, "import gxone, gxtwo; print(gxone.answer, gxtwo.answer)"))
	assert.Contains(t, image.Config().Env, "GREETING=hi")
	assert.Equal(t, "/srv", image.Config().Workdir)
	assert.Equal(t, filepath.Join(image.Root().Venv, "bin", "python"), image.Config().Python)
	assert.Empty(t, image.Root().Lower)
	assert.Equal(t, image.Config().Version, python(t, image, "import sys; print('%d.%d' % sys.version_info[:2])"))

	copied := filepath.Join(filepath.Dir(image.Root().Venv), "files", "data", "in", "hello.txt")
	got, err := os.ReadFile(copied)
	require.NoError(t, err)
	assert.Equal(t, content, got)
	notes := strings.Join(image.Unhonoured(), "\n")
	assert.Contains(t, notes, "debian_slim: there are no base images without containers")
	assert.Contains(t, notes, "run_commands touch /tmp/must-not-run: it would run on this machine itself")
	assert.Contains(t, notes, "the files are below "+filepath.Dir(filepath.Dir(filepath.Dir(copied))))
	assert.NoFileExists(t, "/tmp/must-not-run")

	t.Run("cached", func(t *testing.T) {
		events = nil
		again, err := e.Build(t.Context(), req, collect(&events))
		require.NoError(t, err)
		defer again.Release()
		assert.Equal(t, image.ID(), again.ID())
		assert.Equal(t, image.Root(), again.Root())
		assert.NotContains(t, kinds(events), "start")
		for _, ev := range events {
			assert.True(t, ev.Kind != build.EventDone || ev.Cached)
		}
	})
	t.Run("another environment variable shares the venv", func(t *testing.T) {
		changed := req
		changed.Recipe.Steps = append(append([]app.Step(nil), req.Recipe.Steps...), app.Step{Op: app.OpEnv, Env: map[string]string{"MORE": "1"}})
		again, err := e.Build(t.Context(), changed, nil)
		require.NoError(t, err)
		defer again.Release()
		assert.NotEqual(t, image.ID(), again.ID())
		assert.Equal(t, image.Root(), again.Root())
		assert.Contains(t, again.Config().Env, "MORE=1")
	})
	t.Run("after a restart", func(t *testing.T) {
		other, err := New(Options{Dir: e.store.dir})
		require.NoError(t, err)
		again, err := other.Build(t.Context(), req, nil)
		require.NoError(t, err)
		assert.Equal(t, image.Root(), again.Root())
	})
	t.Run("force makes a new one and leaves the old one to its users", func(t *testing.T) {
		forced := req
		forced.Recipe.Force = 1
		again, err := e.Build(t.Context(), forced, nil)
		require.NoError(t, err)
		defer again.Release()
		assert.NotEqual(t, image.Root(), again.Root())
		assert.Equal(t, "42", python(t, image, "import gxone; print(gxone.answer)"))
		assert.Equal(t, "42", python(t, again, "import gxone; print(gxone.answer)"))
	})
}

func TestPlainImageIsQuick(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	image, err := e.Build(t.Context(), request(), nil)
	require.NoError(t, err)
	defer image.Release()
	assert.Equal(t, "True", python(t, image, "import sys; print(sys.prefix != sys.base_prefix)"))
}

func TestFailingPackage(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	step := offline(t.TempDir(), "no-such-package-of-gx==9")
	step.File, step.Line = "app.py", 7
	var events []build.Event
	_, err := e.Build(t.Context(), request(step), collect(&events))
	var failed *build.StepError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, 1, failed.Index)
	assert.Equal(t, 1, failed.Code)
	assert.Equal(t, 7, failed.Step.Line)
	assert.Contains(t, failed.Error(), "No matching distribution found for no-such-package-of-gx==9")
	assert.Contains(t, failed.Log, "no-such-package-of-gx")
	assert.True(t, strings.HasSuffix(kinds(events), "start1 failed1"), kinds(events))
	left, err := os.ReadDir(e.store.dir)
	require.NoError(t, err)
	assert.Empty(t, left, "a failed build leaves nothing")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	// An sdist whose setup never ends: pip waits for a child of its own.
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "setup.py"), []byte("import time, os\nopen('starting', 'w').write(str(os.getpid()))\nos.rename('starting', 'started')\ntime.sleep(600)\n"), 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	step := app.Step{Op: app.OpPip, Packages: []string{dir}, Options: []string{"--no-index", "--no-build-isolation"}}
	start := time.Now()
	_, err := e.Build(ctx, request(step), nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(start), time.Minute)
	pid, err := os.ReadFile(filepath.Join(dir, "started"))
	require.NoError(t, err)
	assert.Eventually(t, func() bool {
		state, err := os.ReadFile("/proc/" + string(pid) + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	}, time.Minute, 10*time.Millisecond, "pip's child is dead too")
	left, err := os.ReadDir(e.store.dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestKilledBuildIsCleared(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	image, err := e.Build(t.Context(), request(), nil)
	require.NoError(t, err)
	image.Release()
	half := filepath.Join(e.store.dir, "0123-half")
	require.NoError(t, os.MkdirAll(filepath.Join(half, "venv", "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(e.store.dir, "stray"), nil, 0o644))
	again, err := New(Options{Dir: e.store.dir})
	require.NoError(t, err)
	assert.NoDirExists(t, half)
	assert.NoFileExists(t, filepath.Join(e.store.dir, "stray"))
	assert.Len(t, again.store.all, 1)
}

func TestConcurrentBuildsDoTheWorkOnce(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	var wait sync.WaitGroup
	roots := make([]string, 8)
	for i := range roots {
		wait.Go(func() {
			image, err := e.Build(t.Context(), request(), nil)
			if assert.NoError(t, err) {
				roots[i] = image.Root().Venv
				image.Release()
				image.Release() // more than once does no harm
			}
		})
	}
	wait.Wait()
	for _, root := range roots {
		assert.Equal(t, roots[0], root)
	}
	usage, err := e.Usage(t.Context())
	require.NoError(t, err)
	assert.Len(t, usage.Images, 1)
	assert.Zero(t, usage.InUse)
	assert.Empty(t, e.store.claims)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	make := func(value string) build.Image {
		content := strings.Repeat(value, 1000)
		sum := sha256.Sum256([]byte(content))
		req := request(app.Step{Op: app.OpCopy, Files: []app.File{{Remote: "/f", SHA256: hex.EncodeToString(sum[:]), Mode: 0o644}}})
		req.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		image, err := e.Build(t.Context(), req, nil)
		require.NoError(t, err)
		return image
	}
	pinned, old, young := make("a"), make("b"), make("c")
	old.Release()
	young.Release()
	usage, err := e.Usage(t.Context())
	require.NoError(t, err)
	require.Len(t, usage.Images, 3)
	assert.InEpsilon(t, usage.Bytes/3, usage.InUse, 0.01)

	usage, err = e.Prune(t.Context(), usage.Bytes-1, false)
	require.NoError(t, err)
	assert.Len(t, usage.Images, 2)
	assert.Positive(t, usage.Freed)
	assert.NoDirExists(t, old.Root().Venv)
	assert.DirExists(t, young.Root().Venv)

	second := pinned.Retain()
	pinned.Release()
	usage, err = e.Prune(t.Context(), 1<<40, true)
	require.NoError(t, err)
	require.Len(t, usage.Images, 1)
	assert.Equal(t, second.ID(), usage.Images[0].ID)
	second.Release()
	usage, err = e.Prune(t.Context(), 0, false)
	require.NoError(t, err)
	assert.Empty(t, usage.Images)
	left, err := os.ReadDir(e.store.dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestCorruptCopy(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	req := request(app.Step{Op: app.OpCopy, Files: []app.File{{Remote: "/f", SHA256: strings.Repeat("0", 64), Mode: 0o644}}})
	req.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
	_, err := e.Build(t.Context(), req, nil)
	require.ErrorContains(t, err, "corrupt")
}

func TestVersionMismatchIsSaid(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	req := request()
	req.Recipe.Steps[0].Python = "3.99"
	image, err := e.Build(t.Context(), req, nil)
	require.NoError(t, err)
	defer image.Release()
	require.Len(t, image.Unhonoured(), 1)
	assert.Contains(t, image.Unhonoured()[0], "this machine has no Python 3.99; its 3.")
}

func TestNoPython(t *testing.T) {
	t.Parallel()
	e, err := New(Options{Dir: t.TempDir(), Environ: []string{"PATH=" + t.TempDir()}})
	require.NoError(t, err)
	_, err = e.Build(t.Context(), request(), nil)
	require.ErrorContains(t, err, "this machine has no Python 3.9 or newer")
}

func TestRefusedRecipes(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	file := func(remote string) app.Step {
		return app.Step{Op: app.OpCopy, Files: []app.File{{Remote: remote, SHA256: strings.Repeat("0", 64)}}}
	}
	for name, steps := range map[string][]app.Step{
		"no steps":          {},
		"second base":       {{Op: app.OpDebianSlim}, {Op: app.OpRegistry, Tag: "x"}},
		"unknown step":      {{Op: app.OpDebianSlim}, {Op: "teleport"}},
		"relative path":     {{Op: app.OpDebianSlim}, file("a/b")},
		"path that escapes": {{Op: app.OpDebianSlim}, file("/../../etc/passwd")},
		"the root itself":   {{Op: app.OpDebianSlim}, file("/")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.Build(t.Context(), build.Request{Recipe: app.Image{Steps: steps, Force: -1}}, nil)
			require.Error(t, err)
		})
	}
}

func TestAptNote(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip("needs dpkg-query")
	}
	note := aptNote(t.Context(), app.Step{Packages: []string{"dpkg", "no-such-package-of-gx", "--evil"}}, os.Environ())
	assert.Contains(t, note, "lacks no-such-package-of-gx, \"--evil\"")
	assert.Empty(t, aptNote(t.Context(), app.Step{Packages: []string{"dpkg"}}, os.Environ()))
}

func TestCommand(t *testing.T) {
	t.Parallel()
	var lines []string
	tail, err := command(t.Context(), os.Environ(), t.TempDir(), nil, func(s string) { lines = append(lines, s) },
		"sh", "-c", "printf 'one\\ntwo'; printf '\\377' >&2; exit 3")
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit))
	assert.Equal(t, 3, exit.ExitCode())
	assert.Equal(t, "one\ntwo\uFFFD\n", strings.Join(lines, ""))
	assert.Equal(t, "one\ntwo\uFFFD\n", tail)

	tail, err = command(t.Context(), os.Environ(), t.TempDir(), nil, func(string) {}, "sh", "-c", "yes 0123456789 | head -c 200000; sleep 30 &")
	assert.NoError(t, err, "a process left behind holds nothing up")
	assert.Len(t, tail, logTail)
}

// TestIndex installs from the package index that this machine's pip is set up for.
func TestIndex(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a package index")
	}
	e := newEngine(t)
	image, err := e.Build(t.Context(), request(app.Step{Op: app.OpPip, Packages: []string{"iniconfig==2.0.0"}}), nil)
	var failed *build.StepError
	if errors.As(err, &failed) && (strings.Contains(failed.Log, "NewConnectionError") || strings.Contains(failed.Log, "from versions: none")) {
		t.Skip("no package index can be reached")
	}
	require.NoError(t, err)
	defer image.Release()
	assert.Equal(t, "2.0.0", python(t, image, "from importlib.metadata import version; print(version('iniconfig'))"))
}
