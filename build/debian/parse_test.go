package debian

import (
	"archive/tar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSources(t *testing.T) {
	dir := t.TempDir()
	mirrors := filepath.Join(dir, "mirrors.list")
	require.NoError(t, os.WriteFile(mirrors, []byte("# near\nhttps://near.example/debian/\tpriority:1\nhttps://far.example/debian\n"), 0o644))
	plain := func(s source) string {
		out := s.URI + " " + s.Suite + " " + strings.Join(s.Components, "+")
		for _, by := range s.SignedBy {
			out += " by=" + by
		}
		if s.Key != "" {
			out += " key"
		}
		if s.Trusted {
			out += " trusted"
		}
		if !s.ValidUntil {
			out += " stale-ok"
		}
		if len(s.Arches) > 0 {
			out += " arch=" + strings.Join(s.Arches, "+")
		}
		return out
	}
	for name, c := range map[string]struct {
		text    string
		want    []string
		problem string
	}{
		"empty":           {"", nil, ""},
		"comments only":   {"# deb http://a.example/ x main\n\n", nil, ""},
		"one line":        {"deb http://a.example/debian/ bookworm main contrib\n", []string{"http://a.example/debian bookworm main+contrib"}, ""},
		"sources skipped": {"deb-src http://a.example/ x main\ndeb http://a.example x main # note\n", []string{"http://a.example x main"}, ""},
		"tabs":            {"deb\thttp://a.example\tx\tmain", []string{"http://a.example x main"}, ""},
		"options": {"deb [ arch=amd64,arm64 signed-by=/k.gpg,/l.gpg trusted=yes check-valid-until=no ] http://a.example x main",
			[]string{"http://a.example x main by=/k.gpg by=/l.gpg trusted stale-ok arch=amd64+arm64"}, ""},
		"credentials":       {"deb https://me:secret@a.example/d x main", []string{"https://a.example/d x main"}, ""},
		"file":              {"deb file:/srv/mirror x main", []string{"file:/srv/mirror x main"}, ""},
		"copy":              {"deb copy:///srv/mirror x main", []string{"file:///srv/mirror x main"}, ""},
		"mirror list":       {"deb mirror+file:" + mirrors + " x main", []string{"https://near.example/debian x main"}, ""},
		"cdrom":             {"deb cdrom:[Debian]/ x main\ndeb http://a.example x main", []string{"http://a.example x main"}, "not supported"},
		"no suite":          {"deb http://a.example\n", nil, "needs an address and a suite"},
		"open bracket":      {"deb [arch=amd64 http://a.example x main", nil, "no closing bracket"},
		"suite that climbs": {"deb http://a.example ../../x main", nil, "is not a suite"},
		"component":         {"deb http://a.example x ../main", nil, "is not a component"},
		"unknown word":      {"rpm http://a.example x main", nil, "unknown type"},
		"deb822": {"# a\nTypes: deb deb-src\n# b\nURIs: http://a.example/d https://b.example\nSuites: x x-updates\nComponents: main\n other\nSigned-By: /k.gpg\n",
			[]string{"http://a.example/d x main+other by=/k.gpg", "http://a.example/d x-updates main+other by=/k.gpg", "https://b.example x main+other by=/k.gpg", "https://b.example x-updates main+other by=/k.gpg"}, ""},
		"deb822 disabled":    {"Types: deb\nURIs: http://a.example\nSuites: x\nEnabled: no\n\nTypes: deb\nURIs: http://b.example\nSuites: x\nComponents: main\nArchitectures: amd64", []string{"http://b.example x main arch=amd64"}, ""},
		"deb822 source only": {"Types: deb-src\nURIs: http://a.example\nSuites: x\n", nil, ""},
		"deb822 key":         {"Types: deb\nURIs: http://a.example\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n", []string{"http://a.example x main key"}, ""},
		"deb822 incomplete":  {"Types: deb\nURIs: http://a.example\n", nil, "needs URIs and Suites"},
	} {
		t.Run(name, func(t *testing.T) {
			sources, err := parseSources([]byte(c.text), "test")
			if c.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.problem)
				assert.NotContains(t, err.Error(), "secret")
			}
			got := make([]string, 0, len(sources))
			for _, s := range sources {
				got = append(got, plain(s))
			}
			assert.Equal(t, append([]string{}, c.want...), got)
		})
	}
}

func TestEmbeddedKeyIsUnfolded(t *testing.T) {
	sources, err := parseSources([]byte("Types: deb\nURIs: http://a.example\nSuites: x\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n"), "test")
	require.NoError(t, err)
	assert.Equal(t, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n", sources[0].Key)
}

func TestMachineSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("sources.list", "deb http://a.example/debian bookworm main\n")
	write("sources.list.d/third.list", "deb [signed-by=/usr/share/keyrings/third.gpg] http://third.example/apt bookworm main\n")
	write("sources.list.d/own.sources", "Types: deb\nURIs: http://b.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"+
		"Types: deb\nURIs: http://b.example/debian-security\nSuites: bookworm-security\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n")
	write("sources.list.d/old.list.disabled", "deb http://no.example x main\n")
	write("sources.list.d/broken.list", "deb [ http://no.example x main\n")
	sources, problems := machineSources(dir)
	assert.Len(t, problems, 1)
	require.Len(t, sources, 5)
	archives := findArchives(sources, "amd64")
	require.Len(t, archives, 1)
	assert.Equal(t, "http://b.example/debian", archives[0].Main.URI, "the one with the distribution's own keyring")
	require.NotNil(t, archives[0].Security)
	assert.Equal(t, "http://b.example/debian-security", archives[0].Security.URI)
	trixie := archives[0].of(suite{"debian", "trixie", "3.13"})
	names := make([]string, 0, len(trixie))
	for _, s := range trixie {
		names = append(names, s.URI+" "+s.Suite)
	}
	assert.Equal(t, []string{"http://b.example/debian trixie", "http://b.example/debian trixie-updates", "http://b.example/debian-security trixie-security"}, names)
	assert.Len(t, archives[0].of(suite{"debian", "sid", ""}), 1)
}

func FuzzParseSources(f *testing.F) {
	f.Add([]byte("deb [arch=amd64 signed-by=/a] http://a.example/ bookworm main\n"))
	f.Add([]byte("Types: deb\nURIs: http://a.example\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n"))
	f.Add([]byte("deb mirror+file:/nowhere x main\n# c\ndeb cdrom:[x]/ y main"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sources, _ := parseSources(text, "fuzz")
		for _, s := range sources {
			u, err := url.Parse(s.URI)
			require.NoError(t, err)
			assert.Contains(t, []string{"http", "https", "file"}, u.Scheme)
			assert.Nil(t, u.User)
			assert.True(t, safeRelative(s.Suite))
			for _, c := range s.Components {
				assert.True(t, safeRelative(c))
			}
		}
		findArchives(sources, "amd64")
	})
}

func TestAptConfig(t *testing.T) {
	c := aptConfig{}
	c.parse(`// comment
Acquire::http::Proxy "http://proxy.example:3128"; # another
Acquire { https { Proxy "DIRECT"; Proxy::special.example "http://other.example:1/"; }; Check-Valid-Until "false"; /* x */ };
APT::NeverAutoRemove { "^a.*"; "^b$"; };
DPkg::Post-Invoke { "rm -f /x || true"; };`)
	at := func(address string) string {
		u, err := url.Parse(address)
		require.NoError(t, err)
		proxy, found := c.proxy(u)
		switch {
		case !found:
			return "unknown"
		case proxy == nil:
			return "direct"
		}
		return proxy.Host
	}
	assert.Equal(t, "proxy.example:3128", at("http://a.example/"))
	assert.Equal(t, "direct", at("https://a.example/"))
	assert.Equal(t, "other.example:1", at("https://special.example/"))
	assert.Equal(t, "unknown", at("ftp://a.example/"))
	assert.False(t, c.checksValidUntil())
	assert.True(t, aptConfig{}.checksValidUntil())
}

func FuzzAptConfig(f *testing.F) {
	f.Add(`A::B "c"; D { E { F "g"; }; };`)
	f.Add(`/* // " { } ;`)
	f.Add(strings.Repeat("a{", 100) + "b \"c\";")
	f.Fuzz(func(t *testing.T, text string) { aptConfig{}.parse(text) })
}

func TestLogins(t *testing.T) {
	logins := parseLogins("# note\nmachine a.example/debian login me password secret\nmachine http://b.example\n login you\n password other\nmachine c.example")
	require.Len(t, logins, 3)
	match := func(l login, address string) bool {
		u, err := url.Parse(address)
		require.NoError(t, err)
		return l.matches(u)
	}
	assert.True(t, match(logins[0], "https://a.example/debian/dists"))
	assert.False(t, match(logins[0], "https://a.example/other"))
	assert.False(t, match(logins[0], "http://a.example/debian"), "no secrets in the clear")
	assert.True(t, match(logins[1], "http://b.example/x"))
	assert.False(t, match(logins[1], "https://evil.example/b.example"))
	assert.Equal(t, "other", logins[1].password)
}

func TestControl(t *testing.T) {
	p, err := parseParagraph([]byte("\n\nPackage: a\nDescription: one\n two\n .\n three\nEmpty:\nDepends: x,\n y\n\nPackage: b\n"))
	require.NoError(t, err)
	assert.Equal(t, "a", p.field("package"))
	assert.Equal(t, "one\n two\n .\n three", p.field("Description"))
	assert.Equal(t, "x,\n y", p.field("Depends"))
	assert.Empty(t, p.field("Empty"))
	assert.Empty(t, p.field("Pack"))
	var names []string
	require.NoError(t, eachParagraph([]byte("Package: a\n\n \n\nPackage: b"), func(p paragraph) error {
		names = append(names, p.field("Package"))
		return nil
	}))
	assert.Equal(t, []string{"a", "b"}, names)
	for _, bad := range []string{"", "\n\n", "no field", " begins with space", "two words: x"} {
		_, err := parseParagraph([]byte(bad))
		assert.Error(t, err, "%q", bad)
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte("Package: a\nDepends: b (>= 1) | c [amd64], d:any\n\nPackage: e\nVersion: 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := parseParagraph(text); err == nil {
			p.field("Package")
			parseDepends(p.field("Depends"), "amd64")
		}
		x := newIndex("amd64")
		if x.add(text, "http://a.example") == nil {
			x.seal()
			_, _ = x.resolve(nil)
		}
		_, _ = parseRelease(text, source{Suite: "x"})
	})
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"1.0~rc1", "1.0~rc2", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-10", "1.0a", "1.0+b1", "1.1", "1.10", "2.0~~", "2.0~", "2.0", "1:0.1", "2:0"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareVersions(a, b)
			switch {
			case i < j:
				assert.Negative(t, got, "%s %s", a, b)
			case i > j:
				assert.Positive(t, got, "%s %s", a, b)
			default:
				assert.Zero(t, got)
			}
		}
	}
	assert.Zero(t, compareVersions("0:1.00", "1.0"))
	assert.Equal(t, "3.11.2", upstreamVersion("1:3.11.2+really-1+b1"))
	assert.Equal(t, "3.11", minorVersion("3.11.2-1+b1"))
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1:1.0~rc1-1", "1.0+b1")
	f.Fuzz(func(t *testing.T, a, b string) {
		assert.Zero(t, compareVersions(a, a))
		assert.Equal(t, compareVersions(a, b) < 0, compareVersions(b, a) > 0)
	})
}

func TestReadDeb(t *testing.T) {
	control := "Package: a\nVersion: 1\nArchitecture: all\n"
	d, err := readDeb(makeDeb(t, control, []file{{name: "./postinst", text: "#!"}}, []file{{"./usr/", tar.TypeDir, 0o755, ""}, {name: "./usr/x", text: "hi"}, {"./usr/y", tar.TypeLink, 0, "./usr/x"}, {"/usr/z", tar.TypeSymlink, 0, "../../../x"}}))
	require.NoError(t, err)
	assert.Equal(t, "a", d.control.field("Package"))
	assert.Equal(t, []byte("#!"), d.info["postinst"])
	names := make([]string, 0, len(d.entries))
	for _, e := range d.entries {
		names = append(names, e.name)
	}
	assert.Equal(t, []string{"usr", "usr/x", "usr/y", "usr/z"}, names)

	good := makeAr("debian-binary", "2.0\n", "control.tar.gz", string(makeTar(t, []file{{name: "./control", text: control}})), "data.tar", "")
	for name, data := range map[string][]byte{
		"empty":               nil,
		"not ar":              []byte("PK\x03\x04"),
		"truncated":           good[:len(good)/2],
		"no data":             makeAr("debian-binary", "2.0\n", "control.tar.gz", string(makeTar(t, []file{{name: "./control", text: control}}))),
		"version 3":           makeAr("debian-binary", "3.0\n", "control.tar", "", "data.tar", ""),
		"no control":          makeDeb(t, "", nil, nil),
		"unknown compression": makeAr("debian-binary", "2.0\n", "control.tar.gz", string(makeTar(t, []file{{name: "./control", text: control}})), "data.tar.rar", ""),
		"climbing name":       makeDeb(t, control, nil, []file{{name: "./usr/../../x"}}),
		"climbing hard link":  makeDeb(t, control, nil, []file{{"./x", tar.TypeLink, 0, "../../etc/passwd"}}),
		"device":              makeDeb(t, control, nil, []file{{"./dev/sda", tar.TypeBlock, 0o660, ""}}),
		"climbing info":       makeDeb(t, control, []file{{name: "./../../x"}}, nil),
		"info in a folder":    makeDeb(t, control, []file{{name: "./a/b"}}, nil),
		"hidden info":         makeDeb(t, control, []file{{name: "./.x"}}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readDeb(data)
			require.Error(t, err)
		})
	}
}

func FuzzReadDeb(f *testing.F) {
	f.Add(makeDeb(f, "Package: ab\nVersion: 1\n", []file{{name: "./postinst", text: "x"}}, []file{{name: "./usr/x", text: "hi"}, {"./bin/y", tar.TypeSymlink, 0, "../x"}}))
	f.Add(makeAr("debian-binary", "2.0\n", "control.tar.xz", "x", "data.tar.zst", "y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := readDeb(data)
		if err != nil {
			return
		}
		for _, e := range d.entries {
			assert.True(t, filepath.IsLocal(e.name), e.name)
		}
		_, _, _ = checkTree(t, d)
	})
}
