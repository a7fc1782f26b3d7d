// Package torch carries the Python package gx_cuda inside the gx binary: it
// gives PyTorch in a container emulated cards, and is documented in its own
// __init__.py. This Go package only hands the files out.
package torch

import (
	"embed"
	"io/fs"
	"strings"
)

// The patterns name files, not folders, so that byte code never gets in.
//
//go:embed python/sitecustomize.py python/gx_cuda/*.py
var packages embed.FS

// Files returns the files by their paths below the folder that goes on a
// container's PYTHONPATH, where Python finds sitecustomize.py at its start.
func Files() map[string][]byte {
	files := map[string][]byte{}
	err := fs.WalkDir(packages, "python", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := packages.ReadFile(path)
		files[strings.TrimPrefix(path, "python/")] = data
		return err
	})
	if err != nil {
		panic("torch: the embedded package can't be read: " + err.Error())
	}
	return files
}
