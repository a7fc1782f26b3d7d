package layer

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of paths, as the kernel has them.
const (
	maxPath = 4095
	maxName = 255
)

// PathError says that a path can't be one of a volume's.
type PathError struct{ Path, Reason string }

func (e *PathError) Error() string { return fmt.Sprintf("%.200q: %s", e.Path, e.Reason) }

// Clean turns a user's path into the package's form, in which the root is "" and
// all others are relative and without "." and "..". A leading slash means the
// volume's root. A path that leads out of the volume is an error, even if it
// leads in again.
func Clean(p string) (string, error) {
	switch {
	case strings.ContainsRune(p, 0):
		return "", &PathError{p, "a path cannot contain a zero byte"}
	case len(p) > maxPath:
		return "", &PathError{p, fmt.Sprintf("the path has %d bytes; at most %d are possible", len(p), maxPath)}
	}
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return "", &PathError{p, "a path in a volume cannot contain \"..\""}
		case len(part) > maxName:
			return "", &PathError{p, fmt.Sprintf("a name in it has %d bytes; at most %d are possible", len(part), maxName)}
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// join is path.Join for names that are clean already.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// split is path.Split without the slash.
func split(p string) (dir, name string) {
	dir, name = path.Split(p)
	return strings.TrimSuffix(dir, "/"), name
}

// open opens a clean path below a directory. No link is followed, neither in
// the middle nor at the end, whatever happens to the tree meanwhile.
func open(root int, p string, flags int) (int, error) {
	if p == "" {
		p = "."
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(root, p, &how)
		if err != unix.EINTR && err != unix.EAGAIN { //nolint:errorlint // a bare number of the kernel's
			return fd, err
		}
	}
}

// stat looks at a clean path below a directory.
func stat(root int, p string) (unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := open(root, p, unix.O_PATH)
	if err != nil {
		return st, err
	}
	defer unix.Close(fd)
	err = unix.Fstat(fd, &st)
	return st, err
}
