package source

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/app"
)

// ErrPath is in the chain of errors about where a file is to appear.
var ErrPath = errors.New("a file cannot appear there")

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

// entries maps each path at which a file appears to the file. Later mounts win.
func entries(mounts []app.Mount, lower []string) (map[string]app.File, error) {
	files := map[string]app.File{}
	dirs := map[string]string{} // resolved directories
	for _, m := range mounts {
		for _, f := range m.Files {
			if err := CheckPath(f.Remote); err != nil {
				return nil, err
			}
			dir, ok := dirs[path.Dir(f.Remote)]
			if !ok {
				var err error
				if dir, err = resolve(lower, path.Dir(f.Remote)); err != nil {
					return nil, err
				}
				dirs[path.Dir(f.Remote)] = dir
			}
			at := path.Join(dir, path.Base(f.Remote))
			if err := CheckPath(at); err != nil {
				return nil, err
			}
			files[at] = f
		}
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%d files are to be mounted, at most %d are allowed; leave out what the functions do not need", len(files), MaxFiles)
	}
	for at := range files {
		for dir := path.Dir(at); dir != "/"; dir = path.Dir(dir) {
			if _, is := files[dir]; is {
				return nil, fmt.Errorf("%w: %s is a file, and also a directory that holds %s", ErrPath, dir, at)
			}
		}
	}
	return files, nil
}

// resolve follows the symbolic links among an image's directories: a tree that
// lies over the image must not turn its /bin, a link to /usr/bin, into a
// directory with one file.
func resolve(lower []string, dir string) (string, error) {
	todo := strings.Split(strings.Trim(dir, "/"), "/")
	at, links := "/", 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		target, err := readlink(lower, next)
		if err != nil {
			return "", err
		}
		if target == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%w: too many symbolic links on the way to %s", ErrPath, dir)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at, nil
}

// readlink is where a path of an image points to, "" if it is no link.
func readlink(lower []string, p string) (string, error) {
	for _, l := range lower {
		full := filepath.Join(l, p)
		info, err := os.Lstat(full)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return "", fmt.Errorf("looking into an image: %w", err)
		case info.Mode()&os.ModeSymlink == 0:
			return "", nil // also a whiteout: what is below does not count
		}
		target, err := os.Readlink(full)
		if err != nil {
			return "", fmt.Errorf("looking into an image: %w", err)
		}
		return target, nil
	}
	return "", nil
}
