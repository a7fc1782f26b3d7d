package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// maxAptFile bounds each file of apt's configuration that is read.
const maxAptFile = 1 << 20

// source is one suite of one archive, as apt's configuration names it.
type source struct {
	URI        string   // without credentials and trailing slash: "http://mirror.example/debian"
	Login      *login   // the credentials that were in the address
	Suite      string   // "bookworm-updates"
	Components []string // "main"
	SignedBy   []string // keyring files or fingerprints; none = what apt trusts
	Key        string   // an armoured key in the configuration itself
	Trusted    bool     // signatures are not checked
	Arches     []string // none = all
	ValidUntil bool     // the release file's expiry is checked
	Where      string   // file and line, for messages
}

// machineSources reads the sources of an apt configuration folder, in apt's
// order. A file that can't be understood is skipped, as its problem; the
// problems are returned for the case that nothing else is found.
func machineSources(dir string) (sources []source, problems []error) {
	files := []string{filepath.Join(dir, "sources.list")}
	entries, err := os.ReadDir(filepath.Join(dir, "sources.list.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, filepath.Join(dir, "sources.list.d", e.Name()))
		}
	}
	for _, file := range files {
		ext := filepath.Ext(file)
		if ext != ".list" && ext != ".sources" {
			continue
		}
		text, err := readLimited(file, maxAptFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		found, err := parseSources(text, file)
		if err != nil {
			problems = append(problems, err)
		}
		sources = append(sources, found...)
	}
	return sources, problems
}

// parseSources reads text in either of apt's two formats. What it understood
// is returned with an error as well. where names the text in messages.
func parseSources(text []byte, where string) ([]source, error) {
	if isDeb822(text) {
		return parseDeb822(text, where)
	}
	return parseOneLine(text, where)
}

// isDeb822 tells the formats apart by the first line that isn't a comment: a
// field's name ends in a colon, a type doesn't.
func isDeb822(text []byte) bool {
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		return strings.Contains(strings.Fields(line)[0], ":")
	}
	return false
}

// parseOneLine reads lines like "deb [signed-by=/key.gpg] URI suite main".
func parseOneLine(text []byte, where string) ([]source, error) {
	var sources []source
	var problems []error
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		at := fmt.Sprintf("%s:%d", where, i+1)
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" {
			if kind != "" && kind != "deb-src" {
				problems = append(problems, fmt.Errorf("%s: unknown type %.40q", at, kind))
			}
			continue
		}
		s := source{Where: at, ValidUntil: true}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				problems = append(problems, fmt.Errorf("%s: the options have no closing bracket", at))
				continue
			}
			rest = after
			for _, option := range strings.Fields(options) {
				name, value, _ := strings.Cut(option, "=")
				// += and -= change apt's defaults, which here are "all".
				s.option(strings.TrimRight(name, "+-"), strings.Split(value, ","))
			}
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			problems = append(problems, fmt.Errorf("%s: a source needs an address and a suite", at))
			continue
		}
		s.Components = words[2:]
		s, err := s.at(words[0], words[1])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		sources = append(sources, s)
	}
	return sources, errors.Join(problems...)
}

// parseDeb822 reads paragraphs of Types, URIs, Suites and Components.
func parseDeb822(text []byte, where string) ([]source, error) {
	var sources []source
	var problems []error
	n := 0
	_ = eachParagraph(stripComments(text), func(p paragraph) error {
		n++
		at := fmt.Sprintf("%s, paragraph %d", where, n)
		if isNo(p.field("Enabled")) || !contains(strings.Fields(p.field("Types")), "deb") {
			return nil
		}
		s := source{Where: at, ValidUntil: true, Components: strings.Fields(p.field("Components"))}
		for _, name := range []string{"Trusted", "Check-Valid-Until", "Architectures"} {
			if value := p.field(name); value != "" {
				option := strings.ToLower(name)
				if name == "Architectures" {
					option = "arch"
				}
				s.option(option, strings.Fields(value))
			}
		}
		if key := p.field("Signed-By"); strings.Contains(key, "-----BEGIN PGP") {
			s.Key = unfold(key)
		} else if key != "" {
			s.option("signed-by", strings.FieldsFunc(key, func(r rune) bool { return strings.ContainsRune(" \t\n,", r) }))
		}
		uris, suites := strings.Fields(p.field("URIs")), strings.Fields(p.field("Suites"))
		if len(uris) == 0 || len(suites) == 0 {
			problems = append(problems, fmt.Errorf("%s: a source needs URIs and Suites", at))
		}
		for _, uri := range uris {
			for _, suite := range suites {
				found, err := s.at(uri, suite)
				if err != nil {
					problems = append(problems, err)
					continue
				}
				sources = append(sources, found)
			}
		}
		return nil
	})
	return sources, errors.Join(problems...)
}

// option sets what an option of a source says; others don't matter here.
func (s *source) option(name string, values []string) {
	switch strings.ToLower(name) {
	case "signed-by":
		for _, v := range values {
			if v != "" {
				s.SignedBy = append(s.SignedBy, v)
			}
		}
	case "trusted":
		s.Trusted = len(values) > 0 && isYes(values[0])
	case "check-valid-until":
		s.ValidUntil = len(values) == 0 || !isNo(values[0])
	case "arch":
		s.Arches = append(s.Arches, values...)
	}
}

// at completes a source by its address and suite. An address of a mirror list
// in a file is replaced by the first mirror.
func (s source) at(uri, suite string) (source, error) {
	if list, ok := strings.CutPrefix(uri, "mirror+file:"); ok {
		first, err := firstMirror("/" + strings.TrimLeft(list, "/"))
		if err != nil {
			return s, fmt.Errorf("%s: %w", s.Where, err)
		}
		uri = first
	}
	if path, ok := strings.CutPrefix(uri, "copy:"); ok {
		uri = "file:" + path
	}
	u, err := url.Parse(uri)
	if err != nil {
		return s, fmt.Errorf("%s: the address is malformed", s.Where) // it may hold a password
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return s, fmt.Errorf("%s: %.80q names no host", s.Where, uri)
		}
	case "file":
		if u.Path == "" {
			return s, fmt.Errorf("%s: %.80q names no folder", s.Where, uri)
		}
	default:
		return s, fmt.Errorf("%s: addresses of kind %.20q are not supported", s.Where, u.Scheme)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s.Login = &login{machine: u.Scheme + "://" + u.Host + strings.TrimRight(u.Path, "/"), user: u.User.Username(), password: password}
		u.User = nil
	}
	s.URI = strings.TrimRight(u.String(), "/")
	s.Suite = strings.TrimSuffix(suite, "/")
	if s.Suite == "" || !safeRelative(s.Suite) {
		return s, fmt.Errorf("%s: %.80q is not a suite", s.Where, suite)
	}
	for _, c := range s.Components {
		if !safeRelative(c) {
			return s, fmt.Errorf("%s: %.80q is not a component", s.Where, c)
		}
	}
	return s, nil
}

// firstMirror returns the first address of a mirror list.
func firstMirror(file string) (string, error) {
	text, err := readLimited(file, maxAptFile)
	if err != nil {
		return "", fmt.Errorf("reading the list of mirrors: %w", err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			return words[0], nil
		}
	}
	return "", fmt.Errorf("the list of mirrors %s is empty", file)
}

// unfold turns a field of many lines into the text that it stands for: one
// space less per line, and a lone dot is a blank line.
func unfold(value string) string {
	lines := strings.Split(value, "\n")
	for i, line := range lines {
		line = strings.TrimRight(strings.TrimPrefix(line, " "), " \t\r")
		if line == "." {
			line = ""
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n") + "\n"
}

func isNo(s string) bool {
	return oneOf(strings.ToLower(s), "no", "false", "off", "0", "disable", "without")
}
func isYes(s string) bool {
	return oneOf(strings.ToLower(s), "yes", "true", "on", "1", "enable", "with")
}

func oneOf(s string, choices ...string) bool { return contains(choices, s) }

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// safeRelative reports whether a name from outside is a plain relative path.
func safeRelative(name string) bool {
	return name != "" && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsAny(name, "\x00?#%\\")
}

// readLimited reads a file that a person wrote, at most limit bytes of it.
func readLimited(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, limit)
	}
	return os.ReadFile(file)
}

// sortedNames lists a folder's files with one of the endings, in order.
func sortedNames(dir string, endings ...string) []string {
	entries, _ := os.ReadDir(dir) // a folder that isn't there holds nothing
	var names []string
	for _, e := range entries {
		if !e.IsDir() && (len(endings) == 0 || contains(endings, filepath.Ext(e.Name()))) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(names)
	return names
}
