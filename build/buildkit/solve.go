//go:build linux

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// solve is one recipe on its way through BuildKit.
type solve struct {
	engine  *Engine
	recipe  *recipe
	request build.Request
	staged  *staged
	track   *tracker
	origin  origin // the base, once it is known
	// unreachable is why no registry gave the base, where one can be made here.
	unreachable error
	// refused is an error that says more than what comes back through BuildKit.
	refused error

	state  llb.State
	first  llb.State         // after the first step, which depends on nothing else
	env    map[string]string // set by env steps and bases, in force for later steps
	config build.Config
}

// run builds the recipe's chain. It is called by BuildKit's client, within the
// session that serves local files.
func (s *solve) run(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
	s.env = map[string]string{}
	for i, step := range s.recipe.steps {
		if err := s.step(ctx, gw, i, step); err != nil {
			return nil, err
		}
		if i == 0 {
			s.first = s.state
		}
	}
	if s.config.Python == "" {
		if err := s.findPython(ctx, gw); err != nil {
			return nil, err
		}
	}
	s.config.Env = environ(s.env)
	return s.evaluate(ctx, gw, s.state)
}

// evaluate solves a state and waits for it.
func (s *solve) evaluate(ctx context.Context, gw gateway.Client, state llb.State) (*gateway.Result, error) {
	def, err := state.Marshal(ctx, llb.Platform(platforms.DefaultSpec()))
	if err != nil {
		return nil, fmt.Errorf("writing the image's steps for BuildKit: %w", err)
	}
	return gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
}

func (s *solve) step(ctx context.Context, gw gateway.Client, i int, step app.Step) error {
	switch step.Op {
	case app.OpDebianSlim, app.OpRegistry, app.OpScratch:
		return s.from(ctx, gw, i, step)
	case app.OpDockerfile, app.OpDockerfileCommands:
		return s.dockerfile(ctx, gw, i, step)
	case app.OpApt:
		s.apt(i, step)
	case app.OpPip:
		s.pip(i, step)
	case app.OpUVPip, app.OpUVSync, app.OpPoetry:
		s.install(i, step)
	case app.OpRun:
		s.exec(i, []string{"/bin/sh", "-c", strings.Join(step.Commands, " && ")}, nil)
	case app.OpFunction:
		s.function(i)
	case app.OpCopy:
		s.copy(i, step)
	case app.OpEnv:
		maps.Copy(s.env, step.Env)
	case app.OpWorkdir:
		s.config.Workdir = path.Join("/", s.config.Workdir, step.Path)
		if path.IsAbs(step.Path) {
			s.config.Workdir = path.Clean(step.Path)
		}
	case app.OpEntrypoint:
		s.config.Entrypoint = step.Commands
	case app.OpCmd, app.OpShell:
		// Recorded in the recipe's identity; gx starts its own runner.
	default:
		s.refused = fmt.Errorf("this host does not know the image step %q; is the SDK newer than it?", step.Op)
		return s.refused
	}
	return nil
}

// exec adds a command as the step's last operation. extra are variables for
// this command alone.
func (s *solve) exec(i int, args []string, extra []string, options ...llb.RunOption) {
	s.state = s.state.Run(append(s.common(i, true, args, extra), options...)...).Root()
}

func (s *solve) common(i int, last bool, args []string, extra []string) []llb.RunOption {
	options := []llb.RunOption{llb.Args(args), llb.WithCustomName(vertexName(i, last)), llb.Dir(s.workdir())}
	for _, kv := range append(environ(s.env), extra...) {
		key, value, _ := strings.Cut(kv, "=")
		options = append(options, llb.AddEnv(key, value))
	}
	if step := s.recipe.steps[i]; step.Op != app.OpEnv {
		for _, name := range sortedKeys(step.Env) {
			options = append(options, llb.AddEnv(name, step.Env[name]))
		}
	}
	if last {
		options = append(options, s.secretEnv(i)...)
		options = append(options, s.volumeOptions(i)...)
	}
	if s.forced(i) {
		options = append(options, llb.IgnoreCache)
	}
	return options
}

func (s *solve) forced(i int) bool { return s.recipe.force >= 0 && i >= s.recipe.force }

func (s *solve) workdir() string {
	if s.config.Workdir == "" {
		return "/root"
	}
	return s.config.Workdir
}

// apt installs packages. The package lists and archives are kept between
// builds, and are not in the image.
func (s *solve) apt(i int, step app.Step) {
	script := "apt-get update && apt-get install -y " + quoteAll(step.Packages)
	s.exec(i, []string{"/bin/sh", "-c", script}, []string{"DEBIAN_FRONTEND=noninteractive"},
		cacheMount("/var/cache/apt", "gx-apt-archives-"+s.origin.family(), llb.CacheMountLocked),
		cacheMount("/var/lib/apt/lists", "gx-apt-lists-"+s.origin.family(), llb.CacheMountLocked))
}

// pip installs packages; pip compiles what it installs. The wheels that it
// downloads or makes are kept between builds, and are not in the image.
func (s *solve) pip(i int, step app.Step) {
	args := []string{s.python(), "-m", "pip", "install"}
	args = append(args, step.Options...)
	options := []llb.RunOption{pipCache()}
	if step.Requirements != "" {
		options = append(options, requirements(i, step))
		args = append(args, "-r", requirementsFile)
	}
	s.exec(i, append(args, step.Packages...), pipSettings, options...)
}

// pipSettings are variables for pip.
var pipSettings = []string{
	"PIP_BREAK_SYSTEM_PACKAGES=1", // the image is ours: nobody else's packages can break
	"PIP_CACHE_DIR=/root/.cache/pip",
	"PIP_PROGRESS_BAR=off",
}

func pipCache() llb.RunOption {
	return cacheMount("/root/.cache/pip", "gx-pip", llb.CacheMountShared)
}

// requirementsFile is where a step's commands find its requirements.
const requirementsFile = "/__gx/requirements/requirements.txt"

func requirements(i int, step app.Step) llb.RunOption {
	file := llb.Scratch().File(llb.Mkfile("/"+path.Base(requirementsFile), 0o644, []byte(step.Requirements)), llb.WithCustomName(vertexName(i, false)))
	return llb.AddMount(path.Dir(requirementsFile), file, llb.Readonly)
}

func (s *solve) python() string {
	if s.config.Python != "" {
		return s.config.Python
	}
	return "python3"
}

// copy puts local files into the image, and compiles the Python among them:
// without byte code an import costs several times as much.
func (s *solve) copy(i int, step app.Step) {
	var python []string
	for _, f := range step.Files {
		if strings.HasSuffix(f.Remote, ".py") {
			python = append(python, path.Clean(f.Remote))
		}
	}
	local := s.context(i)
	options := []llb.ConstraintsOpt{llb.WithCustomName(vertexName(i, len(python) == 0))}
	if s.forced(i) {
		options = append(options, llb.IgnoreCache)
	}
	var action *llb.FileAction
	for _, place := range places(step.Files) {
		info := &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true}
		if action == nil {
			action = llb.Copy(local, place, place, info)
		} else {
			action = action.Copy(local, place, place, info)
		}
	}
	if action == nil {
		return
	}
	s.state = s.state.File(action, options...)
	if len(python) == 0 {
		return
	}
	for len(python) > 0 {
		var some []string
		some, python = fitting(python)
		// Files that are not Python of this version stay as they are.
		s.exec(i, append([]string{s.python(), "-m", "compileall", "-q"}, some...), nil,
			llb.ValidExitCodes(0, 1))
	}
}

// places are the directories, or files, that are copied to the same place in the
// image. What the image has there already, a /tmp that anybody may write to or a
// /bin that is a link, stays what it is; what is copied below it does not.
func places(files []app.File) []string {
	if len(files) == 0 {
		return nil
	}
	paths := make([]app.File, len(files))
	for i, f := range files {
		paths[i].Remote = path.Clean("/" + f.Remote)
	}
	if len(files) == 1 {
		if files[0].Dir {
			return []string{path.Dir(paths[0].Remote)}
		}
		return []string{paths[0].Remote}
	}
	if common := commonDir(paths); common != "/" {
		return []string{common}
	}
	tops := map[string]bool{}
	for _, f := range paths {
		top, _, below := strings.Cut(f.Remote[1:], "/")
		if below {
			top += "/"
		}
		tops["/"+top] = true
	}
	return slices.Sorted(maps.Keys(tops))
}

// fitting divides arguments into those that one command can have, and the rest.
func fitting(args []string) (some, rest []string) {
	const most = 1 << 20 // the kernel allows 2 MiB with the environment
	size := 0
	for i, arg := range args {
		if size += len(arg) + 9; size > most && i > 0 {
			return args[:i], args[i:]
		}
	}
	return args, nil
}

// context are a step's local files.
func (s *solve) context(i int) llb.State {
	name := localName(s.recipe.keys[i])
	return llb.Local(name, llb.SharedKeyHint(name), llb.WithCustomName(vertexName(i, false)))
}

func cacheMount(target, id string, mode llb.CacheMountSharingMode) llb.RunOption {
	return llb.AddMount(target, llb.Scratch(), llb.AsPersistentCacheDir(id, mode))
}

// findPython asks an image that gx knows nothing of for its interpreter.
func (s *solve) findPython(ctx context.Context, gw gateway.Client) error {
	const script = `p=$(command -v python3 || command -v python) || exit 0
"$p" -c 'import sys; open("/__gx/out/python", "w").write("%s\n%d.%d" % ((sys.executable,) + sys.version_info[:2]))'`
	i := len(s.recipe.steps) - 1
	options := s.common(i, false, []string{"/bin/sh", "-c", script}, nil)
	run := s.state.Run(append(options, llb.ReadonlyRootFS())...)
	out := run.AddMount("/__gx/out", llb.Scratch())
	result, err := s.evaluate(ctx, gw, out)
	if err != nil {
		return fmt.Errorf("looking for Python in the image: %w", err)
	}
	ref, err := result.SingleRef()
	if err != nil {
		return err
	}
	found, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: "python"})
	if err != nil {
		s.refused = errors.New("the image has no Python: choose a base with one, or let from_registry(..., add_python=\"3.11\") add it")
		return s.refused
	}
	python, version, _ := strings.Cut(string(found), "\n")
	s.config.Python, s.config.Version = python, version
	return nil
}

func environ(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		out = append(out, key+"="+env[key])
	}
	return out
}

// quoteAll quotes words for a shell.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
