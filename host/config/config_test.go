package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func load(t *testing.T, text string, env map[string]string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Load(path, func(key string) string { return env[key] })
}

func TestLoad(t *testing.T) {
	c, err := load(t, `
runtime = "runc"
idle_timeout = "90s"
disk_budget = "5 GiB"
[images]
registry = "off"
debian_tarball = "/srv/base.tar"
`, nil)
	require.NoError(t, err)
	require.Equal(t, Config{Runtime: "runc", IdleTimeout: Duration(90 * time.Second), DiskBudget: 5 << 30,
		Images: Images{Registry: "off", DebianTarball: "/srv/base.tar"}}, c)

	c, err = load(t, `runtime = "runc"`, map[string]string{"GX_RUNTIME": "process", "GX_DISK_BUDGET": "2GiB", "GX_IDLE_TIMEOUT": "1h", "GX_REGISTRY": "off"})
	require.NoError(t, err)
	require.Equal(t, "process", c.Runtime, "the environment goes before the file")
	require.Equal(t, Size(2<<30), c.DiskBudget)

	for text, want := range map[string]Expiry{`dict_ttl = "36h"`: Expiry(36 * time.Hour), `dict_ttl = "never"`: -1} {
		c, err = load(t, text, nil)
		require.NoError(t, err)
		require.Equal(t, want, c.DictTTL)
	}

	c, err = load(t, "[volumes]\nkeep_for = \"never\"\nkeep_versions = 7\nkeep_size = \"1 MiB\"", map[string]string{"GX_VOLUMES_KEEP_SIZE": "2 MiB"})
	require.NoError(t, err)
	require.Equal(t, Volumes{KeepFor: -1, KeepVersions: 7, KeepSize: 2 << 20}, c.Volumes)

	c, err = Load(filepath.Join(t.TempDir(), "none"), func(string) string { return "" })
	require.NoError(t, err)
	require.Zero(t, c)
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"runtime = \"docker\"":          "runc, process or auto",
		"\n\nruntme = \"runc\"":         "line 3: there is no setting runtme",
		"[images]\nregistri = \"off\"":  "images.registri",
		"idle_timeout = \"soon\"":       "not a duration",
		"idle_timeout = \"-1s\"":        "not a duration",
		"dict_ttl = \"0s\"":             "not a duration",
		"disk_budget = \"lots\"":        "not a size",
		"disk_budget = \"10 MiB\"":      "1 GiB at least",
		"[logs]\nper_app = \"1 MiB\"":   "16 MiB at least",
		"[logs]\nmax_age = \"1 month\"": "is not a duration",
		"runtime = ":                    "line 1",
		"[volumes]\nkeep_versions = -1": "from 1 on",
		"[images]\nregistry = \"some\"": "auto or off",
	} {
		_, err := load(t, text, nil)
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("runtime = \"runc\"\n[images]\nregistry = \"off\"\n")
	f.Add("disk_budget = \"5 GiB\"")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, func(string) string { return "" })
		if err == nil && c.validate() != nil {
			t.Error("what was loaded is not valid")
		}
	})
}
