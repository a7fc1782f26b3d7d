//go:build linux

package buildkit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// recipeVersion is part of every image's identity; it changes when the same
// recipe would give another image.
const recipeVersion = 1

// recipe is a user's recipe in its canonical form.
type recipe struct {
	id    string // "im-" and 16 hex digits
	steps []app.Step
	force int
	keys  []string // digest of each step alone
}

func newRecipe(req build.Request) (*recipe, error) {
	if len(req.Recipe.Steps) == 0 {
		return nil, errors.New("the image has no steps: it needs a base such as debian_slim")
	}
	if !isBase(req.Recipe.Steps[0].Op) {
		return nil, fmt.Errorf("the image's first step is %s, which is not a base", req.Recipe.Steps[0].Op)
	}
	r := &recipe{steps: req.Recipe.Steps, force: req.Recipe.Force}
	python := ""
	if first := req.Recipe.Steps[0]; first.Op == app.OpDebianSlim && first.Python == "" {
		python = req.Python // the base depends on it
	}
	for i, step := range req.Recipe.Steps {
		if i > 0 && isBase(step.Op) {
			return nil, fmt.Errorf("step %d of the image, %s, is a base; only the first can be one", i+1, step.Op)
		}
		if step.Op == app.OpFunction && step.Function == nil {
			return nil, fmt.Errorf("step %d of the image, %s, names no function", i+1, step.Op)
		}
		key, err := stepKey(step)
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, key)
	}
	whole, err := json.Marshal([]any{recipeVersion, runtime.GOARCH, python, r.keys})
	if err != nil {
		return nil, err
	}
	r.id = "im-" + shortHash(whole)
	return r, nil
}

func isBase(op app.Op) bool {
	switch op {
	case app.OpDebianSlim, app.OpRegistry, app.OpScratch, app.OpDockerfile:
		return true
	}
	return false
}

// stepKey is the digest of what a step means: not where it was written, nor
// where its files lie.
func stepKey(step app.Step) (string, error) {
	data, err := json.Marshal(step.Identity())
	if err != nil {
		return "", fmt.Errorf("reading the image's step %s: %w", step.Op, err)
	}
	return shortHash(data), nil
}

// identities are the steps as they may be kept.
func (r *recipe) identities() []app.Step {
	steps := make([]app.Step, len(r.steps))
	for i, s := range r.steps {
		steps[i] = s.Identity()
		steps[i].File, steps[i].Line = s.File, s.Line
	}
	return steps
}

func shortHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// works tells whether a step does something while the image is built; others
// only say how containers start.
func works(step app.Step) bool {
	switch step.Op {
	case app.OpEnv, app.OpWorkdir, app.OpEntrypoint, app.OpCmd, app.OpShell, app.OpScratch:
		return false
	}
	return true
}

// announce tells all steps before any work begins.
func (r *recipe) announce(events func(build.Event)) {
	total := 0
	for _, step := range r.steps {
		if works(step) {
			total++
		}
	}
	for i, step := range r.steps {
		if works(step) {
			events(build.Event{Kind: build.EventStep, Image: r.id, Step: i, Name: build.StepName(step), Total: total})
		}
	}
}

// allCached tells that nothing had to be done.
func (r *recipe) allCached(events func(build.Event)) {
	for i, step := range r.steps {
		if works(step) {
			events(build.Event{Kind: build.EventDone, Image: r.id, Step: i, Cached: true})
		}
	}
}

func commonDir(files []app.File) string {
	common := files[0].Remote
	for _, f := range files[1:] {
		for !strings.HasPrefix(f.Remote, common+"/") && common != "" {
			common = common[:max(0, strings.LastIndexByte(common, '/'))]
		}
	}
	return common + "/"
}
