package runc

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// writes are the files in a container's writable layer, with the time of their
// last change. Directories are those that no layer below has.
type writes map[string]time.Time

// written looks through a writable layer over the directories lower. Python's
// byte code is left out: it is made again where it is missing.
func written(upper string, lower []string) (writes, error) {
	found := writes{}
	err := filepath.WalkDir(upper, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, upper)
		if entry.IsDir() {
			if entry.Name() == "__pycache__" {
				return fs.SkipDir
			}
			for _, dir := range lower {
				if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
					return nil
				}
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[name] = info.ModTime()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what was written: %w", err)
	}
	return found, nil
}

// since returns one of the files that were made, changed or deleted since
// before, the first by name; "" if there is none.
func (w writes) since(before writes) string {
	first := ""
	for name, changed := range w {
		if then, ok := before[name]; ok && then.Equal(changed) {
			continue
		}
		if first == "" || name < first {
			first = name
		}
	}
	return first
}

// written is what the container has written. The layer may be mounted in its
// cell only.
func (c *running) written(lower []string) (found writes, err error) {
	err = c.cell.do(func() error {
		found, err = written(c.layers.upper(), lower)
		return err
	})
	return found, err
}
