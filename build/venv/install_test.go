package venv

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
)

func TestPackagesByUV(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("uv comes from the package index")
	}
	e := newEngine(t)
	wheels := t.TempDir()
	wheel(t, wheels, "gxone", "1.2", "answer = 42\n")
	image, err := e.Build(t.Context(), request(app.Step{
		Op: app.OpUVPip, Requirements: "gxone>=1\n", Options: []string{"--no-index", "--find-links", wheels},
	}), nil)
	require.NoError(t, err)
	defer image.Release()
	assert.Equal(t, "42", python(t, image, "import gxone; print(gxone.answer)"))
	assert.NoDirExists(t, filepath.Join(filepath.Dir(image.Root().Venv), "install-1"))
}
