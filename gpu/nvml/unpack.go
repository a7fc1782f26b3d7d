package nvml

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// built has the helper program, where gx was built with a C compiler.
//
//go:embed built
var built embed.FS

// ErrWithout means that this gx was built without the helper program.
var ErrWithout = errors.New("this gx was built without support for real GPUs: build it with make build on a machine with a C compiler")

// Unpack writes the helper program that this gx carries into a folder, if it is
// not there, and returns its path.
func Unpack(dir string) (string, error) {
	packed, err := built.ReadFile("built/gx-nvml-" + runtime.GOOS + "-" + runtime.GOARCH + ".gz")
	if err != nil {
		return "", ErrWithout
	}
	unpack, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("unpacking the GPU helper: %w", err)
	}
	program, err := io.ReadAll(unpack)
	if err != nil {
		return "", fmt.Errorf("unpacking the GPU helper: %w", err)
	}
	path := filepath.Join(dir, "gx-nvml")
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, program) {
		return path, nil
	}
	err = os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(path+".new", program, 0o700)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return "", fmt.Errorf("unpacking the GPU helper: %w", err)
	}
	return path, nil
}
