//go:build linux

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/session/secrets"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/build/hostenv"
)

// Where a function finds things while an image is built.
const (
	sdkDir      = "/__gx/sdk"
	functionDir = "/__gx/function"
	// buildRunner is the program that calls the function.
	buildRunner = sdkDir + "/" + build.CallProgram
)

// function calls a Python function in a step of its own. What the function
// needs besides the image, that is the SDK and the user's modules, comes by way
// of the executor: it is no part of the image, and the solver sees of it the
// step's key alone.
func (s *solve) function(i int) {
	s.exec(i, []string{s.python(), buildRunner, s.recipe.keys[i], functionDir}, []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"})
}

// writeFunction writes the request for a function beside the user's files.
func writeFunction(dir string, step app.Step) error {
	data, err := build.CallRequest(step, path.Join(functionDir, "root"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, build.CallFile), data, 0o600)
}

// functions are the folders of the functions that run in builds, by the keys of
// their steps. It is safe for concurrent use.
type functions struct {
	mu    sync.Mutex
	sdk   string
	dirs  map[string]string
	users map[string]int // builds that have provided the folder, or would have
}

func newFunctions() *functions {
	return &functions{dirs: map[string]string{}, users: map[string]int{}}
}

// provide makes folders known until release is called. Of two builds that run
// the same step at once, BuildKit carries it out once: it does not matter for
// which.
func (f *functions) provide(dirs map[string]string, sdk func() (string, error)) (release func(), err error) {
	if len(dirs) == 0 {
		return func() {}, nil
	}
	if sdk == nil {
		return nil, errors.New("this engine has no SDK, so it can't run functions")
	}
	at, err := sdk()
	if err != nil {
		return nil, fmt.Errorf("the SDK for functions that run in builds: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sdk = at
	for key, dir := range dirs {
		f.dirs[key] = dir
		f.users[key]++
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for key := range dirs {
			if f.users[key]--; f.users[key] == 0 {
				delete(f.dirs, key)
				delete(f.users, key)
			}
		}
	}, nil
}

// mounts are what the command of a build step gets, if it runs a function.
func (f *functions) mounts(args []string) []hostenv.Mount {
	if len(args) != 4 || args[1] != buildRunner {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := f.dirs[args[2]]
	if dir == "" {
		return nil
	}
	return []hostenv.Mount{{Source: f.sdk, Target: sdkDir}, {Source: dir, Target: functionDir}}
}

// secretID names a secret of a step.
func secretID(key, name string) string { return "gx-" + key + "-" + name }

// secretEnv gives a step's command its secrets as variables.
func (s *solve) secretEnv(i int) []llb.RunOption {
	var options []llb.RunOption
	for _, name := range sortedKeys(s.recipe.steps[i].Secrets) {
		options = append(options, llb.AddSecret(name, llb.SecretID(secretID(s.recipe.keys[i], name)), llb.SecretAsEnv(true)))
	}
	return options
}

// secretMounts are what gives the commands of a Dockerfile the step's secrets as
// variables.
func (s *solve) secretMounts(i int) []string {
	var mounts []string
	for _, name := range sortedKeys(s.recipe.steps[i].Secrets) {
		mounts = append(mounts, "--mount=type=secret,id="+secretID(s.recipe.keys[i], name)+",env="+name)
	}
	return mounts
}

// GetSecret gives BuildKit the value of a step's secret. Dockerfiles may also
// ask for one by its own name, as with RUN --mount=type=secret,id=NAME.
func (r *recipe) GetSecret(_ context.Context, id string) ([]byte, error) {
	for i, step := range r.steps {
		name := strings.TrimPrefix(id, secretID(r.keys[i], ""))
		if value, ok := step.Secrets[name]; ok && (name != id || step.Dockerfile != "") {
			return []byte(value), nil
		}
	}
	return nil, fmt.Errorf("the image's step has no secret %q: %w", id, secrets.ErrNotFound)
}
