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
//
// Of two builds that run the same step at once, BuildKit carries it out once, and
// not always for the first of them. So there is one folder for both, which stays
// until neither needs it.
type functions struct {
	dir string // where the folders are kept

	mu      sync.Mutex
	sdk     string
	folders map[string]*folder
}

type folder struct {
	path  string
	users int
}

func newFunctions(dir string) *functions {
	return &functions{dir: dir, folders: map[string]*folder{}}
}

// provide takes folders over, and makes them known until release is called.
func (f *functions) provide(dirs map[string]string, sdk func() (string, error)) (release func() error, err error) {
	if len(dirs) == 0 {
		return func() error { return nil }, nil
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
	var taken []string
	for key, dir := range dirs {
		if err := f.take(key, dir); err != nil {
			return nil, errors.Join(fmt.Errorf("keeping the files of a function: %w", err), f.drop(taken))
		}
		taken = append(taken, key)
	}
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.drop(taken)
	}, nil
}

func (f *functions) take(key, dir string) error {
	known := f.folders[key]
	if known == nil {
		known = &folder{path: filepath.Join(f.dir, "function-"+key)}
		if err := os.Rename(dir, known.path); err != nil {
			return err
		}
		f.folders[key] = known
	}
	known.users++
	return nil
}

func (f *functions) drop(keys []string) error {
	var errs []error
	for _, key := range keys {
		known := f.folders[key]
		if known.users--; known.users == 0 {
			delete(f.folders, key)
			errs = append(errs, os.RemoveAll(known.path))
		}
	}
	return errors.Join(errs...)
}

// mounts are what the command of a build step gets, if it runs a function.
func (f *functions) mounts(args []string) []hostenv.Mount {
	if len(args) != 4 || args[1] != buildRunner {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.folders[args[2]]
	if known == nil {
		return nil
	}
	return []hostenv.Mount{{Source: f.sdk, Target: sdkDir}, {Source: known.path, Target: functionDir}}
}

// secretID names a secret of a step.
func secretID(key, name string) string { return "gx-" + key + "-" + name }

// secretEnv gives a step's command its secrets as variables.
func (s *solve) secretEnv(i int) []llb.RunOption {
	var options []llb.RunOption
	for _, name := range sortedKeys(app.Variables(s.recipe.steps[i].Secrets)) {
		options = append(options, llb.AddSecret(name, llb.SecretID(secretID(s.recipe.keys[i], name)), llb.SecretAsEnv(true)))
	}
	return options
}

// secretMounts are what gives the commands of a Dockerfile the step's secrets as
// variables.
func (s *solve) secretMounts(i int) []string {
	var mounts []string
	for _, name := range sortedKeys(app.Variables(s.recipe.steps[i].Secrets)) {
		mounts = append(mounts, "--mount=type=secret,id="+secretID(s.recipe.keys[i], name)+",env="+name)
	}
	return mounts
}

// GetSecret gives BuildKit the value of a step's secret. Dockerfiles may also
// ask for one by its own name, as with RUN --mount=type=secret,id=NAME.
func (r *recipe) GetSecret(_ context.Context, id string) ([]byte, error) {
	for i, step := range r.steps {
		name := strings.TrimPrefix(id, secretID(r.keys[i], ""))
		if value, ok := app.Variables(step.Secrets)[name]; ok && (name != id || step.Dockerfile != "") {
			return []byte(value), nil
		}
	}
	return nil, fmt.Errorf("the image's step has no secret %q: %w", id, secrets.ErrNotFound)
}
