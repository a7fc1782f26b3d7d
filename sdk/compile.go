package sdk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Compile byte-compiles the extracted packages for a Python, once: an import
// without byte code takes twice as long, and a Python may be told not to write
// any itself. dir is Extract's, python and version FindPython's.
func Compile(ctx context.Context, dir, python, version string) error {
	mark := filepath.Join(dir, ".compiled-"+version)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	// The folder's name has the hash of what is in it, so nothing in it ever
	// changes and Python need not look whether something did.
	out, err := exec.CommandContext(ctx, python, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("compiling the SDK: %w\n%s", err, out)
	}
	return os.WriteFile(mark, nil, 0o644)
}
