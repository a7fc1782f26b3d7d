package debian

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// suite is a release of a distribution.
type suite struct {
	Distribution string
	Name         string
	// Python is the version of its python3 package, which never changes in a
	// release. "" is a suite that is still moving: its index has to be asked.
	Python string
}

// suites are the releases whose Python gx supports, oldest first.
func suites() []suite {
	return []suite{
		{"debian", "bullseye", "3.9"},
		{"debian", "bookworm", "3.11"},
		{"debian", "trixie", "3.13"},
		{"debian", "forky", ""},
		{"debian", "sid", ""},
		{"ubuntu", "jammy", "3.10"},
		{"ubuntu", "noble", "3.12"},
	}
}

// distributionOf tells which distribution a suite in a source belongs to: "" if
// it is none that is known.
func distributionOf(name string) string {
	name, _ = splitSuite(name)
	for _, s := range suites() {
		if s.Name == name {
			return s.Distribution
		}
	}
	switch name {
	case "stable", "oldstable", "oldoldstable", "testing", "unstable", "buster", "duke":
		return "debian"
	case "focal", "plucky", "questing", "resolute", "devel":
		return "ubuntu"
	}
	return ""
}

// splitSuite splits "bookworm-updates" in the release and the pocket, which is
// "" for the release itself.
func splitSuite(name string) (release, pocket string) {
	for _, pocket := range []string{"-proposed-updates", "-updates", "-security", "/updates", "-backports-sloppy", "-backports", "-proposed"} {
		if release, ok := strings.CutSuffix(name, pocket); ok {
			return release, strings.TrimLeft(pocket, "-/")
		}
	}
	return name, ""
}

// archive is where the suites of one distribution come from.
type archive struct {
	Distribution string
	Main         source  // any suite of it; the name is replaced by the one wanted
	Updates      *source // nil where the configuration has none
	Security     *source
}

// findArchives picks the distributions' own archives out of sources, which may
// name many others. Of several candidates for one archive the first counts
// that is signed like the distribution's own.
func findArchives(sources []source, arch string) []archive {
	var archives []archive
	for _, distribution := range []string{"debian", "ubuntu"} {
		a := archive{Distribution: distribution}
		var main, updates, security []source
		for _, s := range sources {
			if distributionOf(s.Suite) != distribution || !contains(s.Components, "main") {
				continue
			}
			if len(s.Arches) > 0 && !contains(s.Arches, arch) {
				continue
			}
			switch _, pocket := splitSuite(s.Suite); {
			case pocket == "":
				main = append(main, s)
			case pocket == "security", pocket == "updates" && strings.Contains(s.Suite, "/"):
				security = append(security, s)
			case pocket == "updates":
				updates = append(updates, s)
			}
		}
		if len(main) == 0 {
			continue
		}
		a.Main = *mostOfficial(main, distribution)
		a.Updates = mostOfficial(updates, distribution)
		a.Security = mostOfficial(security, distribution)
		archives = append(archives, a)
	}
	return archives
}

// mostOfficial returns the source that is most likely the distribution's own:
// others use its suites' names, but sign with a keyring of their own.
func mostOfficial(sources []source, distribution string) *source {
	rank := func(s source) int {
		for _, by := range s.SignedBy {
			if strings.Contains(by, distribution+"-archive-keyring") {
				return 0
			}
		}
		if len(s.SignedBy) == 0 && s.Key == "" {
			return 1
		}
		return 2
	}
	if len(sources) == 0 {
		return nil
	}
	sorted := append([]source(nil), sources...)
	sort.SliceStable(sorted, func(i, j int) bool { return rank(sorted[i]) < rank(sorted[j]) })
	return &sorted[0]
}

// of returns the sources of one suite of the archive: the suite itself first.
// Suites that are still moving have no others.
func (a archive) of(s suite) []source {
	main := a.Main
	main.Suite = s.Name
	sources := []source{main}
	if s.Python == "" {
		return sources
	}
	if a.Updates != nil {
		updates := *a.Updates
		updates.Suite = s.Name + "-updates"
		sources = append(sources, updates)
	}
	if a.Security != nil {
		security := *a.Security
		security.Suite = s.Name + "-security"
		sources = append(sources, security)
	}
	return sources
}

// VersionError is a Python that no suite of the archive has.
type VersionError struct {
	Wanted    string
	Available []Version // oldest first
}

func (e *VersionError) Error() string {
	if len(e.Available) == 0 {
		return fmt.Sprintf("Python %s can't be had: the archive has no suite that gx knows", e.Wanted)
	}
	var list []string
	for _, v := range e.Available {
		list = append(list, fmt.Sprintf("%s (%s %s)", v.Python, v.Distribution, v.Suite))
	}
	return fmt.Sprintf("Python %s can't be had from the package archive at hand, which has %s. Ask for one of those, or take an image from a registry",
		e.Wanted, strings.Join(list, ", "))
}

// NoArchiveError is a machine on which no archive is configured.
type NoArchiveError struct {
	Looked   string // where sources were looked for
	Problems error  // what was wrong with what was found; nil = nothing was found
}

func (e *NoArchiveError) Error() string {
	text := fmt.Sprintf("no Debian or Ubuntu archive is named in %s. %s", e.Looked, wayOut())
	if e.Problems != nil {
		text += ": " + e.Problems.Error()
	}
	return text
}

// wayOut says what a user can do whose machine reaches no archive.
func wayOut() string {
	return fmt.Sprintf("In gx's configuration, %s names a mirror (\"deb [signed-by=KEYRING] ADDRESS SUITE main\") and %s a tarball of a file system with Python", SettingSources, SettingTarball)
}

func (e *NoArchiveError) Unwrap() error { return e.Problems }

// minor is the second number of a version like "3.11".
func minor(python string) (int, error) {
	major, rest, _ := strings.Cut(python, ".")
	rest, _, _ = strings.Cut(rest, ".")
	n, err := strconv.Atoi(rest)
	if major != "3" || err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a version of Python 3, such as 3.11", python)
	}
	return n, nil
}

// nearest returns the suite whose known Python is nearest to one wanted; of
// equally near ones the newer. near = "" is the newest. ok is false if there is none.
func nearest(choices []suite, near string) (best suite, ok bool) {
	wanted, err := minor(near)
	if err != nil {
		wanted = 1 << 20
	}
	distance := func(s suite) int {
		n, _ := minor(s.Python)
		return max(n-wanted, wanted-n)
	}
	for _, s := range choices {
		if s.Python == "" {
			continue
		}
		if !ok || distance(s) < distance(best) || distance(s) == distance(best) && newer(s.Python, best.Python) {
			best, ok = s, true
		}
	}
	return best, ok
}

func newer(a, b string) bool {
	m, _ := minor(a)
	n, _ := minor(b)
	return m > n
}

// sortVersions orders by version, then as the suites are listed.
func sortVersions(versions []Version) {
	sort.SliceStable(versions, func(i, j int) bool { return newer(versions[j].Python, versions[i].Python) })
}
