package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/stretchr/testify/require"
)

// file is one entry of a package that a test makes.
type file struct {
	name string
	kind byte // a tar type flag; 0 = a regular file
	mode int64
	text string // content, or the target of a link
}

// makeTar writes a gzipped tar archive.
func makeTar(t testing.TB, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		switch h.Typeflag {
		case tar.TypeReg:
			h.Size = int64(len(f.text))
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = f.text
		}
		require.NoError(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(f.text))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return out.Bytes()
}

// makeAr writes an ar archive of alternating names and contents.
func makeAr(members ...string) []byte {
	out := bytes.NewBufferString("!<arch>\n")
	for i := 0; i < len(members); i += 2 {
		fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", members[i], 0, 0, 0, "100644", len(members[i+1]), members[i+1])
		if len(members[i+1])%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// makeDeb writes a package.
func makeDeb(t testing.TB, control string, info, data []file) []byte {
	t.Helper()
	return makeAr("debian-binary", "2.0\n",
		"control.tar.gz", string(makeTar(t, append([]file{{name: "./control", text: control}}, info...))),
		"data.tar.gz", string(makeTar(t, data)))
}

// fakeArchive is a signed package archive on loopback.
type fakeArchive struct {
	t       *testing.T
	server  *httptest.Server
	key     *openpgp.Entity
	keyring string

	mu       sync.Mutex
	files    map[string][]byte
	requests []string
	mangle   func(path string, data []byte) []byte // what is sent instead
}

func newFakeArchive(t *testing.T) *fakeArchive {
	t.Helper()
	key, err := openpgp.NewEntity("archive", "", "archive@example.invalid", nil)
	require.NoError(t, err)
	a := &fakeArchive{t: t, key: key, files: map[string][]byte{}}
	text, err := armored(openpgp.EntityList{key})
	require.NoError(t, err)
	a.keyring = filepath.Join(t.TempDir(), "archive.asc")
	require.NoError(t, os.WriteFile(a.keyring, []byte(text), 0o644))
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.server.Close)
	return a
}

func (a *fakeArchive) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	path := strings.TrimPrefix(r.URL.Path, "/debian/")
	data, ok := a.files[path]
	a.requests = append(a.requests, path)
	if ok && a.mangle != nil {
		data = a.mangle(path, data)
	}
	a.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// asked returns the paths asked for since the last call.
func (a *fakeArchive) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	paths := a.requests
	a.requests = nil
	return paths
}

func (a *fakeArchive) setMangle(fn func(path string, data []byte) []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mangle = fn
}

// core are the packages of the smallest archive that Bootstrap accepts.
func (a *fakeArchive) core(python string) [][]byte {
	t, short := a.t, minorVersion(python)
	one := func(name, version, more string, data ...file) []byte {
		return makeDeb(t, fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\n%sDescription: test\n", name, version, more), nil, data)
	}
	return [][]byte{
		one("base-files", "12", "Essential: yes\n", file{"./", tar.TypeDir, 0o755, ""}, file{"./tmp/", tar.TypeDir, 0o1777, ""},
			file{"./bin/", tar.TypeDir, 0o755, ""}, file{name: "./etc/issue", text: "fake\n"}),
		one("apt", "2", ""),
		one("ca-certificates", "1", ""),
		one("python3", python+"-1+b1", "Depends: python"+short+" (>= "+python+"-1~)\n"),
		one("python"+short, python+"-6", "", file{name: "./usr/bin/python" + short, mode: 0o755, text: "#!"}),
		one("python3-pip", "23", "Depends: python3:any\n"),
		one("python3-venv", python, "Depends: python3\n"),
	}
}

// publish makes the packages a suite, in place of what it was. more are lines
// for the release file.
func (a *fakeArchive) publish(suite, more string, debs ...[]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var index bytes.Buffer
	for _, data := range debs {
		// Only the control archive: some tests publish packages that are refused.
		members, err := readAr(data)
		require.NoError(a.t, err)
		d := deb{info: map[string][]byte{}}
		require.NoError(a.t, d.readControl(members[1]))
		path := fmt.Sprintf("pool/%s_%s.deb", d.control.field("Package"), d.control.field("Version"))
		sum := sha256.Sum256(data)
		fmt.Fprintf(&index, "%sFilename: %s\nSize: %d\nSHA256: %s\n\n", d.control, path, len(data), hex.EncodeToString(sum[:]))
		a.files[path] = data
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(index.Bytes())
	require.NoError(a.t, err)
	require.NoError(a.t, z.Close())
	sum := sha256.Sum256(packed.Bytes())
	folder := "main/binary-amd64/"
	a.files["dists/"+suite+"/"+folder+"by-hash/SHA256/"+hex.EncodeToString(sum[:])] = packed.Bytes()
	release := fmt.Sprintf("Origin: Debian\nCodename: %s\n%sAcquire-By-Hash: yes\nSHA256:\n %s %d %sPackages.gz\n",
		suite, more, hex.EncodeToString(sum[:]), packed.Len(), folder)
	a.files["dists/"+suite+"/InRelease"] = a.sign(release)
}

func (a *fakeArchive) sign(text string) []byte {
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, a.key.PrivateKey, nil)
	require.NoError(a.t, err)
	_, err = w.Write([]byte(text))
	require.NoError(a.t, err)
	require.NoError(a.t, w.Close())
	return out.Bytes()
}

// options are those for a bootstrap from the archive.
func (a *fakeArchive) options() Options {
	return Options{
		Dir:     filepath.Join(a.t.TempDir(), "debian"),
		Arch:    "amd64",
		AptDir:  a.t.TempDir(),
		Sources: fmt.Sprintf("deb [signed-by=%s] %s/debian bookworm main\n", a.keyring, a.server.URL),
		Client:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}
