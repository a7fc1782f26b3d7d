package venv

import (
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

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/installer"
	"github.com/gx-dev/gx/redact"
)

// maker makes one environment in a folder of its own. The folder is the final
// one, because a virtual environment can't be moved.
type maker struct {
	plan    *plan
	dir     string
	environ []string
	open    func(sha256 string) (io.ReadCloser, error)
	sdk     func() (dir string, err error)
}

// step carries out one step of the recipe. Its error is a *build.StepError,
// unless the build was cancelled.
func (m *maker) step(ctx context.Context, i int, log func(string)) error {
	s := m.plan.steps[i]
	var tail string
	var err error
	switch {
	case i == 0:
		if tail, err = m.base(ctx, log); err == nil {
			log(fmt.Sprintf("virtual environment of Python %s (%s)\n", m.plan.python.Version, m.plan.python.Path))
		}
	case s.Op == app.OpPip:
		tail, err = m.pip(ctx, i, log)
	case installer.Uses(s.Op):
		tail, err = m.install(ctx, i, log)
	case s.Op == app.OpCopy:
		err = m.files(ctx, filepath.Join(m.dir, "files"), s.Files)
	case s.Op == app.OpFunction && m.plan.skipped[i] == "":
		tail, err = m.function(ctx, i, log)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed := &build.StepError{Index: i, Step: s, Log: tail, Err: err}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		failed.Code = exit.ExitCode()
	}
	return failed
}

// base makes the environment itself, with pip only if a step needs it: bringing
// pip in takes forty times as long as all the rest.
func (m *maker) base(ctx context.Context, log func(string)) (string, error) {
	venv := filepath.Join(m.dir, "venv")
	args := []string{m.plan.python.Path, "-I", "-m", "venv"}
	if !m.plan.hasPip {
		args = append(args, "--without-pip")
	}
	tail, err := command(ctx, m.environment(0), m.dir, nil, log, append(args, venv)...)
	if err == nil {
		return tail, nil
	}
	if m.plan.hasPip && strings.Contains(tail, "ensurepip") {
		return tail, fmt.Errorf("the Python of this machine (%s) can't make virtual environments with pip; on Debian and Ubuntu run: sudo apt-get install python3-venv: %w", m.plan.python.Path, err)
	}
	return tail, fmt.Errorf("making a virtual environment with %s: %w", m.plan.python.Path, err)
}

// pip installs what a pip_install step names.
func (m *maker) pip(ctx context.Context, i int, log func(string)) (string, error) {
	s := m.plan.steps[i]
	args := []string{filepath.Join(m.dir, "venv", "bin", "python"), "-m", "pip", "install",
		"--no-input", "--disable-pip-version-check", "--progress-bar", "off"}
	args = append(append(args, s.Options...), s.Packages...)
	if s.Requirements != "" {
		file := filepath.Join(m.dir, fmt.Sprintf("requirements-%d.txt", i))
		if err := os.WriteFile(file, []byte(s.Requirements), 0o644); err != nil {
			return "", err
		}
		args = append(args, "-r", file)
	}
	if len(s.Packages) == 0 && s.Requirements == "" {
		return "", nil
	}
	mask := redact.New(app.Variables(s.Secrets))
	tail, err := command(ctx, m.commandEnvironment(i), m.dir, mask, log, args...)
	if err == nil {
		return tail, nil
	}
	if said := lastError(tail); said != "" {
		return tail, fmt.Errorf("pip failed (%w): %s", err, said)
	}
	return tail, fmt.Errorf("pip failed: %w", err)
}

// lastError is the last line in which pip says what went wrong.
func lastError(log string) string {
	lines := strings.Split(log, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if said, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "ERROR: "); ok {
			return said
		}
	}
	return ""
}

// environment is that of a step's commands: this machine's own with what the
// recipe sets before the step, without what would lead pip elsewhere.
func (m *maker) environment(step int) []string {
	var env []string
	for _, pair := range m.environ {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON":
		default:
			env = append(env, pair)
		}
	}
	env = append(env, environment(m.plan.steps[:step])...)
	return append(env, "PYTHONNOUSERSITE=1", "PIP_USER=0", "VIRTUAL_ENV="+filepath.Join(m.dir, "venv"))
}

// commandEnvironment is environment with the variables that are for the step's
// commands alone.
func (m *maker) commandEnvironment(step int) []string {
	env := m.environment(step)
	for _, more := range []map[string]string{m.plan.steps[step].Env, app.Variables(m.plan.steps[step].Secrets)} {
		for name, value := range more {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// files writes files below a folder, at the paths that they have in an image.
func (m *maker) files(ctx context.Context, below string, files []app.File) error {
	if err := os.MkdirAll(below, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(below)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Dir {
			if err := root.MkdirAll(filepath.FromSlash(strings.TrimPrefix(f.Remote, "/")), 0o755); err != nil {
				return fmt.Errorf("making %s: %w", f.Remote, err)
			}
			continue
		}
		if err := m.write(root, f); err != nil {
			return fmt.Errorf("copying %s: %w", f.Remote, err)
		}
	}
	return nil
}

// write writes one file and verifies its content. root keeps it inside.
func (m *maker) write(root *os.Root, f app.File) (err error) {
	in, err := m.open(f.SHA256)
	if err != nil {
		return err
	}
	defer in.Close()
	name := filepath.FromSlash(strings.TrimPrefix(f.Remote, "/"))
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // a later step replaces an earlier one's file
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, os.FileMode(f.Mode)&0o777|0o400)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != f.SHA256 {
		return fmt.Errorf("its content is corrupt: SHA-256 is %s, not %s", sum, f.SHA256)
	}
	return nil
}
