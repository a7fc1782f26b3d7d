package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is a file, directory or link in a Tree.
type Entry struct {
	Path string
	stat unix.Stat_t
	in   int // number of the layer
}

// Mode is the kind and the permissions.
func (e Entry) Mode() fs.FileMode {
	mode := fs.FileMode(e.stat.Mode & 0o777)
	switch e.stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFREG:
	default:
		mode |= fs.ModeDevice
	}
	return mode
}

// IsDir says whether it is a directory.
func (e Entry) IsDir() bool { return isDir(&e.stat) }

// Size is a file's size in bytes.
func (e Entry) Size() int64 { return e.stat.Size }

// ModTime is when it was changed last.
func (e Entry) ModTime() time.Time { return time.Unix(e.stat.Mtim.Unix()) }

func isDir(st *unix.Stat_t) bool     { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isRegular(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isLink(st *unix.Stat_t) bool    { return st.Mode&unix.S_IFMT == unix.S_IFLNK }
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// Tree is what a stack of layers shows. It is safe for concurrent use.
type Tree struct {
	dirs  []string
	roots []*os.File // topmost first
}

// Open opens a stack of layers, the topmost first. Without any it is an empty
// directory.
func Open(dirs []string) (*Tree, error) {
	t := &Tree{dirs: dirs}
	for _, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("open the layer %s of a volume: %w", path.Base(dir), err)
		}
		t.roots = append(t.roots, os.NewFile(uintptr(fd), dir))
	}
	return t, nil
}

// Close releases the layers.
func (t *Tree) Close() {
	for _, r := range t.roots {
		r.Close()
	}
}

// emptyRoot is the root of a Tree without layers.
var emptyRoot = unix.Stat_t{Mode: unix.S_IFDIR | 0o755}

// Lookup finds a clean path; fs.ErrNotExist if it is not there.
func (t *Tree) Lookup(p string) (Entry, error) {
	if p == "" && len(t.roots) == 0 {
		return Entry{stat: emptyRoot}, nil
	}
	for i, root := range t.roots {
		st, err := stat(int(root.Fd()), p)
		switch {
		case err == nil && isWhiteout(&st):
			return Entry{}, notExist(p)
		case err == nil:
			return Entry{Path: p, stat: st, in: i}, nil
		case errors.Is(err, unix.ENOENT): // all that is above it is directories, or not there
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP): // something hides what is below
			return Entry{}, notExist(p)
		default:
			return Entry{}, &fs.PathError{Op: "look at", Path: "/" + p, Err: err}
		}
	}
	return Entry{}, notExist(p)
}

func notExist(p string) error {
	return &fs.PathError{Op: "look at", Path: "/" + p, Err: fs.ErrNotExist}
}

// ReadDir lists a directory, by name.
func (t *Tree) ReadDir(p string) ([]Entry, error) {
	seen := map[string]bool{}
	var list []Entry
	found := p == "" && len(t.roots) == 0
	for i, root := range t.roots {
		fd, err := open(int(root.Fd()), p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			break // a file or a whiteout: it hides what is below
		}
		if err != nil {
			return nil, &fs.PathError{Op: "list", Path: "/" + p, Err: err}
		}
		found = true
		stats, err := readDir(fd)
		if err != nil {
			return nil, &fs.PathError{Op: "list", Path: "/" + p, Err: err}
		}
		for name, st := range stats {
			if seen[name] {
				continue
			}
			seen[name] = true
			if !isWhiteout(&st) {
				list = append(list, Entry{Path: join(p, name), stat: st, in: i})
			}
		}
	}
	if !found {
		return nil, notExist(p)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// readDir lists the directory fd, which it closes. What vanishes meanwhile is
// left out.
func readDir(fd int) (map[string]unix.Stat_t, error) {
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	stats := make(map[string]unix.Stat_t, len(names))
	for _, name := range names {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		stats[name] = st
	}
	return stats, nil
}

// Open opens a file for reading, where it is found by Lookup.
func (t *Tree) Open(e Entry) (*os.File, error) {
	if !isRegular(&e.stat) {
		return nil, &fs.PathError{Op: "read", Path: "/" + e.Path, Err: errors.New("it is not a file")}
	}
	fd, err := open(int(t.roots[e.in].Fd()), e.Path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: "/" + e.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), e.Path), nil
}

// Readlink tells where a symbolic link points.
func (t *Tree) Readlink(e Entry) (string, error) {
	return readlink(int(t.roots[e.in].Fd()), e.Path)
}

func readlink(root int, p string) (string, error) {
	fd, err := open(root, p, unix.O_PATH)
	if err != nil {
		return "", &fs.PathError{Op: "read the link", Path: "/" + p, Err: err}
	}
	defer unix.Close(fd)
	text := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(fd, "", text)
	if err != nil {
		return "", &fs.PathError{Op: "read the link", Path: "/" + p, Err: err}
	}
	return string(text[:n]), nil
}

// maxLinks is how many links are followed for one path.
const maxLinks = 40

// Resolve follows the symbolic links of a clean path, also at its end, within
// the tree: a link that leads elsewhere is an error.
func (t *Tree) Resolve(p string) (Entry, error) {
	asked := p
	for range maxLinks {
		done := ""
		var e Entry
		var err error
		again := false
		parts := strings.Split(p, "/")
		for i, part := range parts {
			if e, err = t.Lookup(join(done, part)); err != nil {
				return Entry{}, notExist(asked)
			}
			if !isLink(&e.stat) {
				done = join(done, part)
				continue
			}
			target, err := t.Readlink(e)
			if err != nil {
				return Entry{}, err
			}
			if p, err = follow(done, target, parts[i+1:]); err != nil {
				return Entry{}, &PathError{asked, fmt.Sprintf("the link /%s points to %q, which is outside the volume", e.Path, target)}
			}
			again = true
			break
		}
		if !again {
			return e, nil
		}
	}
	return Entry{}, &PathError{asked, "there are too many links in it"}
}

// follow is where a path goes on after a link in the directory dir.
func follow(dir, target string, rest []string) (string, error) {
	if path.IsAbs(target) {
		return "", errors.New("absolute")
	}
	var parts []string
	if dir != "" {
		parts = strings.Split(dir, "/")
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(parts) == 0 {
				return "", errors.New("above the root")
			}
			parts = parts[:len(parts)-1]
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(append(parts, rest...), "/"), nil
}

// Total is how many files there are (all but directories), and their bytes.
type Total struct {
	Files int64
	Bytes int64
}

func (t *Total) add(st *unix.Stat_t, sign int64) {
	if isDir(st) {
		return
	}
	t.Files += sign
	if isRegular(st) {
		t.Bytes += sign * st.Size
	}
}

// Walk calls f for what is at a path, which may be "", and all below it in
// order: a directory comes before what it has. f may return fs.SkipDir for a
// directory.
func (t *Tree) Walk(p string, f func(Entry) error) error {
	e, err := t.Lookup(p)
	if err != nil {
		return err
	}
	return t.walk(e, f)
}

func (t *Tree) walk(e Entry, f func(Entry) error) error {
	err := f(e)
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	if err != nil || !e.IsDir() {
		return err
	}
	list, err := t.ReadDir(e.Path)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := t.walk(e, f); err != nil {
			return err
		}
	}
	return nil
}

// Total adds up what is at a path.
func (t *Tree) Total(p string) (sum Total, err error) {
	err = t.Walk(p, func(e Entry) error {
		sum.add(&e.stat, 1)
		return nil
	})
	return sum, err
}
