//go:build linux

package buildkit

import (
	"github.com/moby/buildkit/client/llb"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build/installer"
)

// Where a step that installs packages with uv or Poetry finds things.
const (
	toolDir    = "/__gx/tool"
	projectDir = "/__gx/project"
	workDir    = "/__gx/work"
)

// install has a tool that is not in the image install packages. The tool is made
// on the image's base, so that one serves all images of the same base.
func (s *solve) install(i int, step app.Step) {
	fetch := append([]string{s.python(), "-m", "pip", "install", "--quiet", "--target", toolDir}, installer.Tool(step)...)
	tool := s.first.Run(append(s.common(i, false, fetch, pipSettings), pipCache())...).AddMount(toolDir, llb.Scratch())
	command := installer.Command(step, installer.Places{
		Python: s.python(), Tool: toolDir, Project: projectDir, Requirements: requirementsFile, Work: workDir,
	})
	options := []llb.RunOption{
		llb.AddMount(toolDir, tool, llb.Readonly),
		llb.AddMount(workDir, llb.Scratch(), llb.Tmpfs()),
		cacheMount("/root/.cache/uv", "gx-uv", llb.CacheMountShared),
		pipCache(),
	}
	if step.Requirements != "" {
		options = append(options, requirements(i, step))
	}
	if len(step.Files) > 0 {
		options = append(options, llb.AddMount(projectDir, s.context(i), llb.Readonly))
	}
	// Links between a cache and the image are not possible.
	env := append([]string{"UV_CACHE_DIR=/root/.cache/uv", "UV_LINK_MODE=copy", "UV_NO_PROGRESS=1"}, pipSettings...)
	s.exec(i, []string{"/bin/sh", "-c", command}, env, options...)
}
