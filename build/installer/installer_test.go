package installer_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build/installer"
)

func TestCommand(t *testing.T) {
	lock := []app.File{{Remote: "/pyproject.toml"}, {Remote: "/poetry.lock"}}
	for name, c := range map[string]struct {
		step       app.Step
		tool, want string
	}{
		"packages": {
			app.Step{Op: app.OpUVPip, Packages: []string{"a>=1", "it's"}, Options: []string{"--prerelease", "allow"}}, "uv",
			"T/bin/uv pip install --python P --break-system-packages --compile-bytecode --prerelease allow a>=1 it's",
		},
		"requirements": {
			app.Step{Op: app.OpUVPip, Requirements: "a\n", Tool: "0.9.1"}, "uv==0.9.1",
			"T/bin/uv pip install --python P --break-system-packages --compile-bytecode --requirements R",
		},
		"uv's lock": {
			app.Step{Op: app.OpUVSync, Options: []string{"--frozen", "--extra", "gpu"}}, "uv",
			"cp -R J W/project; cd W/project; T/bin/uv export --quiet --python P --no-emit-workspace --output-file W/requirements.txt --frozen --extra gpu; " +
				"T/bin/uv pip install --python P --break-system-packages --compile-bytecode --requirements W/requirements.txt",
		},
		"Poetry's lock": {
			app.Step{Op: app.OpPoetry, Files: lock, Tool: "latest", Options: []string{"--with", "dev"}}, "poetry poetry-plugin-export",
			"cp -R J W/project; cd W/project; env PYTHONPATH=T POETRY_VIRTUALENVS_CREATE=false P -m poetry --no-interaction export --output W/requirements.txt --with dev; " +
				"P -m pip install --no-deps --requirement W/requirements.txt",
		},
		"no lock": {
			app.Step{Op: app.OpPoetry, Files: lock[:1], Tool: "1.8.0"}, "poetry==1.8.0 poetry-plugin-export",
			"cp -R J W/project; cd W/project; env PYTHONPATH=T POETRY_VIRTUALENVS_CREATE=false P -m poetry --no-interaction lock; " +
				"env PYTHONPATH=T POETRY_VIRTUALENVS_CREATE=false P -m poetry --no-interaction export --output W/requirements.txt; " +
				"P -m pip install --no-deps --requirement W/requirements.txt",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(installer.Tool(c.step), " "); got != c.tool {
				t.Errorf("tool: %s, want %s", got, c.tool)
			}
			command := installer.Command(c.step, installer.Places{Python: "P", Tool: "T", Project: "J", Requirements: "R", Work: "W"})
			// A shell says what it makes of the quotes.
			var said []string
			for _, part := range strings.Split(command, " && ") {
				out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "printf '%s ' "+part).Output()
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, strings.TrimSpace(string(out)))
			}
			if got := strings.Join(said, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
