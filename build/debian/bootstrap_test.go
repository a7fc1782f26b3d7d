package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layerOf unpacks the layer of a base: contents and headers by name.
func layerOf(t *testing.T, b Base) (map[string]string, map[string]*tar.Header) {
	t.Helper()
	var manifest v1.Manifest
	blobs := filepath.Join(b.LayoutDir, "blobs", "sha256")
	require.NoError(t, readJSON(filepath.Join(blobs, strings.TrimPrefix(b.Digest, "sha256:")), &manifest))
	require.Len(t, manifest.Layers, 1)
	f, err := os.Open(filepath.Join(blobs, manifest.Layers[0].Digest.Encoded()))
	require.NoError(t, err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer z.Close()
	texts, headers := map[string]string{}, map[string]*tar.Header{}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return texts, headers
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NotContains(t, headers, h.Name, "a name comes once")
		texts[h.Name], headers[h.Name] = string(data), h
	}
}

func TestBootstrapFromAnArchive(t *testing.T) {
	a := newFakeArchive(t)
	a.publish("bookworm", "", a.core("3.11.2")...)
	opts := a.options()
	opts.Python = "3.11"
	var phases []Phase
	base, err := Bootstrap(t.Context(), opts, func(p Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	})
	require.NoError(t, err)
	assert.Equal(t, []Phase{PhaseResolve, PhaseDownload, PhaseUnpack}, phases)
	assert.Equal(t, "3.11", base.Python)
	assert.Equal(t, "3.11.2", base.PythonVersion)
	assert.Equal(t, "/usr/bin/python3.11", base.PythonPath)
	assert.Equal(t, "bookworm", base.Suite)
	assert.Len(t, base.Packages, 7)
	assert.Empty(t, base.Notes)
	assert.Contains(t, base.Configure, "/etc/apt/keyrings/gx-archive-0.asc", "the archive's own key goes along")

	texts, headers := layerOf(t, base)
	assert.Equal(t, "usr/bin", headers["bin"].Linkname)
	assert.Equal(t, int64(0o1777), headers["tmp/"].Mode)
	assert.Equal(t, "fake\n", texts["etc/issue"])
	assert.Contains(t, texts["var/lib/dpkg/status"], "Package: apt\nStatus: install ok unpacked\nVersion: 2\n")
	assert.Contains(t, texts["var/lib/dpkg/info/base-files.list"], "/.\n/tmp\n/bin\n/etc/issue\n")

	t.Run("again without network", func(t *testing.T) {
		a.asked()
		again, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err)
		assert.Equal(t, base, again)
		assert.Empty(t, a.asked())
	})
	t.Run("the same packages give the same digest elsewhere", func(t *testing.T) {
		other := opts
		other.Dir = t.TempDir()
		again, err := Bootstrap(t.Context(), other, nil)
		require.NoError(t, err)
		assert.Equal(t, base.Digest, again.Digest)
	})
	t.Run("made again after Clean, from the lock", func(t *testing.T) {
		_, err := Clean(t.Context(), opts.Dir, true)
		require.NoError(t, err)
		a.asked()
		again, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err)
		assert.Equal(t, base, again)
		for _, path := range a.asked() {
			assert.Contains(t, path, "pool/")
		}
	})
	t.Run("locked until refreshed", func(t *testing.T) {
		debs := a.core("3.11.2")
		debs[1] = makeDeb(t, "Package: apt\nVersion: 2.1\nArchitecture: all\n", nil, nil)
		a.publish("bookworm", "", debs...)
		again, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err)
		assert.Equal(t, base.Digest, again.Digest)
		refreshed := opts
		refreshed.Refresh = true
		again, err = Bootstrap(t.Context(), refreshed, nil)
		require.NoError(t, err)
		assert.NotEqual(t, base.Digest, again.Digest)
		now, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err)
		assert.Equal(t, again.Digest, now.Digest)
	})
	t.Run("locked packages that are gone are resolved anew", func(t *testing.T) {
		_, err := Clean(t.Context(), opts.Dir, true)
		require.NoError(t, err)
		debs := a.core("3.11.2")
		debs[1] = makeDeb(t, "Package: apt\nVersion: 2.2\nArchitecture: all\n", nil, nil)
		a.publish("bookworm", "", debs...)
		a.mu.Lock()
		delete(a.files, "pool/apt_2.1.deb")
		a.mu.Unlock()
		again, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err)
		assert.Contains(t, again.Packages[0].Version, "2.2")
	})
}

func TestChoiceOfSuite(t *testing.T) {
	t.Parallel()
	a := newFakeArchive(t)
	a.publish("bullseye", "", a.core("3.9.2")...)
	a.publish("bookworm", "", a.core("3.11.2")...)
	a.publish("sid", "", a.core("3.14.1")...)
	opts := a.options()
	for _, c := range []struct{ python, near, suite string }{
		{"3.9", "", "bullseye"},
		{"", "3.9", "bullseye"},
		{"", "3.8", "bullseye"},
		{"", "3.10", "bookworm"}, // equally near: the newer
		{"", "", "bookworm"},     // trixie is not in the archive
		{"", "3.14", "sid"},
		{"3.14", "3.9", "sid"},
		{"", "3.20", "bookworm"},
	} {
		opts.Python, opts.Near = c.python, c.near
		base, err := Bootstrap(t.Context(), opts, nil)
		require.NoError(t, err, "%+v", c)
		assert.Equal(t, c.suite, base.Suite, "%+v", c)
	}
	opts.Python = "3.12"
	_, err := Bootstrap(t.Context(), opts, nil)
	var version *VersionError
	require.ErrorAs(t, err, &version)
	assert.Equal(t, []Version{{"3.9", "debian", "bullseye"}, {"3.11", "debian", "bookworm"}, {"3.14", "debian", "sid"}}, version.Available)
	assert.Contains(t, err.Error(), "which has 3.9 (debian bullseye), 3.11 (debian bookworm), 3.14 (debian sid)")
	opts.Python = "2.7"
	_, err = Bootstrap(t.Context(), opts, nil)
	require.ErrorContains(t, err, "not a version of Python 3")
}

func TestSecuritySuite(t *testing.T) {
	a := newFakeArchive(t)
	a.publish("bookworm", "", a.core("3.11.2")...)
	a.publish("bookworm-security", "", makeDeb(t, "Package: apt\nVersion: 2+deb12u1\nArchitecture: all\n", nil, nil))
	opts := a.options()
	opts.Sources += strings.Replace(opts.Sources, "bookworm", "bookworm-security", 1) + strings.Replace(opts.Sources, "bookworm", "bookworm-updates", 1)
	base, err := Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	assert.Equal(t, "2+deb12u1", base.Packages[0].Version)
	require.Len(t, base.Notes, 1)
	assert.Contains(t, base.Notes[0], "has no suite bookworm-updates")
	assert.Contains(t, base.Configure, "bookworm-security main")
	assert.NotContains(t, base.Configure, "bookworm-updates main")
}

func TestUntrustworthyArchives(t *testing.T) {
	t.Parallel()
	a := newFakeArchive(t)
	good := func() { a.publish("bookworm", "", a.core("3.11.2")...) }
	for name, c := range map[string]struct {
		prepare func(*Options)
		says    string
	}{
		"tampered release file": {func(*Options) {
			a.setMangle(func(path string, data []byte) []byte {
				if strings.HasSuffix(path, "InRelease") {
					return bytes.Replace(data, []byte("Origin: Debian"), []byte("Origin: Debiam"), 1)
				}
				return data
			})
		}, "the signature of"},
		"unsigned release file": {func(*Options) {
			a.setMangle(func(path string, data []byte) []byte {
				if strings.HasSuffix(path, "InRelease") {
					return unsigned(data)
				}
				return data
			})
		}, "it is not signed"},
		"signed by another key": {func(o *Options) {
			o.Sources = strings.Replace(o.Sources, a.keyring, newFakeArchive(t).keyring, 1)
		}, "the signature of"},
		"no keyring": {func(o *Options) {
			o.Sources = strings.Replace(o.Sources, a.keyring, a.keyring+".not", 1)
		}, "doesn't exist"},
		"another suite's release file": {func(*Options) {
			a.publish("bullseye", "", a.core("3.9.2")...)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.files["dists/bookworm/InRelease"] = a.files["dists/bullseye/InRelease"]
		}, `it is the release file of "bullseye"`},
		"expired release file": {func(*Options) {
			a.publish("bookworm", "Valid-Until: Mon, 02 Jan 2006 15:04:05 UTC\n", a.core("3.11.2")...)
		}, "expired on Mon, 02 Jan 2006"},
		"tampered index": {func(*Options) {
			a.setMangle(func(path string, data []byte) []byte {
				if strings.Contains(path, "by-hash") {
					return append([]byte{data[0] ^ 1}, data[1:]...)
				}
				return data
			})
		}, "it is corrupt"},
		"tampered package": {func(*Options) {
			a.setMangle(func(path string, data []byte) []byte {
				if strings.Contains(path, "pool/apt") {
					return append(append([]byte(nil), data[:len(data)-1]...), data[len(data)-1]^1)
				}
				return data
			})
		}, "it is corrupt"},
		"truncated package": {func(*Options) {
			a.setMangle(func(path string, data []byte) []byte {
				if strings.Contains(path, "pool/apt") {
					return data[:len(data)/2]
				}
				return data
			})
		}, "it ended after"},
		"package that leads out of the base": {func(*Options) {
			a.publish("bookworm", "", append(a.core("3.11.2"), makeDeb(t, "Package: evil\nVersion: 1\nEssential: yes\nArchitecture: all\n", nil, []file{{name: "./../../etc/cron.d/evil", text: "x"}}))...)
		}, "leads out of the package"},
	} {
		t.Run(name, func(t *testing.T) {
			a.setMangle(nil)
			good()
			opts := a.options()
			c.prepare(&opts)
			_, err := Bootstrap(t.Context(), opts, nil)
			require.ErrorContains(t, err, c.says)
			bases, _ := os.ReadDir(filepath.Join(opts.Dir, "bases"))
			assert.Empty(t, bases, "nothing is left that could be used")
			locks, _ := os.ReadDir(filepath.Join(opts.Dir, "locks"))
			assert.Empty(t, locks)

			a.setMangle(nil)
			good()
			fixed := a.options()
			fixed.Dir = opts.Dir
			_, err = Bootstrap(t.Context(), fixed, nil)
			require.NoError(t, err, "the next attempt works")
		})
	}
}

// A machine whose apt is told not to mind stale or unsigned files is obeyed, and it is said.
func TestAptSettingsAreHonoured(t *testing.T) {
	a := newFakeArchive(t)
	a.publish("bookworm", "Valid-Until: Mon, 02 Jan 2006 15:04:05 UTC\n", a.core("3.11.2")...)
	opts := a.options()
	require.NoError(t, os.MkdirAll(filepath.Join(opts.AptDir, "apt.conf.d"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(opts.AptDir, "apt.conf.d", "99date"), []byte(`Acquire { Check-Valid-Until "false"; };`), 0o644))
	base, err := Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	require.Len(t, base.Notes, 1)
	assert.Contains(t, base.Notes[0], "expired")
	assert.Contains(t, base.Configure, "check-valid-until=no")

	opts = a.options()
	opts.Sources = strings.Replace(opts.Sources, "signed-by="+a.keyring, "trusted=yes check-valid-until=no", 1)
	base, err = Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	require.Len(t, base.Notes, 2)
	assert.Contains(t, base.Notes[0], "without a signature")
}

func TestTwoAtOnceDoTheWorkOnce(t *testing.T) {
	a := newFakeArchive(t)
	a.publish("bookworm", "", a.core("3.11.2")...)
	opts := a.options()
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			_, err := Bootstrap(t.Context(), opts, nil)
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	seen := map[string]int{}
	for _, path := range a.asked() {
		seen[path]++
	}
	for path, n := range seen {
		if strings.HasPrefix(path, "pool/") {
			assert.Equal(t, 1, n, path)
		}
	}
}

func TestCancelAndResume(t *testing.T) {
	t.Parallel()
	a := newFakeArchive(t)
	debs := a.core("3.11.2")
	a.publish("bookworm", "", debs...)
	opts := a.options()
	opts.Python = "3.11"
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Bootstrap(ctx, opts, func(p Progress) {
		if p.Phase == PhaseUnpack {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	a.asked()
	_, err = Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	for _, path := range a.asked() {
		assert.NotContains(t, path, "pool/", "what was downloaded is not downloaded again")
	}
	// A copy that rots on disk is downloaded anew.
	require.NoError(t, os.RemoveAll(filepath.Join(opts.Dir, "bases")))
	files, err := filepath.Glob(filepath.Join(opts.Dir, "debs", "*.deb"))
	require.NoError(t, err)
	rotten, err := os.ReadFile(files[0])
	require.NoError(t, err)
	rotten[len(rotten)/2] ^= 1
	require.NoError(t, os.WriteFile(files[0], rotten, 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(opts.Dir, "bases", ".new-killed"), 0o755))
	_, err = Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	assert.Len(t, a.asked(), 1)

	left, err := filepath.Glob(filepath.Join(opts.Dir, "bases", ".new-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestNoArchive(t *testing.T) {
	t.Parallel()
	_, err := Bootstrap(t.Context(), Options{Dir: t.TempDir(), AptDir: t.TempDir()}, nil)
	var none *NoArchiveError
	require.ErrorAs(t, err, &none)
	assert.Contains(t, err.Error(), SettingSources)

	// An archive that nobody listens at.
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	opts := Options{Dir: t.TempDir(), AptDir: t.TempDir(), Sources: "deb " + dead.URL + "/debian bookworm main"}
	start := time.Now()
	_, err = Bootstrap(t.Context(), opts, nil)
	var unreachable *UnreachableError
	require.ErrorAs(t, err, &unreachable)
	assert.Contains(t, err.Error(), "connection refused")
	assert.Contains(t, err.Error(), "names a mirror")
	assert.Less(t, time.Since(start), 2*time.Minute)
}

func TestCleanLeavesOthersAlone(t *testing.T) {
	freed, err := Clean(t.Context(), filepath.Join(t.TempDir(), "never-made"), true)
	require.NoError(t, err)
	assert.Zero(t, freed)
	a := newFakeArchive(t)
	a.publish("bookworm", "", a.core("3.11.2")...)
	opts := a.options()
	base, err := Bootstrap(t.Context(), opts, nil)
	require.NoError(t, err)
	freed, err = Clean(t.Context(), opts.Dir, false)
	require.NoError(t, err)
	assert.Positive(t, freed)
	_, _, err = findLayout(base.LayoutDir)
	require.NoError(t, err)
	assert.NoDirExists(t, filepath.Join(opts.Dir, "debs"))
}
