package debian

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkImage is run in a finished image, without network. It fails if
// something that a user expects of the image doesn't work.
const checkImage = `set -e
test -z "$(dpkg --audit)"
test -z "$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | grep -v '^ii ')"
apt-get check
python -c 'import ssl, sqlite3, venv, ctypes, lzma, bz2, zlib, readline; ssl.create_default_context()'
test -s /etc/ssl/certs/ca-certificates.crt
test ! -e /usr/sbin/policy-rc.d
test "$(stat -c %a /tmp)" = 1777
test "$(stat -c %G /etc/shadow)" = shadow
test "$(readlink /bin)" = usr/bin
grep -q libc-bin /var/lib/dpkg/triggers/ldconfig
python -m venv /tmp/venv
/tmp/venv/bin/pip --version
python - <<'END'
import zipfile
with zipfile.ZipFile("/tmp/gxone-1.0-py3-none-any.whl", "w") as z:
    z.writestr("gxone.py", "answer = 42\n")
    z.writestr("gxone-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: gxone\nVersion: 1.0\n")
    z.writestr("gxone-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("gxone-1.0.dist-info/RECORD", "")
END
pip install --no-index /tmp/gxone-1.0-py3-none-any.whl
test "$(python -c 'import gxone; print(gxone.answer)')" = 42
`

// TestRealBase makes a base from the archive of this machine's apt, runs the
// second stage in it and tries it out.
func TestRealBase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("downloads 50 MB")
	}
	opts := Options{Dir: filepath.Join(t.TempDir(), "debian"), Python: "3.11"}
	start := time.Now()
	base, err := Bootstrap(t.Context(), opts, nil)
	var none *NoArchiveError
	var unreachable *UnreachableError
	if errors.As(err, &none) || errors.As(err, &unreachable) {
		t.Skip("needs a Debian archive: ", err)
	}
	require.NoError(t, err)
	t.Logf("first stage: %d packages, %d MB, %s", len(base.Packages), base.Size>>20, time.Since(start))
	require.Equal(t, "bookworm", base.Suite)
	assert.Regexp(t, `^3\.11\.\d+$`, base.PythonVersion)

	again, err := Bootstrap(t.Context(), opts, func(p Progress) { t.Errorf("it is there, but there is work: %+v", p) })
	require.NoError(t, err)
	assert.Equal(t, base, again)

	if os.Getuid() != 0 {
		t.Skip("needs root to run the second stage")
	}
	root := filepath.Join(t.TempDir(), "root")
	extract(t, base, root)
	start = time.Now()
	out, err := inside(t, root, base, base.Configure)
	require.NoError(t, err, out)
	t.Logf("second stage: %s", time.Since(start))
	out, err = inside(t, root, base, checkImage)
	require.NoError(t, err, out)
	list, err := os.ReadFile(filepath.Join(root, "etc/apt/sources.list"))
	require.NoError(t, err)
	assert.Contains(t, string(list), " bookworm main")
	assert.NotContains(t, string(list), "$keyring")
}

// extract unpacks the layer of a base into a folder.
func extract(t *testing.T, b Base, root string) {
	t.Helper()
	require.NoError(t, os.Mkdir(root, 0o755))
	layers, err := filepath.Glob(filepath.Join(b.LayoutDir, "blobs", "sha256", "*"))
	require.NoError(t, err)
	for _, path := range layers {
		if info, err := os.Stat(path); err != nil || info.Size() != b.Size {
			continue
		}
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		z, err := zstd.NewReader(f)
		require.NoError(t, err)
		defer z.Close()
		cmd := exec.CommandContext(t.Context(), "tar", "-x", "-p", "--numeric-owner", "-C", root)
		cmd.Stdin = z
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	t.Fatal("the layout has no layer")
}

// inside runs a script in a folder as the root, in namespaces of its own, so
// that no mount and no process of it is left.
func inside(t *testing.T, root string, b Base, script string) (string, error) {
	t.Helper()
	const enter = `mount -t proc proc "$ROOT/proc" && mount --rbind /dev "$ROOT/dev" && exec chroot "$ROOT" /usr/bin/env -i "$@"`
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "sh", "-c", enter, "enter"}, b.Env...)
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, "/bin/sh", "-c", script)...)
	cmd.Env = append(os.Environ(), "ROOT="+root)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "Operation not permitted") {
		t.Skip("may not make namespaces here: ", string(out))
	}
	return string(out), err
}
