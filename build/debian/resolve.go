package debian

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// pkg is a package as an index describes it.
type pkg struct {
	name     string
	version  string
	arch     string
	base     string // address of the archive
	control  paragraph
	priority string
	core     bool // Essential, or of priority required
}

// index holds the newest version of every package of some suites.
type index struct {
	arch     string
	packages map[string]*pkg
	provides map[string][]provider // by virtual package; filled by seal
}

type provider struct {
	pkg     *pkg
	version string // of what is provided; "" = unversioned
}

func newIndex(arch string) *index {
	return &index{arch: arch, packages: map[string]*pkg{}}
}

// add reads a package index; base is the address below which its files lie.
// The text must not change afterwards.
func (x *index) add(text []byte, base string) error {
	return eachParagraph(text, func(p paragraph) error {
		c := pkg{base: base, control: p}
		essential := false
		// One pass over the fields that every package is asked for.
		rest := []byte(p)
		for len(rest) > 0 {
			var line []byte
			line, rest = cutLine(rest)
			switch {
			case isField(line, "Package"):
				c.name = fieldValue(line)
			case isField(line, "Version"):
				c.version = fieldValue(line)
			case isField(line, "Architecture"):
				c.arch = fieldValue(line)
			case isField(line, "Priority"):
				c.priority = fieldValue(line)
			case isField(line, "Essential"):
				essential = fieldValue(line) == "yes"
			}
		}
		if c.name == "" || c.version == "" {
			return fmt.Errorf("a package without name or version: %.100q", p)
		}
		if c.arch != x.arch && c.arch != "all" {
			return nil
		}
		c.core = essential || c.priority == "required"
		if old, ok := x.packages[c.name]; !ok || compareVersions(c.version, old.version) > 0 {
			x.packages[c.name] = &c
		}
		return nil
	})
}

func fieldValue(line []byte) string {
	_, value, _ := strings.Cut(string(line), ":")
	return strings.TrimSpace(value)
}

// seal makes the table of virtual packages, once all indexes are added.
func (x *index) seal() {
	x.provides = map[string][]provider{}
	for _, p := range x.packages {
		value := p.control.field("Provides")
		if value == "" {
			continue
		}
		for _, clause := range parseDepends(value, x.arch) {
			for _, d := range clause {
				x.provides[d.name] = append(x.provides[d.name], provider{p, d.version})
			}
		}
	}
	for _, list := range x.provides {
		sort.Slice(list, func(i, j int) bool {
			if a, b := priorityRank(list[i].pkg.priority), priorityRank(list[j].pkg.priority); a != b {
				return a < b
			}
			return list[i].pkg.name < list[j].pkg.name
		})
	}
}

func priorityRank(priority string) int {
	for i, p := range []string{"required", "important", "standard", "optional"} {
		if p == priority {
			return i
		}
	}
	return 9
}

// dependency is one alternative of a clause: a package, perhaps with a
// constraint on its version.
type dependency struct {
	name    string
	op      string // "", "<<", "<=", "=", ">=", ">>"
	version string
}

// parseDepends reads a field like "a (>= 1) | b, c:any". Alternatives for
// other architectures are left out.
func parseDepends(field, arch string) [][]dependency {
	var clauses [][]dependency
	for _, text := range strings.Split(field, ",") {
		var clause []dependency
		for _, alternative := range strings.Split(text, "|") {
			if d, ok := parseDependency(alternative, arch); ok {
				clause = append(clause, d)
			}
		}
		if len(clause) > 0 {
			clauses = append(clauses, clause)
		}
	}
	return clauses
}

func parseDependency(text, arch string) (dependency, bool) {
	var d dependency
	text = strings.TrimSpace(text)
	if before, list, ok := strings.Cut(text, "["); ok {
		text = before
		list, _, _ = strings.Cut(list, "]")
		wanted, listed := true, false
		for _, a := range strings.Fields(list) {
			if not, is := strings.CutPrefix(a, "!"); is {
				wanted = wanted && not != arch
			} else {
				listed = true
				if a == arch || a == "any" || a == "linux-any" {
					ok := parseName(&d, text)
					return d, ok
				}
			}
		}
		if !wanted || listed {
			return d, false
		}
	}
	ok := parseName(&d, text)
	return d, ok
}

// parseName reads "name:any (>= 1.0)".
func parseName(d *dependency, text string) bool {
	text, constraint, _ := strings.Cut(text, "(")
	d.name, _, _ = strings.Cut(strings.TrimSpace(text), ":")
	constraint, _, _ = strings.Cut(constraint, ")")
	constraint = strings.TrimSpace(constraint)
	i := 0
	for i < len(constraint) && strings.IndexByte("<=>", constraint[i]) >= 0 {
		i++
	}
	d.op, d.version = constraint[:i], strings.TrimSpace(constraint[i:])
	return d.name != ""
}

// accepts reports whether a version satisfies a dependency's constraint.
func (d dependency) accepts(version string) bool {
	if d.op == "" {
		return true
	}
	c := compareVersions(version, d.version)
	switch d.op {
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case "=":
		return c == 0
	case ">=", ">":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// resolve returns the core packages, the roots and all that they depend on, by
// name. Recommended packages are left out.
func (x *index) resolve(roots []string) ([]*pkg, error) {
	chosen := map[string]*pkg{}
	var queue []*pkg
	choose := func(p *pkg) {
		if chosen[p.name] == nil {
			chosen[p.name] = p
			queue = append(queue, p)
		}
	}
	// In order of names, so that the same indexes always give the same set.
	for _, name := range sortedKeys(x.packages) {
		if p := x.packages[name]; p.core {
			choose(p)
		}
	}
	for _, name := range roots {
		p := x.packages[name]
		if p == nil {
			return nil, fmt.Errorf("the archive has no package %s", name)
		}
		choose(p)
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		for _, field := range []string{"Pre-Depends", "Depends"} {
			for _, clause := range parseDepends(p.control.field(field), x.arch) {
				q, err := x.satisfy(clause, chosen)
				if err != nil {
					return nil, fmt.Errorf("package %s %s: %w", p.name, p.version, err)
				}
				choose(q)
			}
		}
	}
	packages := make([]*pkg, 0, len(chosen))
	for _, name := range sortedKeys(chosen) {
		packages = append(packages, chosen[name])
	}
	return packages, nil
}

// satisfy returns a package for a clause: a chosen one if that will do, else the
// first alternative that the archive has.
func (x *index) satisfy(clause []dependency, chosen map[string]*pkg) (*pkg, error) {
	for _, d := range clause {
		if p := chosen[d.name]; p != nil && d.accepts(p.version) {
			return p, nil
		}
		for _, provider := range x.provides[d.name] {
			if chosen[provider.pkg.name] == provider.pkg && provider.satisfies(d) {
				return provider.pkg, nil
			}
		}
	}
	for _, d := range preferred(clause) {
		if p := x.packages[d.name]; p != nil && d.accepts(p.version) {
			return p, nil
		}
		for _, provider := range x.provides[d.name] {
			if provider.satisfies(d) {
				return provider.pkg, nil
			}
		}
	}
	var names []string
	for _, d := range clause {
		names = append(names, strings.TrimSpace(d.name+" "+d.op+" "+d.version))
	}
	return nil, fmt.Errorf("nothing in the archive satisfies its dependency on %s", strings.Join(names, " or "))
}

// preferred is a clause with the alternatives in the order in which they are
// tried. Images are made with a merged /usr, so that the package that
// merges it, which needs all of Perl, is the last choice.
func preferred(clause []dependency) []dependency {
	sorted := append([]dependency(nil), clause...)
	sort.SliceStable(sorted, func(i, j int) bool {
		return sorted[i].name != "usrmerge" && sorted[j].name == "usrmerge"
	})
	return sorted
}

func (p provider) satisfies(d dependency) bool {
	return d.op == "" || p.version != "" && d.accepts(p.version)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// locked is a package with what is needed to download and verify it.
func (p *pkg) locked() (Package, error) {
	out := Package{Name: p.name, Version: p.version, Arch: p.arch, SHA256: p.control.field("SHA256")}
	path := p.control.field("Filename")
	size, err := strconv.ParseInt(p.control.field("Size"), 10, 64)
	if err != nil || size <= 0 || size > maxDeb || !isSHA256(out.SHA256) || !safeRelative(path) || !safeName(p.name) {
		return out, fmt.Errorf("the index entry of package %.60q is malformed", p.name)
	}
	out.Size, out.URL = size, p.base+"/"+path
	return out, nil
}

// safeName reports whether a package's name is one that policy allows: it
// becomes part of paths.
func safeName(name string) bool {
	if len(name) < 2 || len(name) > 128 {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if isDigit(c) || c >= 'a' && c <= 'z' || i > 0 && strings.IndexByte("+-.", c) >= 0 {
			continue
		}
		return false
	}
	return true
}
