package host

import (
	"context"
	"slices"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// torchIndexed is a builder whose steps that install Python packages also ask an
// index that has PyTorch's builds for the CPU: with emulated cards those are as
// good as the ones for CUDA, and gigabytes smaller. Such an image is another one
// than without, so the index is in its recipe, and thereby in its digest.
type torchIndexed struct {
	build.Engine
	index string // its URL
}

// Build implements build.Engine.
func (t torchIndexed) Build(ctx context.Context, req build.Request, events func(build.Event)) (build.Image, error) {
	req.Recipe = withTorchIndex(req.Recipe, t.index)
	return t.Engine.Build(ctx, req, events)
}

// withTorchIndex is a recipe whose pip and uv also look at an index. Of the
// builds of one version both take the one with the longer name ("2.3.0+cpu"),
// so nothing but the choice among those changes.
func withTorchIndex(recipe app.Image, index string) app.Image {
	recipe.Steps = slices.Clone(recipe.Steps)
	for i := range recipe.Steps {
		s := &recipe.Steps[i]
		switch s.Op {
		case app.OpPip:
			s.Options = slices.Concat(s.Options, []string{"--extra-index-url", index})
		case app.OpUVPip:
			s.Options = slices.Concat(s.Options, []string{"--extra-index-url", index, "--index-strategy", "unsafe-best-match"})
		}
	}
	return recipe
}
