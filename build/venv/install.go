package venv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build/installer"
	"github.com/gx-dev/gx/redact"
)

// install has a tool other than pip install packages into the environment. The
// tool lies beside it, and goes when it has done its work.
func (m *maker) install(ctx context.Context, i int, log func(string)) (_ string, err error) {
	s := m.plan.steps[i]
	folder := filepath.Join(m.dir, fmt.Sprintf("install-%d", i))
	p := installer.Places{
		Python: filepath.Join(m.dir, "venv", "bin", "python"),
		Tool:   filepath.Join(folder, "tool"), Project: filepath.Join(folder, "project"),
		Work: filepath.Join(folder, "work"), Requirements: filepath.Join(folder, "requirements.txt"),
	}
	if err := os.MkdirAll(p.Work, 0o755); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := m.files(ctx, p.Project, s.Files); err != nil {
		return "", err
	}
	if err := os.WriteFile(p.Requirements, []byte(s.Requirements), 0o600); err != nil {
		return "", err
	}
	fetch := append([]string{p.Python, "-m", "pip", "install", "--no-input", "--quiet", "--target", p.Tool}, installer.Tool(s)...)
	if tail, err := command(ctx, m.environment(i), folder, nil, log, fetch...); err != nil {
		return tail, fmt.Errorf("fetching the tool that installs for %s: %w", m.plan.names[i], err)
	}
	tail, err := command(ctx, m.commandEnvironment(i), folder, redact.New(app.Variables(s.Secrets)), log, "/bin/sh", "-c", installer.Command(s, p))
	if err != nil {
		err = fmt.Errorf("%s failed: %w", m.plan.names[i], err)
	}
	return tail, err
}
