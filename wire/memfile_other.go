//go:build !linux

package wire

import (
	"fmt"
	"os"
)

// NewFile makes a nameless file for a payload: this system has no memory
// files, so it lies in the directory for temporary files.
func NewFile() (*os.File, error) {
	f, err := os.CreateTemp("", "gx-payload-*")
	if err != nil {
		return nil, fmt.Errorf("making a file for a payload: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("making a file for a payload: %w", err)
	}
	return f, nil
}
