package venv

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// oldest is the oldest minor version of Python 3 that gx's runner supports.
const oldest = 9

// interpreter is a Python of the machine.
type interpreter struct {
	Path    string `json:"path"`    // what sys.executable says, so that no shim is in the way
	Version string `json:"version"` // "3.11.7"
}

// short is the version as recipes name it: "3.11".
func (p interpreter) short() string {
	parts := strings.SplitN(p.Version, ".", 3)
	if len(parts) < 2 {
		return p.Version
	}
	return parts[0] + "." + parts[1]
}

// supported reports whether gx can run functions with it.
func (p interpreter) supported() bool {
	major, rest, _ := strings.Cut(p.Version, ".")
	second, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(second)
	return major == "3" && err == nil && n >= oldest
}

// pythons finds the machine's interpreters, and remembers what they said.
type pythons struct {
	explicit string   // a path that is to be used whatever is asked for; "" = none
	environ  []string // PATH counts
	mu       sync.Mutex
	known    map[string]probed // by path
}

type probed struct {
	size    int64
	changed time.Time
	python  interpreter
	err     error
}

// find returns the interpreter for a wanted version, the first of the versions
// that the machine has; or any, when it has none of them.
func (p *pythons) find(ctx context.Context, versions ...string) (interpreter, error) {
	if p.explicit != "" {
		found, err := p.probe(ctx, p.explicit)
		if err != nil {
			return found, err
		}
		if !found.supported() {
			return found, fmt.Errorf("%s is Python %s; gx needs 3.%d or newer", p.explicit, found.Version, oldest)
		}
		return found, nil
	}
	var problems []string
	try := func(name, version string) (interpreter, bool) {
		for _, path := range p.lookup(name) {
			found, err := p.probe(ctx, path)
			switch {
			case err != nil:
				problems = append(problems, err.Error())
			case !found.supported():
				problems = append(problems, fmt.Sprintf("%s is Python %s", path, found.Version))
			case version == "" || found.short() == version:
				return found, true
			}
		}
		return interpreter{}, false
	}
	for _, version := range versions {
		if version == "" {
			continue
		}
		for _, name := range []string{"python" + version, "python3", "python"} {
			if found, ok := try(name, version); ok {
				return found, nil
			}
		}
	}
	for _, name := range []string{"python3", "python"} {
		if found, ok := try(name, ""); ok {
			return found, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return interpreter{}, err
	}
	text := fmt.Sprintf("this machine has no Python 3.%d or newer on its PATH; install one (python3 and, on Debian and Ubuntu, python3-venv)", oldest)
	if len(problems) > 0 {
		text += ": " + strings.Join(problems, "; ")
	}
	return interpreter{}, fmt.Errorf("%s", text)
}

// lookup returns all commands of a name on the PATH, in its order.
func (p *pythons) lookup(name string) []string {
	var found []string
	for _, dir := range filepath.SplitList(variable(p.environ, "PATH")) {
		if !filepath.IsAbs(dir) || strings.ContainsRune(name, filepath.Separator) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			found = append(found, path)
		}
	}
	return found
}

// probe asks an interpreter what it is, once until its file changes.
func (p *pythons) probe(ctx context.Context, path string) (interpreter, error) {
	info, err := os.Stat(path)
	if err != nil {
		return interpreter{}, err
	}
	p.mu.Lock()
	old, ok := p.known[path]
	p.mu.Unlock()
	if ok && old.size == info.Size() && old.changed.Equal(info.ModTime()) {
		return old.python, old.err
	}
	found, err := ask(ctx, path, p.environ)
	if ctx.Err() != nil {
		return found, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]probed{}
	}
	p.known[path] = probed{info.Size(), info.ModTime(), found, err}
	return found, err
}

// ask runs an interpreter to learn its version and its own path.
func ask(ctx context.Context, path string, environ []string) (interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// The base of a virtual environment is what further ones are made of.
	const question = `import json, os, sys
path = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps({"path": os.path.abspath(path), "version": "%d.%d.%d" % sys.version_info[:3]}))`
	cmd := exec.CommandContext(ctx, path, "-I", "-c", question)
	cmd.Env = environ
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, fmt.Errorf("asking %s for its version: %w", path, err)
	}
	var found interpreter
	if err := json.Unmarshal(out, &found); err != nil || !filepath.IsAbs(found.Path) {
		return interpreter{}, fmt.Errorf("asking %s for its version: it answered %.100q", path, out)
	}
	return found, nil
}

// variable returns the value of the last setting of a variable.
func variable(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
