// Package hostenv finds out what of the user's machine has to reach builds and
// containers for the network to work in them: certificate authorities, proxies,
// and where packages come from. It is given to processes as mounts and
// environment, and becomes part of no image and of no cache key.
package hostenv

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Dir is where the machine's files appear in builds and containers.
const Dir = "/__gx/host"

// Mount is a file or folder of the machine that appears read-only.
type Mount struct {
	Source string // on the machine
	Target string // in the container, below Dir
}

// Env is what of the machine reaches a process. The zero value is nothing.
type Env struct {
	vars   []string
	mounts []Mount
}

// Vars are environment variables, KEY=VALUE; paths in them are below Dir.
func (e Env) Vars() []string { return e.vars }

// Mounts are the files that Vars refers to.
func (e Env) Mounts() []Mount { return e.mounts }

// bundles are where systems keep their certificate authorities.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",             // openSUSE
	"/etc/ssl/cert.pem",                  // macOS, BSD
	"/opt/homebrew/etc/ca-certificates/cert.pem",
}

// trusting are the variables by which programs are told of a CA bundle.
var trusting = []string{
	"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
	"NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS",
}

// passed are variables that mean the same in a container as outside.
var passed = []string{
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY",
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_NO_INDEX", "PIP_DEFAULT_TIMEOUT",
	"PIP_TIMEOUT", "PIP_RETRIES", "PIP_PROXY", "PIP_PREFER_BINARY", "PIP_ONLY_BINARY", "PIP_NO_BINARY",
	"UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_NATIVE_TLS", "UV_INSECURE_HOST",
}

// Discover looks at the machine. Generated files go into dir, which is made.
func Discover(getenv func(string) string, dir string) (Env, error) {
	var e Env
	if err := e.certificates(getenv, dir); err != nil {
		return Env{}, err
	}
	for _, key := range passed {
		if value := getenv(key); value != "" {
			e.set(key, value)
		}
	}
	e.pipConfig(getenv)
	e.findLinks(getenv("PIP_FIND_LINKS"))
	e.uv(getenv)
	e.set("PIP_DISABLE_PIP_VERSION_CHECK", "1")
	e.set("PIP_ROOT_USER_ACTION", "ignore")
	return e, nil
}

func (e *Env) set(key, value string) { e.vars = append(e.vars, key+"="+value) }

func (e *Env) mount(source, name string) string {
	target := Dir + "/" + name
	e.mounts = append(e.mounts, Mount{Source: source, Target: target})
	return target
}

// certificates makes programs trust whom the machine trusts.
func (e *Env) certificates(getenv func(string) string, dir string) error {
	bundle := ""
	for _, path := range append([]string{getenv("SSL_CERT_FILE")}, bundles...) {
		if regular(path) {
			bundle = path
			break
		}
	}
	if bundle == "" {
		return nil
	}
	target := e.mount(bundle, "ca.crt")
	for _, key := range trusting {
		e.set(key, target)
	}
	// apt reads no variable for it, but a configuration file.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder for network settings: %w", err)
	}
	config := filepath.Join(dir, "apt.conf")
	text := fmt.Sprintf("Acquire::https::CAInfo %q;\n", target)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing network settings for apt: %w", err)
	}
	e.set("APT_CONFIG", e.mount(config, "apt.conf"))
	return nil
}

// pipConfig passes on the machine's pip configuration; the user's own goes
// before the system's.
func (e *Env) pipConfig(getenv func(string) string) {
	home := getenv("HOME")
	paths := []string{getenv("PIP_CONFIG_FILE")}
	if config := getenv("XDG_CONFIG_HOME"); config != "" {
		paths = append(paths, filepath.Join(config, "pip", "pip.conf"))
	}
	if home != "" {
		paths = append(paths, filepath.Join(home, ".config", "pip", "pip.conf"), filepath.Join(home, ".pip", "pip.conf"))
	}
	for _, path := range append(paths, "/etc/pip.conf") {
		if regular(path) {
			e.set("PIP_CONFIG_FILE", e.mount(path, "pip.conf"))
			return
		}
	}
}

// findLinks passes on folders of wheels; addresses stay as they are.
func (e *Env) findLinks(links string) {
	var out []string
	for i, link := range strings.Fields(links) {
		path := strings.TrimPrefix(link, "file://")
		if !filepath.IsAbs(path) {
			out = append(out, link)
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			out = append(out, e.mount(path, fmt.Sprintf("wheels/%d", i)))
		}
	}
	if len(out) > 0 {
		e.set("PIP_FIND_LINKS", strings.Join(out, " "))
		e.set("UV_FIND_LINKS", strings.Join(out, ","))
	}
}

// uv tells uv what pip is told: it reads none of pip's settings.
func (e *Env) uv(getenv func(string) string) {
	if getenv("UV_INDEX_URL") != "" || getenv("UV_DEFAULT_INDEX") != "" {
		return // its own settings
	}
	config := map[string]string{}
	for _, m := range e.mounts {
		if m.Target == Dir+"/pip.conf" {
			config = globals(m.Source)
		}
	}
	for _, s := range []struct{ uv, pip, config string }{
		{"UV_INDEX_URL", "PIP_INDEX_URL", "index-url"},
		{"UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL", "extra-index-url"},
		{"UV_INSECURE_HOST", "PIP_TRUSTED_HOST", "trusted-host"},
	} {
		if value := cmp.Or(getenv(s.pip), config[s.config]); value != "" && getenv(s.uv) == "" {
			e.set(s.uv, strings.Join(strings.Fields(value), " "))
		}
	}
}

// globals are the settings of a pip configuration that are for every command. A
// value may go on in the lines that follow, if they are indented.
func globals(path string) map[string]string {
	settings := map[string]string{}
	data, err := os.ReadFile(path)
	if err != nil {
		return settings
	}
	section, name := "", ""
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSpace(line)
		key, value, assigned := strings.Cut(text, "=")
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[':
			section, name = strings.Trim(text, "[]"), ""
		case line[0] == ' ' || line[0] == '\t':
			if name != "" {
				settings[name] += " " + text
			}
		case assigned && section == "global":
			name = strings.ReplaceAll(strings.TrimSpace(key), "_", "-")
			settings[name] = strings.TrimSpace(value)
		default:
			name = ""
		}
	}
	return settings
}

func regular(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
