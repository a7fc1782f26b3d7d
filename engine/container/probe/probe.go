// Package probe finds out whether this machine can run containers, and if not,
// why not and what mends it. `gx doctor` shows its findings; the host chooses
// its runtime by them. Everything it tries, it undoes.
package probe

import "context"

// Finding is the answer to one question about this machine.
type Finding struct {
	Name string `json:"name"` // what was looked at: "overlay file system"
	OK   bool   `json:"ok"`
	// Needed says that containers are impossible while OK is false. A finding
	// that is neither OK nor Needed costs comfort.
	Needed bool   `json:"needed"`
	Detail string `json:"detail"`        // what was found, and what that means
	Fix    string `json:"fix,omitempty"` // a command that mends it, or the next best advice
}

// Check looks at this machine. dir is where containers would be kept; their
// file systems must be possible there. It takes some tens of milliseconds.
func Check(ctx context.Context, dir string) []Finding { return check(ctx, dir) }

// Choose picks the runtime for findings: "runc" if containers are possible,
// else "process" with the reasons, in a user's words.
func Choose(findings []Finding) (runtime string, reasons []string) {
	for _, f := range findings {
		if f.Needed && !f.OK {
			reason := f.Name + ": " + f.Detail
			if f.Fix != "" {
				reason += " (" + f.Fix + ")"
			}
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) > 0 {
		return "process", reasons
	}
	return "runc", nil
}
