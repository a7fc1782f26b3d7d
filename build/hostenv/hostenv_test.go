package hostenv_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/build/hostenv"
)

func file(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func discover(t *testing.T, env map[string]string) (hostenv.Env, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "generated")
	e, err := hostenv.Discover(func(key string) string { return env[key] }, dir)
	require.NoError(t, err)
	return e, dir
}

func source(e hostenv.Env, target string) string {
	for _, m := range e.Mounts() {
		if m.Target == target {
			return m.Source
		}
	}
	return ""
}

func TestCertificates(t *testing.T) {
	bundle := file(t, filepath.Join(t.TempDir(), "ca.pem"), "a certificate")
	e, dir := discover(t, map[string]string{"SSL_CERT_FILE": bundle})
	require.Equal(t, bundle, source(e, "/__gx/host/ca.crt"))
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"} {
		require.Contains(t, e.Vars(), name+"=/__gx/host/ca.crt")
	}
	apt, err := os.ReadFile(filepath.Join(dir, "apt.conf"))
	require.NoError(t, err)
	require.Equal(t, "Acquire::https::CAInfo \"/__gx/host/ca.crt\";\n", string(apt))
	require.Contains(t, e.Vars(), "APT_CONFIG=/__gx/host/apt.conf")
}

func TestProxiesAndIndexesAsTheyAre(t *testing.T) {
	e, _ := discover(t, map[string]string{
		"https_proxy": "http://user:word@proxy.internal:3128", "NO_PROXY": "localhost",
		"PIP_INDEX_URL": "https://index.internal/simple", "PIP_TRUSTED_HOST": "index.internal",
		"AWS_SECRET_ACCESS_KEY": "not for builds",
	})
	require.Contains(t, e.Vars(), "https_proxy=http://user:word@proxy.internal:3128")
	require.Contains(t, e.Vars(), "NO_PROXY=localhost")
	require.Contains(t, e.Vars(), "PIP_INDEX_URL=https://index.internal/simple")
	require.False(t, slices.ContainsFunc(e.Vars(), func(kv string) bool { return strings.Contains(kv, "not for builds") }))
}

func TestTheUsersPipConfigurationGoesBeforeTheSystems(t *testing.T) {
	home := t.TempDir()
	own := file(t, filepath.Join(home, ".config", "pip", "pip.conf"), "[global]\n")
	e, _ := discover(t, map[string]string{"HOME": home})
	require.Equal(t, own, source(e, "/__gx/host/pip.conf"))

	named := file(t, filepath.Join(home, "other.conf"), "[global]\n")
	e, _ = discover(t, map[string]string{"HOME": home, "PIP_CONFIG_FILE": named})
	require.Equal(t, named, source(e, "/__gx/host/pip.conf"))
	require.Contains(t, e.Vars(), "PIP_CONFIG_FILE=/__gx/host/pip.conf")
}

func TestFoldersOfWheels(t *testing.T) {
	wheels := t.TempDir()
	e, _ := discover(t, map[string]string{"PIP_FIND_LINKS": wheels + " https://wheels.internal/ /not/there file://" + wheels})
	require.Contains(t, e.Vars(), "PIP_FIND_LINKS=/__gx/host/wheels/0 https://wheels.internal/ /__gx/host/wheels/3")
	require.Equal(t, wheels, source(e, "/__gx/host/wheels/0"))
}

func TestRelativePathsAreNobodys(t *testing.T) {
	e, _ := discover(t, map[string]string{"SSL_CERT_FILE": "ca.pem", "PIP_CONFIG_FILE": "pip.conf", "PIP_FIND_LINKS": "wheels"})
	for _, m := range e.Mounts() {
		require.True(t, filepath.IsAbs(m.Source), m.Source)
	}
	require.Contains(t, e.Vars(), "PIP_FIND_LINKS=wheels", "pip says what is wrong with it")
}

func TestUVIsToldWhatPipIs(t *testing.T) {
	conf := file(t, filepath.Join(t.TempDir(), "pip.conf"), "[install]\nindex-url = https://no.internal/\n"+
		"[global]\n# a comment\nindex_url= https://index.internal/simple\nextra-index-url =\n  https://a.internal\n  https://b.internal\ntimeout = 5\n")
	e, _ := discover(t, map[string]string{"PIP_CONFIG_FILE": conf, "PIP_TRUSTED_HOST": "a.internal b.internal", "PIP_FIND_LINKS": "https://x.internal https://y.internal"})
	require.Subset(t, e.Vars(), []string{
		"UV_INDEX_URL=https://index.internal/simple", "UV_EXTRA_INDEX_URL=https://a.internal https://b.internal",
		"UV_INSECURE_HOST=a.internal b.internal", "UV_FIND_LINKS=https://x.internal,https://y.internal",
	})

	e, _ = discover(t, map[string]string{"PIP_CONFIG_FILE": conf, "PIP_INDEX_URL": "https://variable.internal"})
	require.Contains(t, e.Vars(), "UV_INDEX_URL=https://variable.internal")

	e, _ = discover(t, map[string]string{"PIP_CONFIG_FILE": conf, "UV_DEFAULT_INDEX": "https://own.internal"})
	require.Contains(t, e.Vars(), "UV_DEFAULT_INDEX=https://own.internal")
	require.False(t, slices.ContainsFunc(e.Vars(), func(kv string) bool { return strings.HasPrefix(kv, "UV_INDEX_URL") }))
}
