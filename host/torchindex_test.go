package host

import (
	"slices"
	"testing"

	"github.com/gx-dev/gx/app"
)

func TestTorchIndex(t *testing.T) {
	const index = "https://index.example/cpu"
	recipe := app.Image{Steps: []app.Step{
		{Op: app.OpDebianSlim, Python: "3.11"},
		{Op: app.OpApt, Packages: []string{"libgomp1"}},
		{Op: app.OpPip, Packages: []string{"torch==2.3.0"}, Options: []string{"--pre"}},
		{Op: app.OpUVPip, Packages: []string{"torch==2.3.0"}},
	}}
	got := withTorchIndex(recipe, index)
	for i, want := range [][]string{
		nil,
		nil,
		{"--pre", "--extra-index-url", index},
		{"--extra-index-url", index, "--index-strategy", "unsafe-best-match"},
	} {
		if !slices.Equal(got.Steps[i].Options, want) {
			t.Errorf("step %d: %q, want %q", i, got.Steps[i].Options, want)
		}
	}
	if len(recipe.Steps[2].Options) != 1 {
		t.Error("the recipe that was given is changed")
	}
}
