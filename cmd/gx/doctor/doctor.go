// Package doctor examines what gx needs on a machine, check by check, and names
// the command that mends what is missing. It changes nothing and prints nothing.
package doctor

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Level is how a check ended.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warning" // gx works, with less
	Fail Level = "failed"  // gx does not work
)

// Result is what one check found.
type Result struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Found string `json:"found"`          // one sentence
	Mend  string `json:"mend,omitempty"` // a command, or what to do
}

// Check examines one thing, or several that belong together.
type Check func(ctx context.Context) []Result

// one is a check with a single result.
func one(name string, run func(ctx context.Context) Result) Check {
	return func(ctx context.Context) []Result {
		r := run(ctx)
		r.Name = name
		return []Result{r}
	}
}

// patience is how long one check may take.
const patience = 15 * time.Second

// Examine runs all checks at once; the results are in the checks' order.
func Examine(ctx context.Context, checks []Check) []Result {
	found := make([][]Result, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i] = check(ctx)
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// Failed tells whether something is missing without which gx does not work.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Level == Fail {
			return true
		}
	}
	return false
}
