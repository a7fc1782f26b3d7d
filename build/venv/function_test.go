package venv

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/sdk"
)

// calling is a request whose last step calls f of a module.
func calling(key, source string, before ...app.Step) build.Request {
	sum := sha256.Sum256([]byte(source))
	req := request(append(before, app.Step{
		Op:       app.OpFunction,
		Function: &app.BuildFunction{Name: "f", Key: key, Module: "weights", Qualname: "f"},
		Secrets:  []app.Secret{{Values: map[string]string{"TOKEN": "planted-value"}}},
		Files:    []app.File{{Remote: "/root/weights.py", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(source)), Mode: 0o644}},
	})...)
	req.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(source)), nil }
	return req
}

func TestFunction(t *testing.T) {
	t.Parallel()
	packages := t.TempDir()
	e, err := New(Options{Dir: t.TempDir(), SDK: func() (string, error) { return sdk.Extract(packages) }})
	require.NoError(t, err)
	defer e.Close()
	wheels := t.TempDir()
	wheel(t, wheels, "gxone", "1.2", "answer = 42\n")
	before := []app.Step{offline(wheels, "gxone"), {Op: app.OpWorkdir, Path: "/data"}}

	const source = "import os, gxone\ndef f():\n    print('with', os.environ['TOKEN'])\n    open('answer', 'a').write(f'{gxone.answer} ')\n"
	var events []build.Event
	image, err := e.Build(t.Context(), calling("one", source, before...), collect(&events))
	require.NoError(t, err)
	defer image.Release()
	dir := filepath.Dir(image.Root().Venv)
	wrote := filepath.Join(dir, "files", "data", "answer")
	text, err := os.ReadFile(wrote)
	require.NoError(t, err)
	assert.Equal(t, "42 ", string(text))
	assert.Contains(t, logOf(events), "with [TOKEN]\n")
	assert.Contains(t, strings.Join(image.Unhonoured(), "\n"), "run_function f: it ran on this machine itself, as you, in "+filepath.Dir(wrote))
	assert.NoDirExists(t, filepath.Join(dir, "function-3"), "what it was given is gone")

	again, err := e.Build(t.Context(), calling("one", source+"\n# other\n", before...), nil)
	require.NoError(t, err)
	defer again.Release()
	assert.Equal(t, image.Root(), again.Root())
	other, err := e.Build(t.Context(), calling("two", source, before...), nil)
	require.NoError(t, err)
	defer other.Release()
	assert.NotEqual(t, image.Root(), other.Root())

	events = nil
	_, err = e.Build(t.Context(), calling("three", "def f(): raise KeyError('planted-value')\n"), collect(&events))
	var failed *build.StepError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, 1, failed.Code)
	assert.Contains(t, failed.Log, "KeyError: '[TOKEN]'")
	assert.NotContains(t, logOf(events), "planted-value")
}

func logOf(events []build.Event) string {
	var log strings.Builder
	for _, e := range events {
		log.WriteString(e.Data)
	}
	return log.String()
}

func TestFunctionWithoutSDK(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	image, err := e.Build(t.Context(), calling("one", "def f(): 1 / 0\n"), nil)
	require.NoError(t, err)
	defer image.Release()
	assert.Contains(t, strings.Join(image.Unhonoured(), "\n"), "run_function f: there is no SDK that it could run with")

	broken, err := New(Options{Dir: t.TempDir(), SDK: func() (string, error) { return "", errors.New("no room") }})
	require.NoError(t, err)
	_, err = broken.Build(t.Context(), calling("one", ""), nil)
	require.ErrorContains(t, err, "no room")
}
