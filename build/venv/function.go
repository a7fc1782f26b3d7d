package venv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/redact"
)

// function calls a function of the user's with the environment's Python. It
// runs on this machine itself, as functions do without containers. Its working
// directory is that of a container, below the environment's folder of files.
func (m *maker) function(ctx context.Context, i int, log func(string)) (string, error) {
	s := m.plan.steps[i]
	packages, err := m.sdk()
	if err != nil {
		return "", fmt.Errorf("the SDK for a function that runs in a build: %w", err)
	}
	folder := filepath.Join(m.dir, fmt.Sprintf("function-%d", i))
	if err := m.provide(ctx, i, folder); err != nil {
		return "", err
	}
	work := filepath.Join(m.dir, "files", filepath.FromSlash(workdir(m.plan.steps[:i])))
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	env := append(m.commandEnvironment(i), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
	args := []string{filepath.Join(m.dir, "venv", "bin", "python"), filepath.Join(packages, filepath.FromSlash(build.CallProgram)), s.Function.Key, folder}
	tail, err := command(ctx, env, work, redact.New(app.Variables(s.Secrets)), log, args...)
	if err != nil {
		err = fmt.Errorf("%s failed: %w", m.plan.names[i], err)
	}
	// What it was given, and its arguments, are needed no more.
	return tail, errors.Join(err, os.RemoveAll(folder))
}

// provide lays out what the function is given.
func (m *maker) provide(ctx context.Context, i int, folder string) error {
	s := m.plan.steps[i]
	if err := os.MkdirAll(filepath.Join(folder, "root"), 0o700); err != nil {
		return err
	}
	if err := m.files(ctx, folder, s.Files); err != nil {
		return err
	}
	request, err := build.CallRequest(s, filepath.Join(folder, "root"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, build.CallFile), request, 0o600)
}

// workdir is the working directory that steps leave behind.
func workdir(steps []app.Step) string {
	dir := "/root"
	for _, s := range steps {
		if s.Op == app.OpWorkdir {
			dir = s.Path
		}
	}
	return dir
}
