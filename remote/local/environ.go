package local

import (
	"slices"
	"strings"
)

// kept are the variables that a host in the background gets from the command
// that starts it. It serves all commands of its user for a long time, so that
// it must not depend on which was the first, nor hold what that one's
// environment has in tokens and passwords; its temporary files are in a folder
// of its own, which does not go with that command. What concerns the machine, its
// network and its Pythons stays.
var kept = struct{ names, prefixes []string }{
	names: []string{
		"HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH",
		"http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY",
		"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE",
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS",
		"DOCKER_CONFIG", // how to log in to registries
		"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS",
		"GODEBUG", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GOTRACEBACK", "GORACE", "GOCOVERDIR",
	},
	prefixes: []string{"GX_", "XDG_", "LC_", "SSL_CERT_", "PIP_", "UV_", "PYENV_", "ASDF_"},
}

// environ is the part of an environment that a host gets.
func environ(all []string) []string {
	var some []string
	for _, pair := range all {
		name, _, _ := strings.Cut(pair, "=")
		prefixed := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		// A token that this very command was given is not the host's.
		if slices.Contains(kept.names, name) || slices.ContainsFunc(kept.prefixes, prefixed) && name != "GX_TOKEN" {
			some = append(some, pair)
		}
	}
	return some
}
