//go:build linux

package buildkit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/buildkit"
)

// function is a step that calls f of a module.
func function(files contents, key, source string) app.Step {
	return app.Step{
		Op: app.OpFunction, File: "app.py", Line: 7,
		Function: &app.BuildFunction{Name: "f", Key: key, Module: "weights", Qualname: "f"},
		Files:    []app.File{files.file("/root/weights.py", source, 0o644)},
	}
}

func TestAFunctionsFilesAreItsLayer(t *testing.T) {
	e := engine(t)
	files := contents{}
	const source = `import gx, os
def f(size=1):
    assert not gx.is_local()
    print("working in", os.getcwd())
    with open("/model", "w") as file: file.write("x" * size)
    try: open(__file__, "a")
    except OSError as error: print(error)
`
	step := function(files, "one", source)
	// (pickled by protocol 2) ((3,), {})
	step.Function.Args = must(base64.StdEncoding.DecodeString("gAJLA4VxAH1xAYZxAi4="))
	image, h := mustBuild(t, e, recipe(slim, step, run("cp /model /copy")), files)
	require.Contains(t, h.log, "working in /root\n")
	require.Contains(t, h.log, "Read-only file system")
	text, _ := read(t, image, "copy")
	require.Equal(t, "xxx", text)
	for _, dir := range image.Root().Lower[:2] {
		for _, left := range []string{"__gx", "root/weights.py", "root/__pycache__", "root/gx"} {
			require.NoFileExists(t, filepath.Join(dir, left))
			require.NoDirExists(t, filepath.Join(dir, left))
		}
	}

	// What its key does not say is not asked, and the files may be others.
	other := function(files, "one", source+"\ndef g(): pass\n")
	other.Timeout = 60
	_, h = mustBuild(t, e, recipe(slim, other, run("cp /model /copy2")), files)
	require.Equal(t, []int{2}, h.ran)

	changed := function(files, "two", "def f(): open('/model', 'w').write('y')\n")
	image, h = mustBuild(t, e, recipe(slim, changed, run("cp /model /copy")), files)
	require.Equal(t, []int{1, 2}, h.ran)
	require.Equal(t, "its source, its arguments or what it refers to changed", h.reasons[1])
	text, _ = read(t, image, "copy")
	require.Equal(t, "y", text)

	forced := recipe(slim, changed, run("cp /model /copy"))
	forced.Force = 1
	_, h = mustBuild(t, e, forced, files)
	require.Equal(t, []int{1, 2}, h.ran)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestAFunctionThatFailsIsTheSteps(t *testing.T) {
	e := engine(t)
	for name, c := range map[string]struct{ source, log string }{
		"exception": {"def f(): raise KeyError('gone')\n", "/root/weights.py\", line 1, in f"},
		"import":    {"import not_there\ndef f(): pass\n", "No module named 'not_there'"},
		"missing":   {"def g(): pass\n", "has no 'f'"},
		"timeout":   {"import time\ndef f(): time.sleep(60)\n", "f ran for longer than its timeout of 1 s"},
	} {
		t.Run(name, func(t *testing.T) {
			files := contents{}
			step := function(files, "fails "+name, c.source)
			if name == "timeout" {
				step.Timeout = 1
			}
			_, h, err := build1(t, e, recipe(slim, step), files)
			var failed *build.StepError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, 1, h.failed)
			require.Equal(t, 1, failed.Code)
			require.Equal(t, 7, failed.Step.Line)
			require.Equal(t, "run_function f failed with exit code 1", failed.Error())
			require.Contains(t, failed.Log, c.log)
		})
	}
}

func TestCancelStopsAFunction(t *testing.T) {
	e := engine(t)
	files := contents{}
	step := function(files, "sleeps", "import time\ndef f():\n    print('sleeping', flush=True)\n    time.sleep(600)\n")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	_, err := e.Build(ctx, build.Request{Recipe: recipe(slim, step), Open: files.open}, func(ev build.Event) {
		if ev.Kind == build.EventLog {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), time.Minute)
}

func TestWithoutAnSDKThereAreNoFunctions(t *testing.T) {
	needContainers(t)
	cfg := config(t.TempDir())
	cfg.SDK = nil
	e, err := buildkit.New(context.Background(), cfg)
	require.NoError(t, err)
	defer e.Close()
	files := contents{}
	_, _, err = build1(t, e, recipe(app.Step{Op: app.OpScratch}, function(files, "k", "")), files)
	require.ErrorContains(t, err, "no SDK")
}

// planted is a secret that must be found nowhere.
const planted = "planted-9d1c-secret"

func TestSecretsAreKeptNowhere(t *testing.T) {
	e := engine(t)
	files := contents{}
	with := func(step app.Step, token string) app.Step {
		step.Secrets = []app.Secret{{Values: map[string]string{"TOKEN": token}}}
		step.Env = map[string]string{"MODE": "fast"}
		return step
	}
	const print = `echo "$MODE $TOKEN"; printf %s "$TOKEN" | wc -c > /length`
	for name, c := range map[string]struct {
		base int // index of the step that has the secret
		make func(token string) app.Image
	}{
		"run_commands": {1, func(token string) app.Image { return recipe(slim, with(run(print), token)) }},
		"run_function": {1, func(token string) app.Image {
			return recipe(slim, with(function(files, "secret", "import os\ndef f():\n    print(os.environ['MODE'], os.environ['TOKEN'])\n    open('/length', 'w').write(str(len(os.environ['TOKEN'])) + '\\n')\n"), token))
		}},
		"dockerfile_commands": {1, func(token string) app.Image {
			return recipe(slim, with(app.Step{Op: app.OpDockerfileCommands, Dockerfile: "ENV A=1\nRUN --network=none \\\n  " + print}, token))
		}},
		"dockerfile": {0, func(token string) app.Image {
			return recipe(with(app.Step{Op: app.OpDockerfile, Dockerfile: "FROM python:3.11-slim AS first\nRUN <<end\ncat > /note <<inner\nFROM here\ninner\n" + print + "\nend\n" +
				"FROM python:3.11-slim\nCOPY --from=first /length /note /\nRUN --mount=type=secret,id=TOKEN test \"$(cat /run/secrets/TOKEN)\" = \"$TOKEN\" && test $MODE = fast\n"}, token))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			image, h := mustBuild(t, e, c.make(planted+name), files)
			require.Contains(t, h.log, "fast [TOKEN]\n")
			require.NotContains(t, h.log, planted)
			text, _ := read(t, image, "length")
			require.Equal(t, len(planted+name), must(strconv.Atoi(strings.TrimSpace(text))))
			require.NotContains(t, image.Config().Env, "MODE=fast")
			if name == "dockerfile" {
				note, _ := read(t, image, "note")
				require.Equal(t, "FROM here\n", note, "what is not an instruction stays as it is")
			}

			_, h = mustBuild(t, e, c.make(planted+name+" another"), files)
			require.Empty(t, h.ran, "another value of a secret changes nothing")

			changed := c.make(planted + name)
			changed.Steps[c.base].Env = map[string]string{"MODE": "slow"}
			if name != "dockerfile" { // which wants it fast
				_, h = mustBuild(t, e, changed, files)
				require.Contains(t, h.ran, c.base)
				require.Equal(t, "variables changed: MODE", h.reasons[c.base])
			}

			failing := c.make(planted + name)
			failing.Steps = append(failing.Steps, with(run("echo failing with $TOKEN; false"), planted))
			_, h, err := build1(t, e, failing, files)
			var failed *build.StepError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, "failing with [TOKEN]\n", failed.Log)
			require.NotContains(t, h.log+err.Error(), planted)
		})
	}
	require.Empty(t, filesWith(t, lab.dir, planted))
	require.NotEmpty(t, filesWith(t, lab.dir, "FROM here"), "what a step wrote is found")
}

// filesWith are the files below a folder that contain a text.
func filesWith(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		file, err := os.Open(path)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		defer file.Close()
		data, err := io.ReadAll(file)
		if err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	}))
	return found
}
