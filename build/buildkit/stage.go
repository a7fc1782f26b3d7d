//go:build linux

package buildkit

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tonistiigi/fsutil"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// staged are the local files of a recipe's steps, laid out as folders that
// BuildKit reads. They are needed only while the recipe is solved.
type staged struct {
	dir    string
	mounts map[string]fsutil.FS
	// functions are the folders of what functions find while the image is built,
	// by the steps' keys.
	functions map[string]string
	remove    func()
}

// localName names the context of a step in LLB; it stays the same as long as
// the step's files do, so BuildKit transfers only what it lacks.
func localName(key string) string { return "gx-" + key }

func (e *Engine) stage(r *recipe, open func(string) (io.ReadCloser, error)) (_ *staged, err error) {
	s := &staged{mounts: make(map[string]fsutil.FS), functions: make(map[string]string)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for i, step := range r.steps {
		if len(step.Files) == 0 && step.Op != app.OpFunction {
			continue
		}
		if s.dir == "" {
			if s.dir, err = os.MkdirTemp(filepath.Join(e.cfg.Dir, "contexts"), r.id+"-"); err != nil {
				return nil, fmt.Errorf("laying out the image's files: %w", err)
			}
			s.remove = func() { removeAll(s.dir, e.cfg.Log) }
		}
		dir := filepath.Join(s.dir, r.keys[i])
		if err := layOut(dir, step.Files, open); err != nil {
			return nil, fmt.Errorf("laying out the files of %s: %w", build.StepName(step), err)
		}
		if step.Op == app.OpFunction {
			if err := writeFunction(dir, step); err != nil {
				return nil, err
			}
			s.functions[r.keys[i]] = dir
			continue
		}
		fs, err := fsutil.NewFS(dir)
		if err != nil {
			return nil, err
		}
		s.mounts[localName(r.keys[i])] = fs
	}
	return s, nil
}

func (s *staged) close() {
	if s.remove != nil {
		s.remove()
	}
}

// layOut writes files to where they will be in the image, below dir.
func layOut(dir string, files []app.File, open func(string) (io.ReadCloser, error)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		name := strings.TrimPrefix(path.Clean("/"+f.Remote), "/")
		if name == "" || strings.Contains(f.Remote, "\x00") {
			return fmt.Errorf("%q is not the path of a file", f.Remote)
		}
		if f.Dir {
			if err := root.MkdirAll(name, 0o755); err != nil {
				return fmt.Errorf("%s: %w", f.Remote, err)
			}
			continue
		}
		if err := writeFile(root, name, f, open); err != nil {
			return fmt.Errorf("%s: %w", f.Remote, err)
		}
	}
	return nil
}

func writeFile(root *os.Root, name string, f app.File, open func(string) (io.ReadCloser, error)) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	content, err := open(f.SHA256)
	if err != nil {
		return err
	}
	defer content.Close()
	mode := os.FileMode(f.Mode & 0o777)
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, content); err != nil {
		_ = out.Close()
		return err
	}
	// The umask does not count: an image is the same whoever builds it.
	if err := out.Chmod(mode); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
