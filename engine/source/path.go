package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Errors that callers tell apart.
var (
	ErrPath    = errors.New("a file cannot appear there")
	ErrTooMany = errors.New("too many files")
)

// Limits of one tree.
const (
	MaxFiles = 200_000
	maxPath  = 1024 // bytes
	maxLinks = 40   // symbolic links on the way to a file, as the kernel has it
)

// reserved are places in a container that are not the image's.
var reserved = []string{"/proc", "/sys", "/dev", "/__gx"}

// CheckPath says what is wrong with a path at which a file is to appear in a
// container.
func CheckPath(p string) error {
	switch {
	case len(p) > maxPath:
		return fmt.Errorf("%w: the path %.40q... is %d bytes long, at most %d are allowed", ErrPath, p, len(p), maxPath)
	case !strings.HasPrefix(p, "/") || p == "/" || path.Clean(p) != p || strings.ContainsRune(p, 0):
		return fmt.Errorf("%w: %q is not an absolute path that is free of . and .. elements", ErrPath, p)
	}
	for _, r := range reserved {
		if p == r || strings.HasPrefix(p, r+"/") {
			return fmt.Errorf("%w: %s is not part of the image (it would be below %s)", ErrPath, p, r)
		}
	}
	return nil
}

// resolved is where a directory of the container really is.
type resolved struct {
	path   string
	exists bool // in the image
}

// resolver follows the symbolic links among an image's directories: a layer that
// lies over the image must not turn its /bin, a link to /usr/bin, into a
// directory with one file.
type resolver struct {
	lower []string // topmost first
	known map[string]resolved
	modes map[string]fs.FileMode // of the image's directories that were met
}

func newResolver(lower []string) *resolver {
	return &resolver{lower: lower, known: map[string]resolved{"/": {"/", len(lower) > 0}}, modes: map[string]fs.FileMode{}}
}

// dir finds a directory; links is how many were followed on the way.
func (r *resolver) dir(dir string, links int) (resolved, error) {
	if found, ok := r.known[dir]; ok {
		return found, nil
	}
	parent, err := r.dir(path.Dir(dir), links)
	if err != nil {
		return resolved{}, err
	}
	found := resolved{path: path.Join(parent.path, path.Base(dir))}
	if parent.exists {
		if found, err = r.look(parent, found.path, links); err != nil {
			return resolved{}, err
		}
	}
	r.known[dir] = found
	return found, nil
}

// look looks into the image for a path whose parent is there and no link.
func (r *resolver) look(parent resolved, at string, links int) (resolved, error) {
	for _, l := range r.lower {
		full := filepath.Join(l, at)
		info, err := os.Lstat(full)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return resolved{}, fmt.Errorf("looking into an image: %w", err)
		case info.IsDir():
			r.modes[at] = info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
			return resolved{at, true}, nil
		case info.Mode()&os.ModeSymlink == 0:
			return resolved{at, false}, nil // also a whiteout: what is below does not count
		}
		target, err := os.Readlink(full)
		if err != nil {
			return resolved{}, fmt.Errorf("looking into an image: %w", err)
		}
		return r.follow(parent, at, target, links+1)
	}
	return resolved{at, false}, nil
}

// follow goes where a link leads, from its parent.
func (r *resolver) follow(from resolved, link, target string, links int) (resolved, error) {
	if links > maxLinks {
		return resolved{}, fmt.Errorf("%w: too many symbolic links on the way to %s", ErrPath, link)
	}
	if path.IsAbs(target) {
		from = r.known["/"]
	}
	for name := range strings.SplitSeq(target, "/") {
		next := path.Join(from.path, name) // what is above from.path is no link
		if name == "" || name == "." {
			continue
		}
		var err error
		if from, err = r.dir(next, links); err != nil {
			return resolved{}, err
		}
	}
	return from, nil
}

// note adds the modes of the image's directories above the content's files.
func (r *resolver) note(c content) {
	seen := map[string]bool{}
	for at := range c.files {
		for dir := path.Dir(at); dir != "/" && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			if mode, ok := r.modes[dir]; ok && mode != dirMode {
				c.dirs[dir] = mode
			}
		}
	}
}
