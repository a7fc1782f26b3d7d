package source

import (
	"fmt"
	"io/fs"
	"path"

	"github.com/gx-dev/gx/app"
)

const (
	// large is how many files a mount has that is a layer of its own: when the
	// user's code changes, the 50,000 files of a data set are not linked again.
	large = 500
	// maxLayers bounds what a container's file system is stacked of.
	maxLayers = 20
)

// plan says what the layers of some mounts are, lowest first: what they have
// does not depend on how the image or other mounts look elsewhere.
func plan(mounts []app.Mount, lower []string) ([]content, error) {
	all := newChecker()
	paths := newResolver(lower)
	var contents []content
	alone := false // the last of contents is a large mount's
	for _, m := range mounts {
		if len(m.Files) == 0 {
			continue
		}
		big := len(m.Files) >= large
		if len(contents) == 0 || (big || alone) && len(contents) < maxLayers {
			contents = append(contents, content{files: map[string]app.File{}, dirs: map[string]fs.FileMode{}})
		}
		alone = big
		c := contents[len(contents)-1]
		for _, f := range m.Files {
			if err := CheckPath(f.Remote); err != nil {
				return nil, err
			}
			dir, err := paths.dir(path.Dir(f.Remote), 0)
			if err != nil {
				return nil, err
			}
			at := path.Join(dir.path, path.Base(f.Remote))
			if dir.path != path.Dir(f.Remote) { // a link led elsewhere
				if err := CheckPath(at); err != nil {
					return nil, err
				}
			}
			if !f.Dir {
				c.files[at] = f
				all.files[at] = true
				continue
			}
			real, err := paths.dir(at, 0)
			if err != nil {
				return nil, err
			}
			mode, known := paths.modes[real.path]
			if !known {
				mode = dirMode
			}
			c.dirs[real.path] = mode
			all.dirs[real.path] = true
		}
		paths.note(c)
	}
	return contents, all.check()
}

// checker finds what is a file for one mount and a directory for another.
type checker struct {
	files map[string]bool
	dirs  map[string]bool // seen, with all above them
}

func newChecker() checker { return checker{files: map[string]bool{}, dirs: map[string]bool{}} }

func (c checker) check() error {
	if len(c.files)+len(c.dirs) > MaxFiles {
		return fmt.Errorf("%w: %d files and folders are to be mounted, at most %d are allowed; leave out what the functions do not need", ErrTooMany, len(c.files)+len(c.dirs), MaxFiles)
	}
	seen := map[string]bool{}
	for at := range c.files {
		for dir := path.Dir(at); dir != "/" && !seen[dir]; dir = path.Dir(dir) {
			if c.files[dir] {
				return fmt.Errorf("%w: %s is a file, and also a directory that holds %s", ErrPath, dir, at)
			}
			seen[dir] = true
		}
	}
	for at := range c.dirs {
		for dir := at; dir != "/" && !seen[dir]; dir = path.Dir(dir) {
			if c.files[dir] {
				return fmt.Errorf("%w: %s is a file, and also a directory", ErrPath, dir)
			}
			seen[dir] = true
		}
	}
	return nil
}
