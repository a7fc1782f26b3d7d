package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Draft is a layer that is being made. Its methods are not safe for concurrent
// use. Files, directories and links are put into it first, then Settle puts it
// on top of a stack of layers, and Seal makes it durable.
type Draft struct {
	dir     string
	root    *os.File
	dirs    map[string]unix.Stat_t // that were put, with what they shall be
	context map[string]bool        // those of dirs that are there only because something in them is
	puts    []string               // all else that was put, in order
	removed []string               // to be removed from what lies below
	linked  map[inode]string       // where a file was put that has several names
	touched map[string]bool        // directories that Settle has changed
	bytes   int64                  // of the files, once settled
}

type inode struct{ dev, ino uint64 }

// NewDraft makes the directory and begins a layer in it.
func NewDraft(dir string) (*Draft, error) {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // it becomes the root of what containers see
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	root, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	return &Draft{
		dir: dir, root: root, dirs: map[string]unix.Stat_t{}, context: map[string]bool{},
		linked: map[inode]string{}, touched: map[string]bool{},
	}, nil
}

// Dir is where the layer is.
func (d *Draft) Dir() string { return d.dir }

// Empty says whether nothing was put or removed; after Settle, whether that
// changes anything.
func (d *Draft) Empty() bool {
	return len(d.puts) == 0 && len(d.removed) == 0 && len(d.dirs) == len(d.context)
}

// Size is how many entries the layer has, and the bytes of its files.
func (d *Draft) Size() (entries, bytes int64) {
	return int64(len(d.puts) + len(d.removed) + len(d.dirs)), d.bytes
}

// Discard removes the layer.
func (d *Draft) Discard() error {
	d.root.Close()
	return os.RemoveAll(d.dir)
}

// at calls f with the open directory that has the path, and its name there.
func (d *Draft) at(p string, f func(dir int, name string) error) error {
	parent, name := split(p)
	fd, err := open(int(d.root.Fd()), parent, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		err = f(fd, name)
		unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "put into a layer", Path: "/" + p, Err: err}
	}
	return nil
}

// putDir puts a directory. Its parents must have been put. With context it is
// there for what is in it, and nothing about it has changed.
func (d *Draft) putDir(p string, st unix.Stat_t, context bool) error {
	if _, there := d.dirs[p]; !there && p != "" {
		err := d.at(p, func(dir int, name string) error { return unix.Mkdirat(dir, name, 0o700) })
		if err != nil {
			return err
		}
	}
	if _, there := d.dirs[p]; context && (!there || d.context[p]) {
		d.context[p] = true
	} else {
		delete(d.context, p)
	}
	d.dirs[p] = st
	return nil
}

// link puts a file that nobody writes any more, sharing it.
func (d *Draft) link(p string, root int, from string) error {
	dir, base := split(from)
	source, err := open(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "link into a layer", Path: "/" + p, Err: err}
	}
	defer unix.Close(source)
	err = d.at(p, func(dir int, name string) error { return unix.Linkat(source, base, dir, name, 0) })
	if errors.Is(err, unix.EMLINK) { // it has as many names as it can have
		return d.copy(p, root, from)
	}
	if err == nil {
		d.puts = append(d.puts, p)
	}
	return err
}

// copy puts a copy of a file, which may be being written meanwhile.
func (d *Draft) copy(p string, root int, from string) error {
	fd, err := open(root, from, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return &fs.PathError{Op: "copy into a layer", Path: "/" + p, Err: err}
	}
	source := os.NewFile(uintptr(fd), from)
	defer source.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !isRegular(&st) {
		return &fs.PathError{Op: "copy into a layer", Path: "/" + p, Err: unix.ENOENT} // it was replaced
	}
	id := inode{st.Dev, st.Ino}
	if first, again := d.linked[id]; again {
		return d.link(p, int(d.root.Fd()), first)
	}
	err = d.at(p, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		to := os.NewFile(uintptr(fd), name)
		defer to.Close()
		if err := copyData(to, source, st.Size); err != nil {
			return err
		}
		if err := copyXattrs(fd, int(source.Fd())); err != nil {
			return err
		}
		// To the disk in the background, while others are copied.
		_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
		return errors.Join(unix.Fchown(fd, int(st.Uid), int(st.Gid)), unix.Fchmod(fd, st.Mode&0o7777), setTimes(dir, name, &st))
	})
	if err != nil {
		return err
	}
	d.puts = append(d.puts, p)
	if st.Nlink > 1 {
		d.linked[id] = p
	}
	return nil
}

// symlink puts a symbolic link.
func (d *Draft) symlink(p, target string, st *unix.Stat_t) error {
	err := d.at(p, func(dir int, name string) error {
		return errors.Join(unix.Symlinkat(target, dir, name),
			unix.Fchownat(dir, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW), setTimes(dir, name, st))
	})
	if err == nil {
		d.puts = append(d.puts, p)
	}
	return err
}

// special puts a pipe or a socket, which are but names.
func (d *Draft) special(p string, st *unix.Stat_t) error {
	err := d.at(p, func(dir int, name string) error {
		return errors.Join(unix.Mknodat(dir, name, st.Mode&(unix.S_IFMT|0o7777), 0),
			unix.Fchownat(dir, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW), setTimes(dir, name, st))
	})
	if err == nil {
		d.puts = append(d.puts, p)
	}
	return err
}

func setTimes(dir int, name string, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// remove notes that what is at a path shall be gone.
func (d *Draft) remove(p string) { d.removed = append(d.removed, p) }

// Settle puts the draft on a stack of layers: it hides there what shall be gone,
// and returns what is then more, or less, to see than before. What seen does not
// have is not hidden with a directory that is removed: somebody else has put it
// there. A nil seen has everything.
func (d *Draft) Settle(below, seen *Tree) (change Total, err error) {
	for _, p := range d.puts {
		if err := d.replaces(below, p, &change); err != nil {
			return change, err
		}
		st, err := stat(int(d.root.Fd()), p)
		if err != nil {
			return change, &fs.PathError{Op: "look at", Path: "/" + p, Err: err}
		}
		change.add(&st, 1)
		if isRegular(&st) {
			d.bytes += st.Size
		}
	}
	for p := range d.dirs {
		if e, err := below.Lookup(p); err == nil && !e.IsDir() {
			change.add(&e.stat, -1)
		}
	}
	gone := d.removed[:0]
	for _, p := range d.removed {
		e, err := below.Lookup(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return change, err
		}
		gone = append(gone, p)
		if err := d.erase(e, below, seen, &change); err != nil {
			return change, err
		}
	}
	d.removed = gone
	return change, d.prune(below)
}

// replaces counts what a file that was put hides.
func (d *Draft) replaces(below *Tree, p string, change *Total) error {
	sum, err := below.Total(p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	change.Files -= sum.Files
	change.Bytes -= sum.Bytes
	return nil
}

// erase hides what is below at e's path, as far as it was seen.
func (d *Draft) erase(e Entry, below, seen *Tree, change *Total) error {
	gone := []Entry{e}
	if e.IsDir() && seen != nil && !slices.Equal(seen.dirs, below.dirs) {
		var err error
		if gone, _, err = unseen(e, below, seen); err != nil {
			return err
		}
	}
	for _, e := range gone {
		sum, err := below.Total(e.Path)
		if err != nil {
			return err
		}
		change.Files -= sum.Files
		change.Bytes -= sum.Bytes
		if err := d.whiteout(e, below); err != nil {
			return err
		}
	}
	return nil
}

// unseen lists what can be removed of e, and whether that is all of it: nothing
// in it is there that seen lacks.
func unseen(e Entry, below, seen *Tree) (gone []Entry, whole bool, err error) {
	if !e.IsDir() {
		return []Entry{e}, true, nil
	}
	list, err := below.ReadDir(e.Path)
	if err != nil {
		return nil, false, err
	}
	whole = true
	for _, child := range list {
		if _, err := seen.Lookup(child.Path); errors.Is(err, fs.ErrNotExist) {
			whole = false
			continue
		} else if err != nil {
			return nil, false, err
		}
		some, all, err := unseen(child, below, seen)
		if err != nil {
			return nil, false, err
		}
		gone = append(gone, some...)
		whole = whole && all
	}
	if whole {
		return []Entry{e}, true, nil
	}
	return gone, false, nil
}

// whiteout hides what is below at e's path.
func (d *Draft) whiteout(e Entry, below *Tree) error {
	parent, _ := split(e.Path)
	if err := d.way(parent, below); err != nil {
		return err
	}
	d.touched[parent] = true
	return d.at(e.Path, func(dir int, name string) error { return unix.Mknodat(dir, name, unix.S_IFCHR, 0) })
}

// way puts the directories down to p that are not there, as they are below.
func (d *Draft) way(p string, below *Tree) error {
	if _, there := d.dirs[p]; there {
		return nil
	}
	if p != "" {
		parent, _ := split(p)
		if err := d.way(parent, below); err != nil {
			return err
		}
	}
	e, err := below.Lookup(p)
	if err != nil {
		return err
	}
	return d.putDir(p, e.stat, true)
}

// prune removes directories that are there for what is in them, where nothing
// is and nothing was.
func (d *Draft) prune(below *Tree) error {
	context := make([]string, 0, len(d.context))
	for p := range d.context {
		context = append(context, p)
	}
	slices.SortFunc(context, func(a, b string) int { return strings.Compare(b, a) }) // what is in a directory comes before it
	for _, p := range context {
		if p == "" {
			continue
		}
		if e, err := below.Lookup(p); err == nil && e.IsDir() {
			continue
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err := d.at(p, func(dir int, name string) error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
		if err == nil {
			delete(d.dirs, p)
			delete(d.context, p)
			delete(d.touched, p)
		} else if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// few is how many files are synchronized one by one.
const few = 16

// Sync begins to make durable what was put, before Settle: it takes long.
func (d *Draft) Sync() error {
	if len(d.puts) > few {
		return unix.Syncfs(int(d.root.Fd()))
	}
	for _, p := range d.puts {
		st, err := stat(int(d.root.Fd()), p)
		if err != nil {
			return &fs.PathError{Op: "look at", Path: "/" + p, Err: err}
		}
		if !isRegular(&st) {
			continue
		}
		fd, err := open(int(d.root.Fd()), p, unix.O_RDONLY)
		if err != nil {
			return &fs.PathError{Op: "open", Path: "/" + p, Err: err}
		}
		err = unix.Fsync(fd)
		unix.Close(fd)
		if err != nil {
			return &fs.PathError{Op: "write to the disk", Path: "/" + p, Err: err}
		}
	}
	return nil
}

// Seal gives the directories their owners, modes and times, and makes the layer
// durable. Nothing may be put into it any more.
func (d *Draft) Seal() error {
	defer d.root.Close()
	paths := make([]string, 0, len(d.dirs))
	for p := range d.dirs {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(b, a) })
	for _, p := range paths {
		mtime := d.dirs[p].Mtim
		if d.touched[p] && d.context[p] {
			mtime = now()
		}
		if err := d.attributes(p, mtime, len(paths) <= few); err != nil {
			return err
		}
	}
	if len(paths) > few {
		if err := unix.Syncfs(int(d.root.Fd())); err != nil {
			return fmt.Errorf("write a layer to the disk: %w", err)
		}
	}
	return syncDir(filepath.Dir(d.dir))
}

// attributes gives a directory its owner, mode and time.
func (d *Draft) attributes(p string, mtime unix.Timespec, sync bool) error {
	st := d.dirs[p]
	fd, err := open(int(d.root.Fd()), p, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		if os.Geteuid() == 0 {
			err = unix.Fchown(fd, int(st.Uid), int(st.Gid))
		}
		err = errors.Join(err, unix.Fchmod(fd, st.Mode&0o7777),
			unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{mtime, mtime}, 0))
		if err == nil && sync {
			err = unix.Fsync(fd)
		}
		unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "finish a layer", Path: "/" + p, Err: err}
	}
	return nil
}

func now() unix.Timespec {
	return unix.NsecToTimespec(time.Now().UnixNano())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Merge puts everything that a stack of layers shows into an empty draft, by
// links: one layer that shows the same.
func (d *Draft) Merge(t *Tree) error {
	return t.Walk("", func(e Entry) error {
		if len(t.roots) == 0 {
			return d.putDir("", e.stat, false)
		}
		return d.take(e.Path, t, e)
	})
}

// take puts an entry of a tree at a path, by a link.
func (d *Draft) take(p string, t *Tree, e Entry) error {
	switch {
	case e.IsDir():
		return d.putDir(p, e.stat, false)
	case isRegular(&e.stat):
		return d.link(p, int(t.roots[e.in].Fd()), e.Path)
	case isLink(&e.stat):
		target, err := t.Readlink(e)
		if err != nil {
			return err
		}
		return d.symlink(p, target, &e.stat)
	default:
		return d.special(p, &e.stat)
	}
}

// NewUpper makes a writable layer for an overlay of layers, whose root is as
// theirs.
func NewUpper(dir string, lower []string) error {
	t, err := Open(lower)
	if err != nil {
		return err
	}
	defer t.Close()
	e, err := t.Lookup("")
	if err != nil {
		return err
	}
	d, err := NewDraft(dir)
	if err != nil {
		return err
	}
	defer d.root.Close()
	if err := d.putDir("", e.stat, false); err != nil {
		return err
	}
	return d.attributes("", e.stat.Mtim, false)
}
