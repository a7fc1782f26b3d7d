package debian

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTarball(t *testing.T) {
	dir := t.TempDir()
	tarball := filepath.Join(dir, "root.tar.gz")
	write := func(files ...file) {
		require.NoError(t, os.WriteFile(tarball, makeTar(t, files), 0o644))
	}
	write(file{"./", tar.TypeDir, 0o755, ""}, file{"./usr/bin/", tar.TypeDir, 0o755, ""}, file{"./usr/bin/python3.11", 0, 0o755, "#!"},
		file{"./usr/bin/python3.13-config", 0, 0o755, "#!"}, file{"./usr/local/bin/python3.10", 0, 0o755, "#!"}, file{"./dev/null", tar.TypeChar, 0o666, ""},
		file{"./usr/bin/python3", tar.TypeSymlink, 0, "python3.11"})
	opts := Options{Dir: filepath.Join(dir, "debian"), Tarball: tarball, AptDir: dir}
	base, err := Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	assert.Equal(t, "3.10", base.Python)
	assert.Equal(t, "/usr/local/bin/python3.10", base.PythonPath)
	assert.Empty(t, base.Configure)
	texts, headers := layerOf(t, base)
	assert.Equal(t, "#!", texts["usr/bin/python3.11"])
	assert.NotContains(t, headers, "dev/null")

	again, err := Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	assert.Equal(t, base, again)

	opts.Python = "3.11"
	_, err = Bootstrap(t.Context(), opts, nil)
	require.ErrorContains(t, err, "has Python 3.10")
	opts.Python = ""

	write(file{"./usr/bin/python3.12", 0, 0o755, "#!"})
	require.NoError(t, os.Chtimes(tarball, time.Time{}, time.Now().Add(time.Second)))
	again, err = Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	assert.Equal(t, "3.12", again.Python, "a changed tarball is read again")
	assert.NotEqual(t, base.Key, again.Key)

	for says, files := range map[string][]file{
		"holds no Python":        {{"./usr/bin/python3.8", 0, 0o755, "#!"}},
		"leads out":              {{"./usr/bin/python3.12", 0, 0o755, "#!"}, {name: "../evil"}},
		"leads out of the packa": {{"./usr/bin/python3.12", 0, 0o755, "#!"}, {"./x", tar.TypeLink, 0, "../../etc/passwd"}},
	} {
		write(files...)
		_, err = Bootstrap(t.Context(), opts, nil)
		require.ErrorContains(t, err, says)
	}
	require.NoError(t, os.WriteFile(tarball, []byte("this is no archive, whatever its name says"), 0o644))
	_, err = Bootstrap(t.Context(), opts, nil)
	require.Error(t, err)
	opts.Tarball += ".not"
	_, err = Bootstrap(t.Context(), opts, nil)
	require.ErrorContains(t, err, SettingTarball)
	left, err := filepath.Glob(filepath.Join(opts.Dir, "bases", ".new-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
