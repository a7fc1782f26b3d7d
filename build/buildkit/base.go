//go:build linux

package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build/debian"
)

const (
	layoutStore   = "gx/base"        // names the bootstrapped base's store in a session
	registryWait  = 3 * time.Second  // a registry that is to be had answers sooner
	registryAgain = 10 * time.Minute // until one that could not be had is asked again
	defaultPython = "3.11"
	systemPath    = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// origin is the base that a recipe stands on.
type origin struct {
	bootstrapped *debian.Base
	tag          string // of an image in a registry
}

// family names what package caches are shared by.
func (o origin) family() string {
	if o.bootstrapped != nil {
		return o.bootstrapped.Distribution + "-" + o.bootstrapped.Suite
	}
	return shortHash([]byte(o.tag))
}

// base prepares the recipe's first step as far as it needs no BuildKit.
func (s *solve) base(ctx context.Context, opt *client.SolveOpt) error {
	first := s.recipe.steps[0]
	if first.Op != app.OpDebianSlim && first.Op != app.OpDockerfile {
		return nil
	}
	wanted, near := first.Python, s.request.Python
	if first.Op == app.OpDockerfile {
		if wanted = dockerfilePython(first.Dockerfile); wanted == "" {
			return nil // no image that could be bootstrapped instead
		}
	}
	if s.engine.registryToTry() {
		return nil // found out within the session
	}
	return s.bootstrap(ctx, wanted, near, opt)
}

// bootstrap has the base made from a package archive and serves it to the
// session.
func (s *solve) bootstrap(ctx context.Context, wanted, near string, opt *client.SolveOpt) error {
	options := s.engine.cfg.Bases
	options.Python, options.Near = wanted, near
	base, err := debian.Bootstrap(ctx, options, func(p debian.Progress) { s.track.preparing(p.Text, p.Current, p.Total) })
	if err != nil {
		return err
	}
	for _, note := range base.Notes {
		s.track.say(0, note)
	}
	store, err := local.NewStore(base.LayoutDir)
	if err != nil {
		return fmt.Errorf("opening the base image: %w", err)
	}
	s.origin.bootstrapped = &base
	if opt.OCIStores == nil {
		opt.OCIStores = map[string]content.Store{}
	}
	opt.OCIStores[layoutStore] = store
	return nil
}

// layout is the bootstrapped base's first stage in LLB.
func (s *solve) layout(i int) llb.State {
	base := s.origin.bootstrapped
	return llb.OCILayout(layoutStore+"@"+base.Digest, llb.OCIStore("", layoutStore), llb.WithCustomName(vertexName(i, base.Configure == "")))
}

// configured is the bootstrapped base, ready for use.
func (s *solve) configured(i int) llb.State {
	state := s.layout(i)
	if script := s.origin.bootstrapped.Configure; script != "" {
		state = state.Run(llb.Args([]string{"/bin/sh", "-c", script}), llb.WithCustomName(vertexName(i, true)),
			llb.Network(pb.NetMode_NONE), llb.AddEnv("PATH", systemPath), llb.Dir("/")).Root()
	}
	return state
}

// from begins the chain.
func (s *solve) from(ctx context.Context, gw gateway.Client, i int, step app.Step) error {
	switch {
	case step.Op == app.OpScratch:
		s.state = llb.Scratch()
		s.env["PATH"] = systemPath
		return nil
	case step.Op == app.OpDebianSlim && s.origin.bootstrapped != nil:
		base := s.origin.bootstrapped
		s.state = s.configured(i)
		for _, kv := range base.Env {
			key, value, _ := strings.Cut(kv, "=")
			s.env[key] = value
		}
		s.config.Python, s.config.Version = base.PythonPath, base.Python
		return nil
	case step.Op == app.OpDebianSlim:
		python := step.Python
		if python == "" {
			python = s.request.Python
		}
		if python == "" {
			python = defaultPython
		}
		err := s.registry(ctx, gw, i, "python:"+python+"-slim", registryWait)
		if unreachable := new(registryError); errors.As(err, &unreachable) {
			s.unreachable = err // the recipe is begun anew with a bootstrapped base
		}
		return err
	}
	if err := s.registry(ctx, gw, i, step.Tag, time.Minute); err != nil {
		if ctx.Err() == nil {
			s.refused = fmt.Errorf("%w; where no registry can be reached, use debian_slim, which is made from the Debian archive", err)
		}
		return err
	}
	if len(step.Setup) > 0 {
		setup := app.Step{Op: app.OpDockerfileCommands, Dockerfile: strings.Join(step.Setup, "\n")}
		if err := s.dockerfile(ctx, gw, i, setup); err != nil {
			return err
		}
	}
	if step.AddPython != "" {
		s.addPython(i, step.AddPython)
	}
	return nil
}

// registry begins the chain with an image from a registry.
func (s *solve) registry(ctx context.Context, gw gateway.Client, i int, tag string, wait time.Duration) error {
	resolving, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, digest, config, err := gw.ResolveImageConfig(resolving, tag, sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: pb.AttrImageResolveModeDefault}})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &registryError{tag: tag, err: err}
	}
	s.origin.tag = tag
	reference := tag
	if digest != "" && !strings.Contains(tag, "@") {
		reference = tag + "@" + digest.String()
	}
	s.state = llb.Image(reference, llb.WithCustomName(vertexName(i, true)))
	s.env["PATH"] = systemPath
	return s.adopt(config)
}

// registryError is an image that could not be had from a registry.
type registryError struct {
	tag string
	err error
}

func (e *registryError) Error() string {
	return fmt.Sprintf("the image %s could not be had from its registry: %v", e.tag, e.err)
}

func (e *registryError) Unwrap() error { return e.err }

// addPython installs a Python into an image that comes without.
func (s *solve) addPython(i int, version string) {
	script := fmt.Sprintf(`set -e
if command -v python%[1]s >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null; then echo "add_python=%[1]s needs an image of Debian or Ubuntu" >&2; exit 1; fi
apt-get update
if ! apt-cache show python%[1]s >/dev/null 2>&1; then echo "this image's archive has no python%[1]s; choose the version that its distribution has" >&2; exit 1; fi
apt-get install -y --no-install-recommends python%[1]s python3-pip
command -v python3 >/dev/null || ln -s "$(command -v python%[1]s)" /usr/local/bin/python3
ln -sf "$(command -v python%[1]s)" /usr/local/bin/python
find /usr/lib/python3* -name EXTERNALLY-MANAGED -delete`, version)
	s.exec(i, []string{"/bin/sh", "-c", script}, []string{"DEBIAN_FRONTEND=noninteractive"})
}

// dockerfilePython is the Python version of a Dockerfile's base, where that is
// an image of Python on Debian, which can be bootstrapped instead.
func dockerfilePython(text string) string {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.EqualFold(fields[0], "FROM") {
			continue
		}
		tag, ok := strings.CutPrefix(fields[1], "python:")
		if !ok {
			return ""
		}
		version, _, _ := strings.Cut(tag, "-")
		parts := strings.Split(version, ".")
		if len(parts) < 2 {
			return ""
		}
		return parts[0] + "." + parts[1]
	}
	return ""
}

// offlineBases puts the bootstrapped base in the place of a Dockerfile's.
func (s *solve) offlineBases(ctx context.Context, gw gateway.Client, text string, options map[string]string, inputs map[string]*pb.Definition) error {
	if s.origin.bootstrapped == nil {
		return s.onlineBases(ctx, gw, text)
	}
	def, err := s.configured(0).Marshal(ctx)
	if err != nil {
		return err
	}
	inputs["gx-python"] = def.ToPB()
	for _, tag := range pythonBases(text) {
		options["context:"+tag] = "input:gx-python"
	}
	return nil
}

// onlineBases looks whether a registry has the bases that could be bootstrapped
// instead. If it cannot be reached the recipe is begun anew, with those.
func (s *solve) onlineBases(ctx context.Context, gw gateway.Client, text string) error {
	if dockerfilePython(text) == "" {
		return nil
	}
	for _, tag := range pythonBases(text) {
		if err := s.resolves(ctx, gw, tag); err != nil {
			if ctx.Err() == nil {
				s.unreachable = err
			}
			return err
		}
	}
	return nil
}

func (s *solve) resolves(ctx context.Context, gw gateway.Client, tag string) error {
	resolving, cancel := context.WithTimeout(ctx, registryWait)
	defer cancel()
	_, _, _, err := gw.ResolveImageConfig(resolving, tag, sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: pb.AttrImageResolveModeDefault}})
	if err != nil {
		return &registryError{tag: tag, err: err}
	}
	return nil
}

// pythonBases are the images in a Dockerfile that a bootstrapped base can stand for.
func pythonBases(text string) (tags []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && strings.EqualFold(fields[0], "FROM") && strings.HasPrefix(fields[1], "python:") {
			tags = append(tags, fields[1])
		}
	}
	return tags
}

// registryNote remembers, across hosts, that no registry could be reached.
func (e *Engine) registryNote() string { return filepath.Join(e.cfg.Dir, "no-registry") }

// registryToTry tells whether it is worth asking a registry.
func (e *Engine) registryToTry() bool {
	if !e.cfg.Registry {
		return false
	}
	info, err := os.Stat(e.registryNote())
	return err != nil || e.cfg.Now().Sub(info.ModTime()) > registryAgain
}

// noRegistry remembers that none was to be had.
func (e *Engine) noRegistry(cause error) {
	data, _ := json.Marshal(map[string]string{"error": cause.Error()})
	if err := os.WriteFile(e.registryNote(), data, 0o600); err != nil {
		e.cfg.Log.Warn("remembering that no registry can be reached", "error", err)
	}
}
