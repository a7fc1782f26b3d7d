package debian

import (
	"net/url"
	"path/filepath"
	"strings"
)

// aptConfig is what the machine's apt configuration says that matters here, by
// full option name in lower case: "acquire::http::proxy". Of an option that is
// given several times the last counts.
type aptConfig map[string]string

// readAptConfig reads an apt configuration folder. Files that can't be read
// are passed over: they only tune what also works without them.
func readAptConfig(dir string) aptConfig {
	config := aptConfig{}
	files := append(sortedNames(filepath.Join(dir, "apt.conf.d"), "", ".conf"), filepath.Join(dir, "apt.conf"))
	for _, file := range files {
		if text, err := readLimited(file, maxAptFile); err == nil {
			config.parse(string(text))
		}
	}
	return config
}

// parse adds the options of a file in the format of apt.conf: options ended by
// semicolons, groups in braces, comments of C++ and of the shell.
func (c aptConfig) parse(text string) {
	var scope []string   // the groups that are open
	var words []aptToken // the statement so far
	statement := func() {
		if len(words) >= 2 && !words[0].quoted {
			name := strings.Join(append(append([]string{}, scope...), words[0].text), "::")
			c[strings.ToLower(name)] = words[1].text
		}
		words = words[:0]
	}
	const deepest = 64
	for {
		var t aptToken
		t, text = nextAptToken(text)
		switch {
		case t.text == "" && !t.quoted:
			statement()
			return
		case t.quoted:
			words = append(words, t)
		case t.text == "{":
			name := ""
			if len(words) > 0 {
				name = words[0].text
			}
			words = words[:0]
			if len(scope) == deepest {
				return
			}
			scope = append(scope, name)
		case t.text == "}":
			statement()
			if len(scope) > 0 {
				scope = scope[:len(scope)-1]
			}
		case t.text == ";":
			statement()
		default:
			words = append(words, t)
		}
	}
}

// aptToken is one word of apt.conf. The end is an unquoted empty one.
type aptToken struct {
	text   string
	quoted bool
}

func nextAptToken(text string) (aptToken, string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		switch {
		case text == "":
			return aptToken{}, ""
		case strings.HasPrefix(text, "//"), strings.HasPrefix(text, "#"):
			_, text, _ = strings.Cut(text, "\n")
			continue
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text[2:], "*/")
			continue
		case text[0] == '"':
			value, rest, _ := strings.Cut(text[1:], `"`)
			return aptToken{value, true}, rest
		case strings.ContainsRune("{};", rune(text[0])):
			return aptToken{text: text[:1]}, text[1:]
		}
		end := strings.IndexAny(text, " \t\r\n{};\"")
		if end < 0 {
			end = len(text)
		}
		return aptToken{text: text[:end]}, text[end:]
	}
}

// checksValidUntil reports whether release files past their date are refused.
func (c aptConfig) checksValidUntil() bool {
	value, ok := c["acquire::check-valid-until"]
	return !ok || !isNo(value)
}

// proxy returns the proxy that apt is told to use for an address: found is
// false when apt says nothing, and the proxy nil when it says "directly".
func (c aptConfig) proxy(u *url.URL) (proxy *url.URL, found bool) {
	for _, name := range []string{
		"acquire::" + u.Scheme + "::proxy::" + u.Hostname(),
		"acquire::" + u.Scheme + "::proxy",
	} {
		value, ok := c[strings.ToLower(name)]
		if !ok || value == "" {
			continue
		}
		if strings.EqualFold(value, "direct") {
			return nil, true
		}
		if p, err := url.Parse(value); err == nil && p.Host != "" {
			return p, true
		}
	}
	return nil, false
}

// login is one entry of apt's auth.conf.
type login struct {
	machine  string // host, with an optional port and path
	user     string
	password string
}

// readLogins reads the credentials of an apt configuration folder, as far as
// this user may.
func readLogins(dir string) []login {
	var logins []login
	for _, file := range append(sortedNames(filepath.Join(dir, "auth.conf.d"), ".conf"), filepath.Join(dir, "auth.conf")) {
		if text, err := readLimited(file, maxAptFile); err == nil {
			logins = append(logins, parseLogins(string(text))...)
		}
	}
	return logins
}

// parseLogins reads entries like "machine host login name password secret".
func parseLogins(text string) []login {
	var logins []login
	var words []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	for i := 0; i+1 < len(words); i += 2 {
		switch words[i] {
		case "machine":
			logins = append(logins, login{machine: words[i+1]})
		case "login":
			if len(logins) > 0 {
				logins[len(logins)-1].user = words[i+1]
			}
		case "password":
			if len(logins) > 0 {
				logins[len(logins)-1].password = words[i+1]
			}
		}
	}
	return logins
}

// matches reports whether a login is meant for an address. Like apt, it hands
// secrets to an unencrypted address only if the entry says http:// itself.
func (l login) matches(u *url.URL) bool {
	machine := l.machine
	scheme, rest, ok := strings.Cut(machine, "://")
	if ok {
		machine = rest
		if scheme != u.Scheme {
			return false
		}
	} else if u.Scheme != "https" {
		return false
	}
	host, path, hasPath := strings.Cut(machine, "/")
	if host != u.Host && host != u.Hostname() {
		return false
	}
	return !hasPath || strings.HasPrefix(u.Path, "/"+path)
}
