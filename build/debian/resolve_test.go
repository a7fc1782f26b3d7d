package debian

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// indexOf makes an index of lines like "name 1.0 all; Depends: x; Provides: y".
func indexOf(t *testing.T, lines ...string) *index {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		parts := strings.Split(line, ";")
		head := strings.Fields(parts[0])
		text.WriteString("Package: " + head[0] + "\nVersion: " + head[1] + "\nArchitecture: " + head[2] + "\n")
		for _, field := range parts[1:] {
			text.WriteString(strings.TrimSpace(field) + "\n")
		}
		text.WriteString("\n")
	}
	x := newIndex("amd64")
	require.NoError(t, x.add([]byte(text.String()), "http://a.example"))
	x.seal()
	return x
}

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		index []string
		roots string
		want  string // or, after "!", the error
	}{
		"core comes along":            {[]string{"a 1 all", "e 1 all; Essential: yes", "r 1 all; Priority: required", "o 1 all; Priority: optional"}, "a", "a e r"},
		"dependencies":                {[]string{"a 1 all; Depends: b; Pre-Depends: c", "b 1 all; Depends: d", "c 1 all", "d 1 all; Depends: a; Recommends: e", "e 1 all"}, "a", "a b c d"},
		"newest version":              {[]string{"a 1 all; Depends: b (>= 2)", "b 1 all", "b 2 all", "b 1.5 all"}, "a", "a b"},
		"constraint not met":          {[]string{"a 1 all; Depends: b (>> 2)", "b 2 all"}, "a", "!package a 1: nothing in the archive satisfies its dependency on b >> 2"},
		"other architecture":          {[]string{"a 1 arm64"}, "a", "!no package a"},
		"first alternative":           {[]string{"a 1 all; Depends: x | b | c", "b 1 all", "c 1 all"}, "a", "a b"},
		"chosen alternative":          {[]string{"a 1 all; Depends: b | c", "b 1 all", "c 1 all; Essential: yes"}, "a", "a c"},
		"merged usr without Perl":     {[]string{"a 1 all; Depends: usrmerge | usr-is-merged", "usrmerge 1 all", "usr-is-merged 1 all"}, "a", "a usr-is-merged"},
		"virtual, by priority":        {[]string{"a 1 all; Depends: v", "b 1 all; Provides: v; Priority: optional", "c 1 all; Provides: v; Priority: important"}, "a", "a c"},
		"virtual, chosen":             {[]string{"a 1 all; Depends: v", "b 1 all; Provides: v", "c 1 all; Provides: v; Essential: yes"}, "a", "a c"},
		"virtual, versioned":          {[]string{"a 1 all; Depends: v (>= 2)", "b 1 all; Provides: v (= 1)", "c 1 all; Provides: v", "d 1 all; Provides: v (= 3)"}, "a", "a d"},
		"architectures of a clause":   {[]string{"a 1 all; Depends: b [arm64], c [amd64], d [!amd64], e [!arm64]", "b 1 all", "c 1 all", "d 1 all", "e 1 all"}, "a", "a c e"},
		"any architecture qualifier":  {[]string{"a 1 all; Depends: b:any (>= 1)", "b 1 amd64"}, "a", "a b"},
		"a missing root is an error":  {[]string{"a 1 all"}, "b", "!the archive has no package b"},
		"a cycle ends":                {[]string{"a 1 all; Depends: b", "b 1 all; Depends: a"}, "a", "a b"},
		"malformed constraint is not": {[]string{"a 1 all; Depends: b (?? 1)", "b 1 all"}, "a", "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			packages, err := indexOf(t, c.index...).resolve(strings.Fields(c.roots))
			if says, bad := strings.CutPrefix(c.want, "!"); bad {
				require.ErrorContains(t, err, says)
				return
			}
			require.NoError(t, err)
			var names []string
			for _, p := range packages {
				names = append(names, p.name)
			}
			assert.Equal(t, c.want, strings.Join(names, " "))
		})
	}
}

func TestLockedRefusesWhatWouldBecomeAPath(t *testing.T) {
	sum := strings.Repeat("0", 64)
	good := "aa 1 all; Filename: pool/a.deb; Size: 1; SHA256: " + sum
	p, err := indexOf(t, good).packages["aa"].locked()
	require.NoError(t, err)
	assert.Equal(t, Package{"aa", "1", "all", "http://a.example/pool/a.deb", 1, sum}, p)
	for _, bad := range []string{
		strings.Replace(good, "pool/", "../", 1), strings.Replace(good, "pool/", "/", 1),
		strings.Replace(good, "Size: 1", "Size: -1", 1), strings.Replace(good, "Size: 1", "Size: 9999999999999", 1),
		strings.Replace(good, sum, "../../x", 1), strings.Replace(good, "aa ", "a/../a ", 1),
	} {
		for _, p := range indexOf(t, bad).packages {
			_, err := p.locked()
			assert.Error(t, err, bad)
		}
	}
}
