//go:build linux

package buildkit_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

const (
	project = `[project]
name = "mine"
version = "0.1"
requires-python = ">=3.9"
dependencies = ["six"]

[project.optional-dependencies]
more = ["idna"]
`
	poetryProject = `[tool.poetry]
name = "mine"
version = "0.1"
description = ""
authors = []
package-mode = false

[tool.poetry.dependencies]
python = ">=3.9,<4"
six = "*"

[tool.poetry.group.dev.dependencies]
idna = "*"
`
	poetryLock = `[[package]]
name = "idna"
version = "3.7"
description = ""
optional = false
python-versions = ">=3.5"
groups = ["dev"]
files = [
    {file = "idna-3.7-py3-none-any.whl", hash = "sha256:82fee1fc78add43492d3a1898bfa6d8a904cc97d8427f683ed8e798d07761aa0"},
]

[[package]]
name = "six"
version = "1.16.0"
description = ""
optional = false
python-versions = ">=2.7, !=3.0.*, !=3.1.*, !=3.2.*"
groups = ["main"]
files = [
    {file = "six-1.16.0-py2.py3-none-any.whl", hash = "sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"},
]

[metadata]
lock-version = "2.1"
python-versions = ">=3.9,<4"
content-hash = "42c51ec9b587859f2cc2c8fab1d6b54aaea0c902065b12477911e4d4c8ffcafc"
`
)

// versions writes which of some packages an image has.
var versions = run(`python3 - > /versions <<'end'
import importlib.util
print(*[name for name in ("six", "idna", "uv", "poetry") if importlib.util.find_spec(name)])
end`)

func TestPackagesByUV(t *testing.T) {
	e := engine(t)
	image, h := mustBuild(t, e, recipe(slim, app.Step{Op: app.OpUVPip, Packages: []string{"six==1.16.0"}, Requirements: "idna>=3.7\n"}, versions), nil)
	require.Contains(t, h.log, "six==1.16.0")
	text, _ := read(t, image, "versions")
	require.Equal(t, "six idna\n", text)
	nothingLeft(t, image)

	_, _, err := build1(t, e, recipe(slim, app.Step{Op: app.OpUVPip, Packages: []string{"gx-there-is-no-such-package==9.9"}}), nil)
	var step *build.StepError
	require.ErrorAs(t, err, &step)
	require.Contains(t, step.Log, "gx-there-is-no-such-package")
}

func TestProjectsOfUV(t *testing.T) {
	e := engine(t)
	files := contents{}
	sync := app.Step{Op: app.OpUVSync, Files: []app.File{files.file("/pyproject.toml", project, 0o644)}}
	image, _ := mustBuild(t, e, recipe(slim, sync, versions), files)
	text, _ := read(t, image, "versions")
	require.Equal(t, "six\n", text)
	nothingLeft(t, image)

	sync.Options = []string{"--extra", "more"}
	image, h := mustBuild(t, e, recipe(slim, sync, versions), files)
	require.Equal(t, []int{1, 2}, h.ran)
	text, _ = read(t, image, "versions")
	require.Equal(t, "six idna\n", text)
}

func TestProjectsOfPoetry(t *testing.T) {
	e := engine(t)
	files := contents{}
	step := app.Step{Op: app.OpPoetry, Options: []string{"--without", "dev"}, Files: []app.File{
		files.file("/pyproject.toml", poetryProject, 0o644), files.file("/poetry.lock", poetryLock, 0o644),
	}}
	image, _ := mustBuild(t, e, recipe(slim, step, versions), files)
	text, _ := read(t, image, "versions")
	require.Equal(t, "six\n", text)
	nothingLeft(t, image)
}

// nothingLeft tells that what installs packages is not in the image itself.
func nothingLeft(t *testing.T, image build.Image) {
	t.Helper()
	for _, dir := range image.Root().Lower {
		for _, left := range []string{"__gx", "root/.cache", "root/.venv", "root/.config"} {
			require.NoDirExists(t, filepath.Join(dir, left))
		}
	}
}
