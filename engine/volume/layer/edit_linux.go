package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Editor changes what a stack of layers shows, in the way of a container that
// has it mounted, but without mounting anything: into a writable layer, which
// Diff then turns into a layer. Paths are clean; they don't lead through links.
type Editor struct {
	dir  string
	root *os.File
	view *Tree // all that is there now
	base *Tree
}

// NewEditor makes the writable layer in a directory, over a base.
func NewEditor(dir string, base *Tree) (*Editor, error) {
	st, err := base.Lookup("")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for changes: %w", err)
	}
	view, err := Open(append([]string{dir}, base.dirs...))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		view.Close()
		return nil, err
	}
	e := &Editor{dir: dir, root: root, view: view, base: base}
	if err := e.attributes("", &st.stat); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Upper is what was changed, for Diff.
func (e *Editor) Upper() Upper { return Upper{Dir: e.dir, Base: e.base} }

// Close removes the writable layer.
func (e *Editor) Close() error {
	e.view.Close()
	e.root.Close()
	return os.RemoveAll(e.dir)
}

func (e *Editor) attributes(p string, st *unix.Stat_t) error {
	fd, err := open(int(e.root.Fd()), p, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.Fchown(fd, int(st.Uid), int(st.Gid))
	if os.Geteuid() != 0 {
		err = nil
	}
	return errors.Join(err, unix.Fchmod(fd, st.Mode&0o7777),
		unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{st.Mtim, st.Mtim}, 0))
}

// at calls f with the directory of the writable layer that a path is in, which
// is made with all that is above it.
func (e *Editor) at(p string, f func(dir int, name string) error) error {
	parent, name := split(p)
	if err := e.directory(parent, 0o755); err != nil {
		return err
	}
	fd, err := open(int(e.root.Fd()), parent, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		err = f(fd, name)
		unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "change", Path: "/" + p, Err: err}
	}
	return nil
}

// directory makes a directory of the writable layer, with those above it.
func (e *Editor) directory(p string, mode uint32) error {
	if p == "" {
		return nil
	}
	st, err := stat(int(e.root.Fd()), p)
	if err == nil && isDir(&st) {
		return nil
	}
	there, err := e.view.Lookup(p)
	if err == nil && !there.IsDir() {
		return &PathError{"/" + p, "it is not a directory"}
	}
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	return e.at(p, func(dir int, name string) error {
		if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) { // a whiteout
			return err
		}
		if err := unix.Mkdirat(dir, name, 0o700); err != nil {
			return err
		}
		if !isNew {
			return e.attributes(p, &there.stat)
		}
		if err := unix.Fchmodat(dir, name, mode&0o7777, 0); err != nil {
			return err
		}
		return e.hideBelow(p)
	})
}

// hideBelow hides what the base has in a directory that was removed and is made
// again.
func (e *Editor) hideBelow(p string) error {
	list, err := e.base.ReadDir(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, child := range list {
		if err := e.whiteout(child.Path); err != nil {
			return err
		}
	}
	return err
}

func (e *Editor) whiteout(p string) error {
	return e.at(p, func(dir int, name string) error { return unix.Mknodat(dir, name, unix.S_IFCHR, 0) })
}

// erase removes whatever is at a path.
func (e *Editor) erase(p string) error {
	if _, err := stat(int(e.root.Fd()), p); err == nil {
		root, err := os.OpenRoot(e.dir)
		if err != nil {
			return err
		}
		err = root.RemoveAll(p)
		root.Close()
		if err != nil {
			return err
		}
	}
	if _, err := e.view.Lookup(p); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return e.whiteout(p)
}

// Put puts a file: its content, which nobody may write any more, is shared if
// nothing else has it yet, and else copied.
func (e *Editor) Put(p string, content *os.File, mode uint32, mtime time.Time, force bool) error {
	if p == "" {
		return &PathError{"/", "the root of a volume cannot be a file"}
	}
	if there, err := e.view.Lookup(p); err == nil {
		switch {
		case there.IsDir():
			return &PathError{"/" + p, "it is a directory"}
		case !force:
			return &fs.PathError{Op: "put", Path: "/" + p, Err: fs.ErrExist}
		}
	}
	if err := e.erase(p); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(content.Fd()), &st); err != nil {
		return err
	}
	return e.at(p, func(dir int, name string) error {
		// What is hidden is hidden by the file as well.
		if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		if st.Nlink > 1 || unix.Linkat(unix.AT_FDCWD, content.Name(), dir, name, 0) != nil {
			if err := copyTo(dir, name, content, st.Size); err != nil {
				return err
			}
		}
		t := unix.NsecToTimespec(mtime.UnixNano())
		return errors.Join(unix.Fchmodat(dir, name, mode&0o777, 0), setTimes(dir, name, &unix.Stat_t{Mtim: t}))
	})
}

// copyTo makes a file with a copy of a content.
func copyTo(dir int, name string, content *os.File, size int64) error {
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), name)
	return errors.Join(copyData(to, content, size), to.Close())
}

// Mkdir makes a directory and those above it.
func (e *Editor) Mkdir(p string, mode uint32) error { return e.directory(p, mode) }

// Symlink makes a symbolic link. What it points to is not looked at.
func (e *Editor) Symlink(p, target string, force bool) error {
	switch there, err := e.view.Lookup(p); {
	case p == "", target == "", len(target) > maxPath, strings.ContainsRune(target, 0):
		return &PathError{"/" + p, "it cannot be a link to " + fmt.Sprintf("%.100q", target)}
	case err == nil && there.IsDir():
		return &PathError{"/" + p, "it is a directory"}
	case err == nil && !force:
		return &fs.PathError{Op: "link", Path: "/" + p, Err: fs.ErrExist}
	}
	if err := e.erase(p); err != nil {
		return err
	}
	return e.at(p, func(dir int, name string) error {
		if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		return unix.Symlinkat(target, dir, name)
	})
}

// Remove removes a file or a link; a directory only if recursive. The root
// itself stays when all that is in it goes.
func (e *Editor) Remove(p string, recursive bool) error {
	there, err := e.view.Lookup(p)
	switch {
	case err != nil:
		return err
	case there.IsDir() && !recursive:
		return &PathError{"/" + p, "it is a directory; say recursive to remove it with all that is in it"}
	case p != "":
		return e.erase(p)
	}
	list, err := e.view.ReadDir("")
	for _, child := range list {
		err = errors.Join(err, e.erase(child.Path))
	}
	return err
}

// Copy copies a file or, if recursive, a directory: to a path, or into a
// directory that is there. Contents are shared.
func (e *Editor) Copy(from, to string, recursive bool) error {
	source, err := e.view.Lookup(from)
	if err != nil {
		return err
	}
	if source.IsDir() && !recursive {
		return &PathError{"/" + from, "it is a directory; say recursive to copy it"}
	}
	if there, err := e.view.Lookup(to); err == nil && there.IsDir() && from != "" {
		to = join(to, path.Base(from))
	}
	if within(to, from) {
		return &PathError{"/" + from, "it cannot be copied into itself"}
	}
	return e.graft(source, to)
}

func within(p, dir string) bool { return p == dir || dir == "" || strings.HasPrefix(p, dir+"/") }

// Rename moves a file or a directory to a path where nothing is, or with force
// a file.
func (e *Editor) Rename(from, to string, force bool) error {
	source, err := e.view.Lookup(from)
	switch {
	case err != nil:
		return err
	case from == "" || to == "":
		return &PathError{"/", "the root of a volume cannot be renamed"}
	case from == to:
		return nil
	case within(to, from):
		return &PathError{"/" + from, "it cannot be moved into itself"}
	}
	if there, err := e.view.Lookup(to); err == nil && (!force || there.IsDir()) {
		return &fs.PathError{Op: "rename to", Path: "/" + to, Err: fs.ErrExist}
	}
	if err := e.graft(source, to); err != nil {
		return err
	}
	return e.erase(from)
}

// graft makes what is at one path appear at another one too.
func (e *Editor) graft(source Entry, to string) error {
	if !source.IsDir() {
		if there, err := e.view.Lookup(to); err == nil && there.IsDir() {
			return &PathError{"/" + to, "it is a directory"}
		}
		if err := e.erase(to); err != nil {
			return err
		}
		return e.at(to, func(dir int, name string) error {
			if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
			return e.one(source, dir, name)
		})
	}
	list, err := e.view.ReadDir(source.Path) // before anything is put there
	if err != nil {
		return err
	}
	if err := e.directory(to, source.stat.Mode&0o7777); err != nil {
		return err
	}
	for _, child := range list {
		_, name := split(child.Path)
		if err := e.graft(child, join(to, name)); err != nil {
			return err
		}
	}
	return e.attributes(to, &source.stat)
}

// one makes a further name for a file, or a further link or pipe.
func (e *Editor) one(source Entry, dir int, name string) error {
	root := int(e.view.roots[source.in].Fd())
	switch {
	case isRegular(&source.stat):
		parent, base := split(source.Path)
		fd, err := open(root, parent, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		err = unix.Linkat(fd, base, dir, name, 0)
		if !errors.Is(err, unix.EMLINK) { // else it has as many names as it can have
			return err
		}
		content, err := e.view.Open(source)
		if err != nil {
			return err
		}
		defer content.Close()
		if err := copyTo(dir, name, content, source.stat.Size); err != nil {
			return err
		}
		return errors.Join(unix.Fchmodat(dir, name, source.stat.Mode&0o7777, 0), setTimes(dir, name, &source.stat))
	case isLink(&source.stat):
		target, err := readlink(root, source.Path)
		if err != nil {
			return err
		}
		return errors.Join(unix.Symlinkat(target, dir, name), setTimes(dir, name, &source.stat))
	default:
		return unix.Mknodat(dir, name, source.stat.Mode, 0)
	}
}
