package build

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
)

// StepName is a step as its user knows it, in one line.
func StepName(step app.Step) string {
	what := ""
	switch step.Op {
	case app.OpDebianSlim:
		what = step.Python
	case app.OpRegistry:
		what = step.Tag
	case app.OpApt:
		what = strings.Join(step.Packages, " ")
	case app.OpPip, app.OpUVPip, app.OpUVSync, app.OpPoetry:
		parts := append([]string(nil), step.Packages...)
		if step.Requirements != "" {
			parts = append(parts, "-r requirements")
		}
		what = strings.Join(append(parts, step.Options...), " ")
	case app.OpRun, app.OpEntrypoint, app.OpCmd, app.OpShell:
		what = strings.Join(step.Commands, "; ")
	case app.OpWorkdir:
		what = step.Path
	case app.OpEnv:
		what = strings.Join(slices.Sorted(maps.Keys(step.Env)), " ")
	case app.OpCopy:
		what = copied(step.Files)
	case app.OpFunction:
		what = step.Function.Name
	case app.OpDockerfile, app.OpDockerfileCommands:
		line, _, _ := strings.Cut(strings.TrimSpace(step.Dockerfile), "\n")
		what = line
	}
	name := strings.Join(strings.Fields(string(step.Op)+" "+what), " ")
	const longest = 160
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "..."
	}
	return name
}

func copied(files []app.File) string {
	switch len(files) {
	case 0:
		return "nothing"
	case 1:
		return files[0].Remote
	}
	return fmt.Sprintf("%d files to %s", len(files), commonDir(files))
}

// commonDir is the folder that all files are in, with a slash at its end.
func commonDir(files []app.File) string {
	common := files[0].Remote
	for _, f := range files[1:] {
		for !strings.HasPrefix(f.Remote, common+"/") && common != "" {
			common = common[:max(0, strings.LastIndexByte(common, '/'))]
		}
	}
	return common + "/"
}
