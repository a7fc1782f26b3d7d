package debian

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkTree unpacks packages and checks that the stream is one that can be
// extracted by a program that trusts it: no name leads out, and none passes
// through a link.
func checkTree(t *testing.T, debs ...*deb) (map[string]string, map[string]*tar.Header, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootfs(&out)
	for _, d := range debs {
		if err := root.add(d); err != nil {
			return nil, nil, err
		}
	}
	if err := root.close("amd64"); err != nil {
		return nil, nil, err
	}
	texts, headers := map[string]string{}, map[string]*tar.Header{}
	r := tar.NewReader(&out)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return texts, headers, nil
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		name := strings.TrimSuffix(h.Name, "/")
		require.True(t, filepath.IsLocal(name), name)
		require.NotContains(t, headers, name)
		for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
			require.Contains(t, headers, dir, name)
			require.Equal(t, byte(tar.TypeDir), headers[dir].Typeflag, "%s is written through %s", name, dir)
		}
		if h.Typeflag == tar.TypeLink {
			require.Contains(t, headers, h.Linkname)
		}
		texts[name], headers[name] = string(data), h
	}
}

func mustDeb(t *testing.T, name, more string, info []file, data ...file) *deb {
	t.Helper()
	d, err := readDeb(makeDeb(t, "Package: "+name+"\nVersion: 1\nArchitecture: amd64\n"+more, info, data))
	require.NoError(t, err)
	return d
}

func TestRootfs(t *testing.T) {
	texts, headers, err := checkTree(t,
		mustDeb(t, "libone", "Multi-Arch: same\nDescription: x\n", []file{{name: "triggers", text: "interest ldconfig\ninterest-noawait /usr/lib/x\nactivate other\n"}, {name: "postinst", text: "#!"}},
			file{"./lib64/", tar.TypeDir, 0o755, ""}, file{"./lib64/ld.so", tar.TypeSymlink, 0, "/lib/ld-2.so"},
			file{"./sbin/tool", 0, 0o4755, "bin"}, file{"./usr/sbin/again", tar.TypeLink, 0, "./sbin/tool"},
			file{name: "./etc/one.conf", text: "a\n"}, file{name: "./usr/share/doc/libone/README", text: "x"}, file{name: "./usr/share/doc/libone/copyright", text: "c"},
			file{"./usr/share/man/man1/", tar.TypeDir, 0o755, ""}, file{name: "./usr/share/man/man1/one.1.gz", text: "x"}),
		mustDeb(t, "conf", "", []file{{name: "conffiles", text: "/etc/two.conf\nremove-on-upgrade /etc/gone\n"}},
			file{name: "./etc/two.conf", text: "b\n"}, file{"./var/run", tar.TypeSymlink, 0, "/run"}, file{"./run/", tar.TypeDir, 0o755, ""}, file{name: "./var/run/pid", text: "1"},
			file{"./lib64", tar.TypeSymlink, 0, "usr/lib64"}),
	)
	require.NoError(t, err)
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		assert.Equal(t, "usr/"+link, headers[link].Linkname)
	}
	assert.NotContains(t, headers, "lib32", "only what is used")
	assert.Equal(t, int64(0o4755), headers["usr/sbin/tool"].Mode)
	assert.Equal(t, "usr/sbin/tool", headers["usr/sbin/again"].Linkname)
	assert.Equal(t, "/lib/ld-2.so", headers["usr/lib64/ld.so"].Linkname)
	assert.Equal(t, "1", texts["run/pid"], "a link of another package is followed")
	assert.Contains(t, headers, "usr/share/doc/libone/copyright")
	assert.NotContains(t, headers, "usr/share/doc/libone/README")
	assert.Contains(t, headers, "usr/share/man/man1", "packages put links there")
	assert.NotContains(t, headers, "usr/share/man/man1/one.1.gz")
	assert.Contains(t, texts["var/lib/dpkg/info/libone:amd64.list"], "/usr/share/doc/libone/README\n")
	assert.Equal(t, int64(0o755), headers["var/lib/dpkg/info/libone:amd64.postinst"].Mode)
	assert.Equal(t, "libone:amd64\n", texts["var/lib/dpkg/triggers/ldconfig"])
	assert.Equal(t, "/usr/lib/x libone:amd64/noawait\n", texts["var/lib/dpkg/triggers/File"])
	assert.Equal(t, "Package: libone\nStatus: install ok unpacked\nVersion: 1\nArchitecture: amd64\nMulti-Arch: same\nDescription: x\n\n"+
		"Package: conf\nStatus: install ok unpacked\nVersion: 1\nArchitecture: amd64\nConffiles:\n /etc/two.conf 3b5d5c3712955042212316173ccf37be\n\n", texts["var/lib/dpkg/status"])
}

func TestRootfsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files []file
		says  string
	}{
		"a link loop":              {[]file{{"./a", tar.TypeSymlink, 0, "b"}, {"./b", tar.TypeSymlink, 0, "a"}, {name: "./a/x"}}, "too many symbolic links"},
		"a file as a folder":       {[]file{{name: "./a"}, {name: "./a/b"}}, "is not a folder"},
		"a file twice":             {[]file{{name: "./a", text: "1"}, {name: "./a", text: "2"}}, "has brought it already"},
		"a hard link to nothing":   {[]file{{"./a", tar.TypeLink, 0, "./b"}}, "hard link"},
		"a hard link to a folder":  {[]file{{"./b", tar.TypeDir, 0o755, ""}, {"./a", tar.TypeLink, 0, "./b"}}, "hard link"},
		"a link in the merged dir": {[]file{{"./bin", tar.TypeSymlink, 0, "/tmp"}}, "has brought it already"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := checkTree(t, mustDeb(t, "evil", "", nil, c.files...))
			require.ErrorContains(t, err, c.says)
		})
	}
}

// A link that points out of the file system is followed inside of it.
func TestLinksStayInside(t *testing.T) {
	texts, _, err := checkTree(t, mustDeb(t, "evil", "", nil,
		file{"./out", tar.TypeSymlink, 0, "../../../../etc"}, file{name: "./out/passwd", text: "x"},
		file{"./var/lib/dpkg", tar.TypeSymlink, 0, "/elsewhere"}))
	require.NoError(t, err)
	assert.Equal(t, "x", texts["etc/passwd"])
	assert.Contains(t, texts, "elsewhere/status", "dpkg's database goes where the link points, inside")
}
