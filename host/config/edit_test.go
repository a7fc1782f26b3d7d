package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gx", "config.toml")
	check := func(want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%v\ngot\n%s\nwant\n%s", err, got, want)
		}
	}
	set := func(key, value string) {
		t.Helper()
		if err := Set(path, key, value); err != nil {
			t.Fatal(err)
		}
	}
	set("gpus", "A100-80GB:8,T4:4")
	check("gpus = \"A100-80GB:8,T4:4\"\n")
	set("gpu_prices.T4", "0.0002")
	check("gpus = \"A100-80GB:8,T4:4\"\n\n[gpu_prices]\nT4 = 0.0002\n")
	text := "# mine\nruntime = \"runc\"   # as always\n\n[images]\n# none here\nregistry = \"off\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set("runtime", "process")
	set("idle_timeout", "1h")
	set("images.registry", "auto")
	set("images.debian_tarball", "/x.tar")
	check("# mine\nruntime = \"process\" # as always\nidle_timeout = \"1h\"\n\n[images]\n# none here\nregistry = \"auto\"\ndebian_tarball = \"/x.tar\"\n")
	set("runtime", "")
	set("images.debian_tarball", "")
	check("# mine\nidle_timeout = \"1h\"\n\n[images]\n# none here\nregistry = \"auto\"\n")
	for _, c := range []struct{ key, value, want string }{
		{"gpus", "T5", "T5"}, {"nonsense", "1", "there is no setting nonsense; there are "}, {"gpu_prices", "1", "gpu_prices.NAME"},
		{"gpu_prices.T4", "cheap", "is a number"}, {"runtime", "docker", "it can be"}, {"volumes.keep_versions", "x", "is a number"}, {"gpu_prices.T5", "0.1", "T5"},
	} {
		if err := Set(path, c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s: %v", c.key, c.value, err)
		}
	}
	check("# mine\nidle_timeout = \"1h\"\n\n[images]\n# none here\nregistry = \"auto\"\n")
}

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("gpus = \"T4\"\n[images]\nregistry = \"off\"\n[gpu_prices]\nL4 = 0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := Settings(path, func(name string) string { return map[string]string{"GX_GPUS": "L4:2"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list {
		got[s.Key] = s.Value + " " + s.From
	}
	for key, want := range map[string]string{"gpus": "L4:2 GX_GPUS", "images.registry": "off file", "gpu_prices.L4": "0.1 file", "runtime": " default", "web.addr": " default"} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
}

// Every variable sets a setting that there is.
func TestVariables(t *testing.T) {
	list, err := Settings("", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, s := range list {
		keys[s.Key] = true
	}
	for _, v := range variablesOf(&Config{}) {
		if !keys[v.key] {
			t.Errorf("%s sets %s, which is none", v.name, v.key)
		}
	}
}

func FuzzEdit(f *testing.F) {
	f.Add("gpus = \"T4\"\n[images]\n", "images.registry", "off")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		edit([]byte(text), key, value)
	})
}
