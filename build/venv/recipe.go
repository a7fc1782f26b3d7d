package venv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// plan is a recipe as this engine carries it out.
type plan struct {
	id       string      // of the image
	key      string      // of the virtual environment: images may share one
	python   interpreter //
	steps    []app.Step  //
	names    []string    // of the steps
	last     int         // index of the last step that changes the environment
	skipped  []string    // by step: why it is not carried out; "" = it is
	notes    []string    // Unhonoured, without what depends on where the environment lies
	forced   bool
	hasPip   bool
	hasFiles bool
}

// newPlan decides what is done for each step; callable tells whether functions
// can run.
func newPlan(ctx context.Context, req build.Request, pythons *pythons, environ []string, callable bool) (*plan, error) {
	p := &plan{steps: req.Recipe.Steps}
	if len(p.steps) == 0 {
		return nil, errors.New("the image has no steps, not even a base")
	}
	wanted := p.steps[0].Python
	if wanted == "" {
		wanted = p.steps[0].AddPython
	}
	var err error
	if p.python, err = pythons.find(ctx, wanted, req.Python); err != nil {
		return nil, err
	}
	for i, s := range p.steps {
		name := stepName(s)
		reason := ""
		switch s.Op {
		case app.OpDebianSlim, app.OpRegistry, app.OpScratch, app.OpDockerfile:
			if i > 0 {
				return nil, fmt.Errorf("step %d of the image, %s, is a base; only the first step can be one", i+1, s.Op)
			}
			reason = p.baseNote(wanted, req.Python)
		case app.OpPip:
			p.last, p.hasPip = i, true
		case app.OpUVPip, app.OpUVSync, app.OpPoetry:
			p.last, p.hasPip = i, true
			for _, f := range s.Files {
				if err := checkFile(f); err != nil {
					return nil, &build.StepError{Index: i, Step: s, Err: err}
				}
			}
		case app.OpCopy:
			p.last, p.hasFiles = i, true
			for _, f := range s.Files {
				if err := checkFile(f); err != nil {
					return nil, &build.StepError{Index: i, Step: s, Err: err}
				}
			}
		case app.OpApt:
			reason = aptNote(ctx, s, environ)
		case app.OpEnv, app.OpWorkdir:
		case app.OpRun:
			reason = "it would run on this machine itself, as you; run what you want of it yourself"
		case app.OpFunction:
			switch {
			case s.Function == nil:
				return nil, fmt.Errorf("step %d of the image, %s, names no function", i+1, s.Op)
			case !callable:
				reason = "there is no SDK that it could run with"
			default:
				p.last = i
			}
			for _, f := range s.Files {
				if err := checkFile(f); err != nil {
					return nil, &build.StepError{Index: i, Step: s, Err: err}
				}
			}
		case app.OpDockerfileCommands:
			reason = "Dockerfile commands need containers"
		case app.OpEntrypoint, app.OpCmd, app.OpShell:
			reason = "it is a property of containers"
		default:
			return nil, fmt.Errorf("step %d of the image is a %.40q, which this version of gx does not know", i+1, s.Op)
		}
		p.names = append(p.names, name)
		p.skipped = append(p.skipped, reason)
		if reason != "" {
			p.notes = append(p.notes, name+": "+reason)
		}
	}
	p.forced = req.Recipe.Force >= 0 && req.Recipe.Force <= p.last
	p.id = "im-" + digest(p.python, p.steps)[:16]
	// What comes after the last step that changes it doesn't name an environment.
	p.key = digest(p.python, p.steps[:p.last+1])[:32]
	return p, nil
}

// baseNote says what is different about the base; "" if nothing is that a
// user of Python could notice by its version.
func (p *plan) baseNote(wanted, client string) string {
	uses := fmt.Sprintf("this machine's own Python %s is used", p.python.Version)
	if wanted != "" && wanted != p.python.short() {
		uses = fmt.Sprintf("this machine has no Python %s; its %s is used instead", wanted, p.python.Version)
	} else if wanted == "" && client != "" && client != p.python.short() {
		uses = fmt.Sprintf("this machine has no Python %s, which the app was imported by; its %s is used instead", client, p.python.Version)
	}
	return "there are no base images without containers: " + uses
}

// aptNote checks whether the machine has the packages of an apt step.
func aptNote(ctx context.Context, s app.Step, environ []string) string {
	if len(s.Packages) == 0 {
		return ""
	}
	tool, err := exec.LookPath("dpkg-query")
	if err != nil {
		return "system packages can't be installed without containers; install what the functions need yourself"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var missing []string
	for _, name := range s.Packages {
		name, _, _ = strings.Cut(name, "=")
		if !isPackage(name) {
			missing = append(missing, fmt.Sprintf("%q", name))
			continue
		}
		cmd := exec.CommandContext(ctx, tool, "--show", "--showformat=${db:Status-Abbrev}", "--", name)
		cmd.Env = environ
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		if err != nil || !strings.HasPrefix(string(out), "ii") {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("system packages can't be installed without containers, and this machine lacks %s; to have them, run: sudo apt-get install %s",
		strings.Join(missing, ", "), strings.Join(missing, " "))
}

func isPackage(name string) bool {
	return name != "" && !strings.HasPrefix(name, "-") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.:") == ""
}

// checkFile reports a file whose place is not plainly inside the image.
func checkFile(f app.File) error {
	if !path.IsAbs(f.Remote) || path.Clean(f.Remote) != f.Remote || f.Remote == "/" || strings.ContainsRune(f.Remote, 0) {
		return fmt.Errorf("%.200q is not the absolute path of a file in an image", f.Remote)
	}
	if len(f.SHA256) != sha256.Size*2 && !f.Dir {
		return fmt.Errorf("file %.200q comes without the digest of its content", f.Remote)
	}
	return nil
}

// digest names a sequence of steps by what they say, not where they stand.
func digest(python interpreter, steps []app.Step) string {
	plain := make([]app.Step, len(steps))
	for i, s := range steps {
		s = s.Identity()
		sort.SliceStable(s.Files, func(i, j int) bool { return s.Files[i].Remote < s.Files[j].Remote })
		plain[i] = s
	}
	h := sha256.New()
	// A recipe came as JSON, so that it can be written as JSON.
	_ = json.NewEncoder(h).Encode(struct {
		Format string
		Python interpreter
		Steps  []app.Step
	}{"venv-1", python, plain})
	return hex.EncodeToString(h.Sum(nil))
}

// stepName is what a user reads of a step, in the spelling of the SDK.
func stepName(s app.Step) string {
	var args []string
	switch s.Op {
	case app.OpDebianSlim:
		args = append(args, s.Python)
	case app.OpRegistry:
		args = append(args, s.Tag)
	case app.OpApt, app.OpPip, app.OpUVPip, app.OpUVSync, app.OpPoetry:
		args = append(args, s.Packages...)
		if s.Requirements != "" {
			args = append(args, "-r requirements.txt")
		}
		args = append(args, s.Options...)
	case app.OpRun, app.OpEntrypoint, app.OpCmd, app.OpShell:
		args = append(args, strings.Join(s.Commands, " && "))
	case app.OpEnv:
		for name := range s.Env {
			args = append(args, name)
		}
		sort.Strings(args)
	case app.OpWorkdir:
		args = append(args, s.Path)
	case app.OpFunction:
		if s.Function != nil {
			args = append(args, s.Function.Name)
		}
	case app.OpCopy:
		if len(s.Files) == 1 {
			args = append(args, s.Files[0].Remote)
		} else {
			args = append(args, fmt.Sprintf("%d files", len(s.Files)))
		}
	}
	name := strings.TrimSpace(string(s.Op) + " " + strings.Join(args, " "))
	const longest = 200
	if runes := []rune(strings.Join(strings.Fields(name), " ")); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return strings.Join(strings.Fields(name), " ")
}

// environment is what the env steps among steps set, in their order.
func environment(steps []app.Step) []string {
	var env []string
	for _, s := range steps {
		if s.Op != app.OpEnv {
			continue
		}
		names := make([]string, 0, len(s.Env))
		for name := range s.Env {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			env = append(env, name+"="+s.Env[name])
		}
	}
	return env
}
