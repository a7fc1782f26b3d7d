//go:build linux

package buildkit_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/buildkit"
	"github.com/gx-dev/gx/build/debian"
	"github.com/gx-dev/gx/build/hostenv"
	"github.com/gx-dev/gx/sdk"
)

// lab is one store for all tests, so that the base is made once.
var lab struct {
	dir  string
	once sync.Once
	eng  *buildkit.Engine
	err  error
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		victim(dir)
		return
	}
	var err error
	if lab.dir, err = os.MkdirTemp("", "gx-buildkit-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if lab.eng != nil {
		if err := lab.eng.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the engine:", err)
			code = 1
		}
	}
	_ = os.RemoveAll(lab.dir)
	os.Exit(code)
}

// bases is where .debs are kept; GX_TEST_CACHE keeps them between runs.
func bases() string {
	if dir := os.Getenv("GX_TEST_BASES"); dir != "" {
		return dir // of the process that started this one
	}
	if dir := os.Getenv("GX_TEST_CACHE"); dir != "" {
		return filepath.Join(dir, "bases")
	}
	return filepath.Join(lab.dir, "bases")
}

func config(dir string) buildkit.Config {
	host, err := hostenv.Discover(os.Getenv, filepath.Join(dir, "hostenv"))
	if err != nil {
		panic(err)
	}
	return buildkit.Config{Dir: filepath.Join(dir, "store"), Bases: debian.Options{Dir: bases()}, Host: host,
		SDK: func() (string, error) { return sdk.Extract(dir) },
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

func engine(t *testing.T) *buildkit.Engine {
	t.Helper()
	needContainers(t)
	lab.once.Do(func() { lab.eng, lab.err = buildkit.New(context.Background(), config(lab.dir)) })
	require.NoError(t, lab.err)
	return lab.eng
}

func needContainers(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("build steps run in containers, which need root here")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("build steps run in containers, which need runc: ", err)
	}
}

var slim = app.Step{Op: app.OpDebianSlim, Python: "3.11"}

func run(commands ...string) app.Step { return app.Step{Op: app.OpRun, Commands: commands} }

func recipe(steps ...app.Step) app.Image { return app.Image{Force: -1, Steps: steps} }

// contents serves files from memory.
type contents map[string]string

func (c contents) file(remote, text string, mode uint32) app.File {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	c[hash] = text
	return app.File{Remote: remote, SHA256: hash, Size: int64(len(text)), Mode: mode}
}

func (c contents) open(sum string) (io.ReadCloser, error) {
	text, ok := c[sum]
	if !ok {
		return nil, fmt.Errorf("no content %s", sum)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// happened is what a build told.
type happened struct {
	ran     []int // steps that were carried out
	cached  []int
	reasons map[int]string
	log     string
	failed  int
}

func build1(t *testing.T, e *buildkit.Engine, image app.Image, files contents) (build.Image, happened, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute) // the first makes the base
	defer cancel()
	h := happened{reasons: map[int]string{}, failed: -1}
	got, err := e.Build(ctx, build.Request{Recipe: image, Python: "3.11", Open: files.open}, func(ev build.Event) {
		switch ev.Kind {
		case build.EventStart:
			h.reasons[ev.Step] = ev.Reason
		case build.EventDone:
			if ev.Cached {
				h.cached = append(h.cached, ev.Step)
			} else {
				h.ran = append(h.ran, ev.Step)
			}
		case build.EventLog:
			h.log += ev.Data
		case build.EventFailed:
			h.failed = ev.Step
		}
	})
	if err == nil {
		t.Cleanup(got.Release)
	}
	return got, h, err
}

func mustBuild(t *testing.T, e *buildkit.Engine, image app.Image, files contents) (build.Image, happened) {
	t.Helper()
	got, h, err := build1(t, e, image, files)
	require.NoError(t, err)
	return got, h
}

// read finds a file in an image as an overlay would.
func read(t *testing.T, image build.Image, name string) (string, bool) {
	t.Helper()
	for _, dir := range image.Root().Lower {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			return string(data), true
		}
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	return "", false
}

func TestOnlyWhatFollowsAChangeRuns(t *testing.T) {
	e := engine(t)
	image, h := mustBuild(t, e, recipe(slim, run("echo a > /a"), run("echo b > /b")), nil)
	require.Contains(t, h.ran, 2)
	require.Equal(t, "3.11", image.Config().Version)
	require.Equal(t, "/usr/bin/python3.11", image.Config().Python)
	text, ok := read(t, image, "b")
	require.True(t, ok)
	require.Equal(t, "b\n", text)

	_, h = mustBuild(t, e, recipe(slim, run("echo a > /a"), run("echo c > /b")), nil)
	require.Equal(t, []int{2}, h.ran)
	require.ElementsMatch(t, []int{0, 1}, h.cached)
	require.Equal(t, "commands changed: echo b > /b -> echo c > /b", h.reasons[2])

	_, h = mustBuild(t, e, recipe(slim, run("echo A > /a"), run("echo b > /b")), nil)
	require.Equal(t, []int{1, 2}, h.ran)
	require.Equal(t, "an earlier step changed", h.reasons[2])

	again, h := mustBuild(t, e, recipe(slim, run("echo a > /a"), run("echo b > /b")), nil)
	require.Empty(t, h.ran)
	require.Equal(t, image.ID(), again.ID())

	forced := recipe(slim, run("echo a > /a"), run("echo b > /b"))
	forced.Force = 2
	_, h = mustBuild(t, e, forced, nil)
	require.Equal(t, []int{2}, h.ran)
	require.Equal(t, "force_build", h.reasons[2])
}

func TestPackagesThroughTheMachinesNetwork(t *testing.T) {
	e := engine(t)
	image, h := mustBuild(t, e, recipe(slim,
		app.Step{Op: app.OpApt, Packages: []string{"tini"}},
		app.Step{Op: app.OpPip, Packages: []string{"six==1.16.0"}},
		app.Step{Op: app.OpPip, Requirements: "idna==3.7\n"},
		run("python3 -c 'import six, idna; print(six.__version__, idna.__version__)' > /versions && command -v tini >> /versions"),
	), nil)
	require.Contains(t, h.log, "six")
	text, _ := read(t, image, "versions")
	require.Equal(t, "1.16.0 3.7\n/usr/bin/tini\n", text)
	for _, leftover := range []string{"__gx", "root/.cache"} {
		for _, dir := range image.Root().Lower {
			require.NoDirExists(t, filepath.Join(dir, leftover), "the machine's own settings must leave nothing in an image")
		}
	}
	compiled := false
	for _, dir := range image.Root().Lower {
		found, _ := filepath.Glob(filepath.Join(dir, "usr/local/lib/python3.11/dist-packages/__pycache__/six.*.pyc"))
		compiled = compiled || len(found) > 0
	}
	require.True(t, compiled, "installed packages are byte-compiled")
}

func TestAMissingPackageIsTheSteps(t *testing.T) {
	e := engine(t)
	_, h, err := build1(t, e, recipe(slim, app.Step{Op: app.OpPip, Packages: []string{"gx-there-is-no-such-package==9.9"}, File: "app.py", Line: 7}), nil)
	var step *build.StepError
	require.ErrorAs(t, err, &step)
	require.Equal(t, 1, step.Index)
	require.Equal(t, 1, step.Code)
	require.Equal(t, 7, step.Step.Line)
	require.Contains(t, step.Log, "gx-there-is-no-such-package")
	require.Contains(t, step.Error(), "pip_install gx-there-is-no-such-package==9.9")
	require.Equal(t, 1, h.failed)
}

func TestCopiedFiles(t *testing.T) {
	e := engine(t)
	files := contents{}
	one := app.Step{Op: app.OpCopy, Files: []app.File{files.file("/opt/x/a.sh", "#!/bin/sh\necho one\n", 0o755), files.file("/opt/x/m.py", "x = 1\n", 0o644)}}
	image, _ := mustBuild(t, e, recipe(slim, one, run("/opt/x/a.sh > /said; stat -c '%a %U' /opt/x/a.sh >> /said")), files)
	text, _ := read(t, image, "said")
	require.Equal(t, "one\n755 root\n", text)

	two := app.Step{Op: app.OpCopy, Files: []app.File{files.file("/opt/x/a.sh", "#!/bin/sh\necho two\n", 0o755), one.Files[1]}}
	image, h := mustBuild(t, e, recipe(slim, two, run("/opt/x/a.sh > /said; stat -c '%a %U' /opt/x/a.sh >> /said")), files)
	text, _ = read(t, image, "said")
	require.Equal(t, "two\n755 root\n", text)
	require.Equal(t, "file /opt/x/a.sh changed", h.reasons[1])
}

func TestCopiedDirectories(t *testing.T) {
	e := engine(t)
	files := contents{}
	step := app.Step{Op: app.OpCopy, Files: []app.File{{Remote: "/opt/empty/deep", Dir: true}, {Remote: "/tmp/mine", Dir: true},
		files.file("/tmp/x", "", 0o644), files.file("/bin/tool", "#!/bin/sh\necho tool\n", 0o755), files.file("/top", "", 0o644)}}
	for i := range 20_000 { // more than one command can have as arguments
		step.Files = append(step.Files, files.file(fmt.Sprintf("/opt/%s/%d.py", strings.Repeat("long", 20), i), "x = 1\n", 0o644))
	}
	one := app.Step{Op: app.OpCopy, Files: []app.File{files.file("/tmp/one", "", 0o644)}}
	empty := app.Step{Op: app.OpCopy, Files: []app.File{{Remote: "/tmp/empty/one", Dir: true}}}
	image, _ := mustBuild(t, e, recipe(slim, step, one, empty, run("stat -c '%a' /opt/empty/deep /tmp/mine /tmp/one /tmp/empty/one /tmp > /said; /usr/bin/tool >> /said; ls /opt/long*/__pycache__ | wc -l >> /said")), files)
	text, _ := read(t, image, "said")
	require.Equal(t, "755\n755\n644\n755\n1777\ntool\n20000\n", text)
}

func TestPathsThatLeadOutAreFilesInside(t *testing.T) {
	e := engine(t)
	files := contents{}
	step := app.Step{Op: app.OpCopy, Files: []app.File{files.file("/../../../../gx-escaped", "x", 0o644)}}
	image, _ := mustBuild(t, e, recipe(slim, step), files)
	_, ok := read(t, image, "gx-escaped")
	require.True(t, ok)
	require.NoFileExists(t, "/gx-escaped")
}

func TestEnvironmentAndWorkdir(t *testing.T) {
	e := engine(t)
	image, _ := mustBuild(t, e, recipe(slim,
		app.Step{Op: app.OpEnv, Env: map[string]string{"COLOUR": "deep blue", "HTTP_TIMEOUT": "3"}},
		app.Step{Op: app.OpWorkdir, Path: "/srv/app"},
		app.Step{Op: app.OpWorkdir, Path: "inner"},
		run(`echo "$COLOUR $PWD" > /said`),
		app.Step{Op: app.OpEntrypoint, Commands: []string{"/bin/tini"}},
	), nil)
	text, _ := read(t, image, "said")
	require.Equal(t, "deep blue /srv/app/inner\n", text)
	require.Equal(t, "/srv/app/inner", image.Config().Workdir)
	require.Contains(t, image.Config().Env, "COLOUR=deep blue")
	require.Equal(t, []string{"/bin/tini"}, image.Config().Entrypoint)
	for _, kv := range image.Config().Env {
		require.NotContains(t, kv, "/__gx/", "the machine's settings are not the image's")
	}
}

func TestDockerfiles(t *testing.T) {
	e := engine(t)
	files := contents{}
	image, _ := mustBuild(t, e, recipe(
		app.Step{Op: app.OpDockerfile, Dockerfile: "FROM python:3.11-slim\nARG WHO=nobody\nENV GREETING=hello\nCOPY note.txt /note.txt\nRUN echo $GREETING $WHO > /greeting\nWORKDIR /data\n",
			BuildArgs: map[string]string{"WHO": "Ada"}, Files: []app.File{files.file("/note.txt", "a note", 0o644)}},
		app.Step{Op: app.OpDockerfileCommands, Dockerfile: "RUN echo again >> /greeting\nENV MORE=1"},
		run("echo $GREETING $MORE $PWD >> /greeting"),
	), files)
	text, _ := read(t, image, "greeting")
	require.Equal(t, "hello Ada\nagain\nhello 1 /data\n", text)
	text, _ = read(t, image, "note.txt")
	require.Equal(t, "a note", text)
	require.Equal(t, "3.11", image.Config().Version)
	require.NotEmpty(t, image.Config().Python)
}

func TestAFailingDockerfileIsItsStep(t *testing.T) {
	e := engine(t)
	for _, text := range []string{"RUN echo before && false", "NONSENSE", "COPY nowhere /"} {
		_, h, err := build1(t, e, recipe(slim, run("true"), app.Step{Op: app.OpDockerfileCommands, Dockerfile: text}), nil)
		var failed *build.StepError
		require.ErrorAs(t, err, &failed, text)
		require.Equal(t, 2, failed.Index, "%s: %v", text, err)
		require.Equal(t, 2, h.failed, text)
		require.NotContains(t, h.cached, 2, text)
	}
}

func TestRefusals(t *testing.T) {
	e := engine(t)
	for name, c := range map[string]struct {
		image app.Image
		want  string
	}{
		"no steps":    {recipe(), "no steps"},
		"no base":     {recipe(run("true")), "not a base"},
		"two bases":   {recipe(slim, slim), "only the first"},
		"unknown":     {recipe(slim, app.Step{Op: "fly"}), "does not know"},
		"no such py":  {recipe(app.Step{Op: app.OpDebianSlim, Python: "3.4"}), "3.11"},
		"no registry": {recipe(app.Step{Op: app.OpRegistry, Tag: "localhost:1/nothing:here"}), "debian_slim"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := build1(t, e, c.image, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestCancelStopsAStep(t *testing.T) {
	e := engine(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begin := time.Now()
	_, err := e.Build(ctx, build.Request{Recipe: recipe(slim, run("echo started; sleep 300")), Python: "3.11"}, func(ev build.Event) {
		if strings.Contains(ev.Data, "started") {
			begin = time.Now()
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(begin), 2*time.Minute, "the step takes five")
}

func TestTheSameRecipeAtOnceIsMadeOnce(t *testing.T) {
	e := engine(t)
	image := recipe(slim, run("date +%N > /when; sleep 1"))
	var all sync.WaitGroup
	ran := make([]int, 4)
	texts := make([]string, 4)
	for i := range ran {
		all.Go(func() {
			got, err := e.Build(context.Background(), build.Request{Recipe: image, Python: "3.11"}, func(ev build.Event) {
				if ev.Kind == build.EventDone && !ev.Cached && ev.Step == 1 {
					ran[i]++
				}
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer got.Release()
			texts[i], _ = read(t, got, "when")
		})
	}
	all.Wait()
	total := 0
	for i := range ran {
		total += ran[i]
		require.Equal(t, texts[0], texts[i])
	}
	require.Equal(t, 1, total)
}

func TestPruneKeepsWhatIsPinned(t *testing.T) {
	needContainers(t)
	dir := t.TempDir()
	e, err := buildkit.New(context.Background(), config(dir))
	require.NoError(t, err)
	pinned, _ := mustBuild(t, e, recipe(slim, run("echo pinned > /p")), nil)
	loose, err := e.Build(context.Background(), build.Request{Recipe: recipe(slim, run("head -c 5000000 /dev/urandom > /big")), Python: "3.11"}, nil)
	require.NoError(t, err)
	loose.Release()

	usage, err := e.Prune(context.Background(), 0, true)
	require.NoError(t, err)
	require.Greater(t, usage.Freed, int64(4_000_000))
	text, ok := read(t, pinned, "p")
	require.True(t, ok)
	require.Equal(t, "pinned\n", text)
	require.Len(t, usage.Images, 1)

	// What was evicted is made anew, and says so.
	_, h := mustBuild(t, e, recipe(slim, run("head -c 5000000 /dev/urandom > /big")), nil)
	require.Contains(t, h.ran, 1)
	require.Contains(t, h.reasons[1], "evicted on ")
	require.NoError(t, e.Close())

	// Another engine on the same store finds what is there, without work.
	e, err = buildkit.New(context.Background(), config(dir))
	require.NoError(t, err)
	defer e.Close()
	_, h = mustBuild(t, e, recipe(slim, run("echo pinned > /p")), nil)
	require.Empty(t, h.ran)
}

func TestAStoreHasOneOwner(t *testing.T) {
	engine(t)
	_, err := buildkit.New(context.Background(), config(lab.dir))
	require.ErrorContains(t, err, "in use by another gx host")
}

func BenchmarkUnchanged(b *testing.B) {
	e, err := buildkit.New(context.Background(), config(b.TempDir()))
	require.NoError(b, err)
	defer e.Close()
	req := build.Request{Recipe: recipe(slim, run("true")), Python: "3.11"}
	for b.Loop() {
		image, err := e.Build(context.Background(), req, nil)
		if err != nil {
			b.Fatal(err)
		}
		image.Release()
	}
}

func BenchmarkLastStepChanged(b *testing.B) {
	e, err := buildkit.New(context.Background(), config(b.TempDir()))
	require.NoError(b, err)
	defer e.Close()
	n := 0
	make1 := func() {
		n++
		image, err := e.Build(context.Background(), build.Request{Recipe: recipe(slim, run("true"), run(fmt.Sprintf("echo %d > /n", n))), Python: "3.11"}, nil)
		if err != nil {
			b.Fatal(err)
		}
		image.Release()
	}
	make1()
	for b.Loop() {
		make1()
	}
}
