// Package installer says how steps that install Python packages with another
// tool than pip do so. The tool itself comes from the package index, by pip,
// and is no part of the image. What a project's lock file names is exported, and
// installed into the image's own Python: there is no environment beside it, in
// which what other steps install would be missing.
package installer

import (
	"strings"

	"github.com/gx-dev/gx/app"
)

// Places are the files and folders that a command works with.
type Places struct {
	Python       string // the interpreter that is installed for
	Tool         string // folder that pip has installed Tool's packages to
	Project      string // folder of the project's files; read only
	Requirements string // file of app.Step.Requirements
	Work         string // folder for what is written on the way
}

// Uses tells whether a step's work is a command of this package.
func Uses(op app.Op) bool {
	return op == app.OpUVPip || op == app.OpUVSync || op == app.OpPoetry
}

// Tool is what pip is to install for a step.
func Tool(step app.Step) []string {
	if step.Op == app.OpPoetry {
		return []string{versioned("poetry", step.Tool), "poetry-plugin-export"}
	}
	return []string{versioned("uv", step.Tool)}
}

func versioned(name, version string) string {
	if version == "" || version == "latest" {
		return name
	}
	return name + "==" + version
}

// Command is what installs a step's packages: a command for /bin/sh.
func Command(step app.Step, p Places) string {
	uv := p.Tool + "/bin/uv"
	install := []string{uv, "pip", "install", "--python", p.Python, "--break-system-packages", "--compile-bytecode"}
	list := p.Work + "/requirements.txt"
	switch step.Op {
	case app.OpUVPip:
		install = append(install, step.Options...)
		if step.Requirements != "" {
			install = append(install, "--requirements", p.Requirements)
		}
		return words(append(install, step.Packages...))
	case app.OpUVSync:
		export := append([]string{uv, "export", "--quiet", "--python", p.Python, "--no-emit-workspace", "--output-file", list}, step.Options...)
		return in(p, words(export), words(append(install, "--requirements", list)))
	default:
		// Only Poetry itself may see what Poetry needs.
		poetry := []string{"env", "PYTHONPATH=" + p.Tool, "POETRY_VIRTUALENVS_CREATE=false", p.Python, "-m", "poetry", "--no-interaction"}
		commands := []string{words(append(append(poetry[:len(poetry):len(poetry)], "export", "--output", list), step.Options...))}
		if !locked(step) {
			commands = append([]string{words(append(poetry[:len(poetry):len(poetry)], "lock"))}, commands...)
		}
		pip := []string{p.Python, "-m", "pip", "install", "--no-deps", "--requirement", list}
		return in(p, append(commands, words(pip))...)
	}
}

// in runs commands in a copy of the project, in which they may write.
func in(p Places, commands ...string) string {
	copied := p.Work + "/project"
	commands = append([]string{
		words([]string{"cp", "-R", p.Project, copied}),
		words([]string{"cd", copied}),
	}, commands...)
	return strings.Join(commands, " && ")
}

// locked tells whether the project's files say which versions are meant.
func locked(step app.Step) bool {
	for _, f := range step.Files {
		if f.Remote == "/poetry.lock" {
			return true
		}
	}
	return false
}

// words quotes words for a shell.
func words(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
