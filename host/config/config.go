// Package config reads gx's configuration file. It knows the settings and
// their bounds, not who uses them.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/pelletier/go-toml/v2"

	"github.com/gx-dev/gx/gpu"
)

// Config are the settings of a host. The zero value of each means its default.
type Config struct {
	// Runtime is how containers are made: "runc", "process", or "" = the best
	// that is possible on this machine.
	Runtime string `toml:"runtime"`
	// IdleTimeout is how long a host with nothing to do stays, as "15m".
	IdleTimeout Duration `toml:"idle_timeout"`
	// ForkServer says whether further containers of a function are forked from
	// one that has loaded its code: "auto" (the default) or "off".
	ForkServer string `toml:"fork_server"`
	// DiskBudget is what images, uploads and logs may occupy together, as
	// "50 GiB"; default: a fifth of the file system, at most 50 GiB.
	DiskBudget Size `toml:"disk_budget"`
	// DictTTL is how long an entry of a dict is kept after its last use, as
	// "24h"; default: 7 days; "never" = entries stay.
	DictTTL Expiry `toml:"dict_ttl"`
	// GPUProvider is where GPUs come from: "nvml" (the machine's own), "emulator",
	// "none", or "auto" (the default) = the machine's own if it has some, else the
	// emulator.
	GPUProvider string `toml:"gpu_provider"`
	// GPUs is the emulator's inventory, as "A100-80GB:8,T4:4"; default: as many as
	// are asked for.
	GPUs string `toml:"gpus"`
	// GPUPrices are US dollars per second where they differ from the list: of a
	// card, by its name, of "cpu" (one core) and "memory" (one GiB).
	GPUPrices map[string]float64 `toml:"gpu_prices"`
	Images    Images             `toml:"images"`
	Volumes   Volumes            `toml:"volumes"`
	Deploy    Deploy             `toml:"deploy"`
	Web       Web                `toml:"web"`
	Logs      Logs               `toml:"logs"`
}

// Deploy says which old versions of deployed apps are kept, so that one can go
// back to them.
type Deploy struct {
	// KeepVersions is how many of an app are kept; default: 20.
	KeepVersions int `toml:"keep_versions"`
	// KeepFor is how long a version is kept after it was made, as "720h";
	// default: however long.
	KeepFor Expiry `toml:"keep_for"`
}

// Volumes say which old versions of a volume are kept: the newest ones, as long
// as they exceed none of these.
type Volumes struct {
	// KeepFor is how long a version is kept after it was replaced, as "720h";
	// default: 30 days; "never" = that alone removes none.
	KeepFor Expiry `toml:"keep_for"`
	// KeepVersions is how many are kept; default: 100.
	KeepVersions int `toml:"keep_versions"`
	// KeepSize is what one volume may have beyond its newest version, as
	// "20 GiB"; default: that.
	KeepSize Size `toml:"keep_size"`
}

// Logs are the settings of what apps print.
type Logs struct {
	// MaxAge is how long lines are kept, as "720h"; default: 30 days; "never" =
	// age is no reason to remove them.
	MaxAge Expiry `toml:"max_age"`
	// PerApp is how much of one app is kept, as "1 GiB"; default: 4 GiB, at most
	// an eighth of the disk budget.
	PerApp Size `toml:"per_app"`
	// Budget is how much of all apps that have ended is kept; default: 1 GiB, at
	// most an eighth of the disk budget.
	Budget Size `toml:"budget"`
}

// Web are the settings of web endpoints.
type Web struct {
	// Addr is where requests come in, as "127.0.0.1:7272"; default: that, or
	// another port if it is in use.
	Addr string `toml:"addr"`
	// TrustProxy says that a proxy of this machine passes requests on, which is
	// believed in who its clients are and whether they speak HTTPS.
	TrustProxy bool `toml:"trust_proxy"`
}

// Images are the settings of building.
type Images struct {
	// Registry says whether image registries are asked: "auto" (the default)
	// or "off".
	Registry string `toml:"registry"`
	// DebianSources is the archive that debian_slim is made from, in the
	// language of apt's sources; default: what the machine's own apt uses.
	DebianSources string `toml:"debian_sources"`
	// DebianTarball is a root file system to use instead, as a tarball.
	DebianTarball string `toml:"debian_tarball"`
	// TorchIndex is the URL of a package index with PyTorch's builds for the CPU,
	// which images then take in the place of those for CUDA. It counts only where
	// GPUs are emulated; default: none.
	TorchIndex string `toml:"torch_index"`
}

// Load reads a file; one that does not exist is one without settings. The
// environment goes before the file: GX_RUNTIME, GX_IDLE_TIMEOUT,
// GX_DISK_BUDGET, GX_FORK_SERVER, GX_DICT_TTL, GX_GPU_PROVIDER, GX_GPUS, GX_DEPLOY_KEEP_VERSIONS, GX_DEPLOY_KEEP_FOR, GX_VOLUMES_KEEP_FOR,
// GX_VOLUMES_KEEP_VERSIONS, GX_VOLUMES_KEEP_SIZE, GX_REGISTRY, GX_TORCH_INDEX, GX_WEB_ADDR, GX_WEB_TRUST_PROXY.
func Load(path string, getenv func(string) string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && path != "" {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	decoder := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, fmt.Errorf("%s: %w", path, explain(err))
	}
	for _, v := range variablesOf(&c) {
		if value := getenv(v.name); value != "" {
			if err := v.set(value); err != nil {
				return c, fmt.Errorf("%s: %w", v.name, err)
			}
		}
	}
	return c, c.validate()
}

// variable is one of the environment that sets a setting.
type variable struct {
	name, key string
	set       func(string) error
}

func variablesOf(c *Config) []variable {
	return []variable{
		{"GX_RUNTIME", "runtime", func(v string) error { c.Runtime = v; return nil }},
		{"GX_IDLE_TIMEOUT", "idle_timeout", func(v string) error { return c.IdleTimeout.UnmarshalText([]byte(v)) }},
		{"GX_DISK_BUDGET", "disk_budget", func(v string) error { return c.DiskBudget.UnmarshalText([]byte(v)) }},
		{"GX_FORK_SERVER", "fork_server", func(v string) error { c.ForkServer = v; return nil }},
		{"GX_DICT_TTL", "dict_ttl", func(v string) error { return c.DictTTL.UnmarshalText([]byte(v)) }},
		{"GX_DEPLOY_KEEP_VERSIONS", "deploy.keep_versions", func(v string) (err error) { c.Deploy.KeepVersions, err = strconv.Atoi(v); return err }},
		{"GX_DEPLOY_KEEP_FOR", "deploy.keep_for", func(v string) error { return c.Deploy.KeepFor.UnmarshalText([]byte(v)) }},
		{"GX_VOLUMES_KEEP_FOR", "volumes.keep_for", func(v string) error { return c.Volumes.KeepFor.UnmarshalText([]byte(v)) }},
		{"GX_VOLUMES_KEEP_VERSIONS", "volumes.keep_versions", func(v string) (err error) { c.Volumes.KeepVersions, err = strconv.Atoi(v); return err }},
		{"GX_VOLUMES_KEEP_SIZE", "volumes.keep_size", func(v string) error { return c.Volumes.KeepSize.UnmarshalText([]byte(v)) }},
		{"GX_GPU_PROVIDER", "gpu_provider", func(v string) error { c.GPUProvider = v; return nil }},
		{"GX_GPUS", "gpus", func(v string) error { c.GPUs = v; return nil }},
		{"GX_WEB_ADDR", "web.addr", func(v string) error { c.Web.Addr = v; return nil }},
		{"GX_WEB_TRUST_PROXY", "web.trust_proxy", func(v string) (err error) { c.Web.TrustProxy, err = strconv.ParseBool(v); return err }},
		{"GX_TORCH_INDEX", "images.torch_index", func(v string) error { c.Images.TorchIndex = v; return nil }},
		{"GX_REGISTRY", "images.registry", func(v string) error { c.Images.Registry = v; return nil }},
	}
}

func (c Config) validate() error {
	switch c.Runtime {
	case "", "auto", "runc", "process":
	default:
		return fmt.Errorf("runtime %q: it can be runc, process or auto", c.Runtime)
	}
	switch c.ForkServer {
	case "", "auto", "off":
	default:
		return fmt.Errorf("fork_server %q: it can be auto or off", c.ForkServer)
	}
	switch c.GPUProvider {
	case "", "auto", "nvml", "emulator", "none":
	default:
		return fmt.Errorf("gpu_provider %q: it can be nvml, emulator, none or auto", c.GPUProvider)
	}
	if u, err := url.Parse(c.Images.TorchIndex); err != nil || c.Images.TorchIndex != "" && u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("images.torch_index %q: it is a URL, as https://HOST/whl/cpu", c.Images.TorchIndex)
	}
	if _, err := gpu.ParseStock(c.GPUs); err != nil {
		return fmt.Errorf("gpus: %w; write it as A100-80GB:8,T4:4", err)
	}
	if _, err := gpu.ListPrices().With(c.GPUPrices); err != nil {
		return fmt.Errorf("gpu_prices: %w", err)
	}
	if c.Web.Addr != "" {
		host, _, err := net.SplitHostPort(c.Web.Addr)
		if err != nil {
			return fmt.Errorf("web.addr %q: it is an address and a port, as 127.0.0.1:7272: %w", c.Web.Addr, err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("web.addr %q: only addresses of this machine's loopback are possible", c.Web.Addr)
		}
	}
	switch c.Images.Registry {
	case "", "auto", "off":
	default:
		return fmt.Errorf("images.registry %q: it can be auto or off", c.Images.Registry)
	}
	if c.Deploy.KeepVersions < 0 {
		return fmt.Errorf("deploy.keep_versions %d: it is a number from 1 on", c.Deploy.KeepVersions)
	}
	if c.Volumes.KeepVersions < 0 {
		return fmt.Errorf("volumes.keep_versions %d: it is a number from 1 on", c.Volumes.KeepVersions)
	}
	if c.Logs.PerApp != 0 && c.Logs.PerApp < minLog {
		return fmt.Errorf("logs.per_app %s: give %s at least", humanize.IBytes(uint64(c.Logs.PerApp)), humanize.IBytes(minLog))
	}
	if c.DiskBudget != 0 && c.DiskBudget < 1<<30 {
		return fmt.Errorf("disk_budget %s: an image alone needs more; give 1 GiB at least", humanize.IBytes(uint64(c.DiskBudget)))
	}
	return nil
}

// minLog is the least that is kept of an app's output: two segments.
const minLog = 16 << 20

// explain says where in the file a mistake is.
func explain(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("line %d: there is no setting %s", row, strings.Join(first.Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		return fmt.Errorf("line %d: %s", row, decode.Error())
	}
	return err
}

// Duration is a duration written as "15m".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration such as \"15m\"", text)
	}
	*d = Duration(v)
	return nil
}

// Expiry is a Duration that may be "never", which is -1.
type Expiry time.Duration

// UnmarshalText reads a duration or "never".
func (e *Expiry) UnmarshalText(text []byte) error {
	if string(text) == "never" {
		*e = -1
		return nil
	}
	return (*Duration)(e).UnmarshalText(text)
}

// Size is a number of bytes written as "50 GiB".
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := humanize.ParseBytes(string(text))
	if err != nil || v > 1<<60 {
		return fmt.Errorf("%q is not a size such as \"50 GiB\"", text)
	}
	*s = Size(v)
	return nil
}
