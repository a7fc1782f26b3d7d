package doctor

import (
	"context"

	"github.com/gx-dev/gx/engine/container/probe"
)

// Containers checks whether this machine can isolate, with what, and what
// happens if it can't. dir is where a host keeps its state.
func Containers(dir string) Check {
	return func(ctx context.Context) []Result {
		existing, err := nearest(dir)
		if err != nil {
			return nil // the check of the disk tells
		}
		findings := probe.Check(ctx, existing)
		var results []Result
		for _, f := range findings {
			r := Result{Name: f.Name, Level: OK, Found: f.Detail}
			if !f.OK {
				// Without containers gx still works, by the process runtime.
				r.Level, r.Mend = Warn, f.Fix
			}
			results = append(results, r)
		}
		name, _ := probe.Choose(findings)
		r := Result{Name: "runtime", Level: OK, Found: "functions run in containers (" + name + ")"}
		if name == "process" {
			r.Level = Warn
			r.Found = "functions run as ordinary processes in virtual environments, without isolation: containers are impossible for the reasons above"
		}
		return append(results, r)
	}
}
