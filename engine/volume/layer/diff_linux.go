package layer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Upper is the writable layer of an overlay that a container has mounted, over
// Base.
type Upper struct {
	Dir  string
	Base *Tree
	// Live says that it is still being written: its files are copied, not
	// shared.
	Live bool
}

// Stamps remember the state in which files of a writable layer were taken, so
// that they are not taken again unless they change.
type Stamps map[string]taken

type taken struct {
	Stamp
	fresh bool // it had changed so lately that a further change may show no other stamp
}

// Stamp is the state of one file.
type Stamp struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// racy is how old a change must be so that a further one surely has another
// time: kernels tell times in steps of their clock's tick.
const racy = 20 * time.Millisecond

// maxCompared is the size up to which a file that has changed so lately is
// compared the next time. For a larger one it is waited until that is over.
const maxCompared = 16 << 20

// Diff puts into a draft what is different in an overlay from what its user has
// seen last in the volume: its base at first, later what it has published.
// known are the files that were taken already; the new ones are returned.
func Diff(d *Draft, u Upper, seen *Tree, known Stamps) (Stamps, error) {
	root, err := os.OpenFile(u.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f := &differ{
		draft: d, upper: u, root: int(root.Fd()), seen: seen, known: known, taken: Stamps{},
	}
	f.apart = apart(u.Base, seen)
	st, err := stat(f.root, "")
	if err != nil {
		return nil, err
	}
	err = f.dir(dirView{path: "", stat: st, upper: true, under: "", merged: true})
	return f.taken, err
}

type differ struct {
	draft   *Draft
	upper   Upper
	root    int
	seen    *Tree
	known   Stamps
	taken   Stamps
	apart   []int // layers that only one of base and seen has
	pending []pendingDir
}

type pendingDir struct {
	path string
	stat unix.Stat_t
	put  bool
}

// apart opens no layer: it returns those of either that the other lacks.
func apart(a, b *Tree) []int {
	n := 0
	for n < len(a.dirs) && n < len(b.dirs) && a.dirs[len(a.dirs)-1-n] == b.dirs[len(b.dirs)-1-n] {
		n++
	}
	var fds []int
	for _, t := range []*Tree{a, b} {
		for _, r := range t.roots[:len(t.roots)-n] {
			fds = append(fds, int(r.Fd()))
		}
	}
	return fds
}

// same says whether base and seen show the same at a path and below.
func (f *differ) same(p string) bool {
	for _, fd := range f.apart {
		if _, err := stat(fd, p); !errors.Is(err, unix.ENOENT) {
			return false
		}
	}
	return true
}

// dirView is a directory as the container sees it: its own entries, in the
// writable layer, over those of a directory of the base, which is another one
// if it was renamed.
type dirView struct {
	path   string
	stat   unix.Stat_t
	upper  bool
	under  string
	merged bool // there is a directory of the base below
}

// item is an entry as the container sees it.
type item struct {
	stat  unix.Stat_t
	upper bool
	base  Entry // if not upper
}

// dir goes through one directory.
func (f *differ) dir(v dirView) error {
	f.pending = append(f.pending, pendingDir{path: v.path, stat: v.stat})
	defer func() { f.pending = f.pending[:len(f.pending)-1] }()
	old, err := f.seen.Lookup(v.path)
	was := err == nil && old.IsDir()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !was || !sameDir(&old.stat, &v.stat) {
		// Its time alone is no news.
		if !was || old.stat.Mode != v.stat.Mode || old.stat.Uid != v.stat.Uid || old.stat.Gid != v.stat.Gid {
			if err := f.flush(true); err != nil {
				return err
			}
		}
	}
	current, gone, err := f.list(v)
	if err != nil {
		return err
	}
	// Where nothing else can be different, what the container has not touched
	// is as it was.
	quick := was && v.merged && v.under == v.path && f.same(v.path)
	before := map[string]Entry{}
	if quick {
		for name := range current {
			if e, err := f.seen.Lookup(join(v.path, name)); err == nil {
				before[name] = e
			}
		}
		for _, name := range gone {
			if e, err := f.seen.Lookup(join(v.path, name)); err == nil {
				before[name] = e
			}
		}
	} else {
		if v.merged {
			list, err := f.upper.Base.ReadDir(v.under)
			if err != nil {
				return err
			}
			for _, e := range list {
				_, name := split(e.Path)
				if _, mine := current[name]; !mine && !slices.Contains(gone, name) {
					current[name] = item{stat: e.stat, base: e}
				}
			}
		}
		if was {
			list, err := f.seen.ReadDir(v.path)
			if err != nil {
				return err
			}
			for _, e := range list {
				_, name := split(e.Path)
				before[name] = e
			}
		}
	}
	for name := range before {
		if _, there := current[name]; !there {
			if err := f.flush(false); err != nil {
				return err
			}
			f.draft.remove(join(v.path, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(current)) {
		e, was := before[name]
		if err := f.entry(v, join(v.path, name), current[name], e, was); err != nil {
			return err
		}
	}
	return nil
}

func sameDir(a, b *unix.Stat_t) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid && a.Mtim == b.Mtim
}

// list reads the directory's part in the writable layer: what is there, and
// what it hides.
func (f *differ) list(v dirView) (current map[string]item, gone []string, err error) {
	current = map[string]item{}
	if !v.upper {
		return current, nil, nil
	}
	fd, err := open(f.root, v.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if f.vanished(err) {
		return current, nil, nil
	}
	if err != nil {
		return nil, nil, &fs.PathError{Op: "list", Path: "/" + v.path, Err: err}
	}
	stats, err := readDir(fd)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "list", Path: "/" + v.path, Err: err}
	}
	for name, st := range stats {
		if isWhiteout(&st) {
			gone = append(gone, name)
		} else {
			current[name] = item{stat: st, upper: true}
		}
	}
	return current, gone, nil
}

// vanished says whether an error means that the container has removed or
// replaced something meanwhile. The next diff will tell.
func (f *differ) vanished(err error) bool {
	return f.upper.Live && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP))
}

// entry compares one entry with what was there, if there was any.
func (f *differ) entry(v dirView, p string, it item, old Entry, was bool) error {
	switch {
	case isDir(&it.stat):
		if was && !old.IsDir() {
			was = false
		}
		next := dirView{path: p, stat: it.stat, upper: it.upper}
		if it.upper {
			if err := f.beneath(v, &next); err != nil {
				if f.vanished(err) {
					return nil
				}
				return err
			}
		} else {
			if was && it.base.Path == p && f.same(p) {
				return nil
			}
			next.under, next.merged = it.base.Path, true
		}
		return f.dir(next)
	case it.upper:
		return f.file(p, it, old, was)
	case was && old.stat.Dev == it.stat.Dev && old.stat.Ino == it.stat.Ino:
		return nil
	default:
		if err := f.flush(false); err != nil {
			return err
		}
		return f.draft.take(p, f.upper.Base, it.base)
	}
}

// file puts a file of the writable layer, unless it was taken as it is.
func (f *differ) file(p string, it item, old Entry, was bool) error {
	if known, is := f.known[p]; is && was && known.Stamp == stampOf(&it.stat) {
		now, same, err := time.Now(), true, error(nil)
		if known.fresh {
			same, err = f.unchanged(p, &it.stat, old)
		}
		if err != nil {
			return err
		}
		if same {
			f.taken[p] = stampAt(&it.stat, now)
			return nil
		}
	}
	if err := f.flush(false); err != nil {
		return err
	}
	var err error
	began := time.Now()
	switch {
	case isRegular(&it.stat) && f.upper.Live:
		// Pages that the container has mapped and changed get a new time only
		// when they are changed after they were written to the disk.
		if fd, err := open(f.root, p, unix.O_RDONLY|unix.O_NONBLOCK); err == nil {
			_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
			_ = unix.Fstat(fd, &it.stat)
			if wait := racy - time.Since(changed(&it.stat)); it.stat.Size > maxCompared && wait >= 0 {
				time.Sleep(wait + time.Millisecond)
				_ = unix.Fstat(fd, &it.stat)
			}
			unix.Close(fd)
		}
		began = time.Now()
		err = f.draft.copy(p, f.root, p)
	case isRegular(&it.stat):
		err = f.draft.link(p, f.root, p)
	case isLink(&it.stat):
		var target string
		if target, err = readlink(f.root, p); err == nil {
			err = f.draft.symlink(p, target, &it.stat)
		}
	case it.stat.Mode&unix.S_IFMT == unix.S_IFCHR, it.stat.Mode&unix.S_IFMT == unix.S_IFBLK:
		return nil // no container can make one
	default:
		err = f.draft.special(p, &it.stat)
	}
	if f.vanished(err) {
		return nil
	}
	if err == nil {
		f.taken[p] = stampAt(&it.stat, began)
	}
	return err
}

// stampAt is the stamp of what began to be taken at a time.
func stampAt(st *unix.Stat_t, began time.Time) taken {
	return taken{stampOf(st), began.Sub(changed(st)) <= racy}
}

func changed(st *unix.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }

// unchanged says whether a file is what was taken.
func (f *differ) unchanged(p string, st *unix.Stat_t, old Entry) (bool, error) {
	was := &old.stat
	if st.Mode != was.Mode || st.Size != was.Size || st.Uid != was.Uid || st.Gid != was.Gid || st.Mtim != was.Mtim {
		return false, nil
	}
	if st.Size > maxCompared {
		return false, nil
	}
	if !isRegular(st) {
		if !isLink(st) {
			return true, nil
		}
		mine, err := readlink(f.root, p)
		if f.vanished(err) {
			return false, nil
		}
		theirs, err2 := f.seen.Readlink(old)
		return mine == theirs, errors.Join(err, err2)
	}
	fd, err := open(f.root, p, unix.O_RDONLY|unix.O_NONBLOCK)
	if f.vanished(err) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "compare", Path: "/" + p, Err: err}
	}
	mine := os.NewFile(uintptr(fd), p)
	defer mine.Close()
	theirs, err := f.seen.Open(old)
	if err != nil {
		return false, err
	}
	defer theirs.Close()
	return sameContent(mine, theirs)
}

func sameContent(a, b io.Reader) (bool, error) {
	const piece = 256 << 10
	var buffers [2 * piece]byte
	for {
		n, err := io.ReadFull(a, buffers[:piece])
		m, err2 := io.ReadFull(b, buffers[piece:])
		if !bytes.Equal(buffers[:n], buffers[piece:piece+m]) {
			return false, nil
		}
		end, end2 := ended(err), ended(err2)
		switch {
		case end && end2:
			return true, nil
		case err != nil && !end:
			return false, err
		case err2 != nil && !end2:
			return false, err2
		case end != end2:
			return false, nil
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// beneath finds out what a directory of the writable layer is merged with.
func (f *differ) beneath(v dirView, next *dirView) error {
	fd, err := open(f.root, next.path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/" + next.path, Err: err}
	}
	defer unix.Close(fd)
	if getXattr(fd, "trusted.overlay.opaque") == "y" {
		return nil
	}
	to := getXattr(fd, "trusted.overlay.redirect")
	switch {
	case strings.HasPrefix(to, "/"):
		next.under = strings.TrimPrefix(path.Clean(to), "/")
	case !v.merged:
		return nil
	case to != "":
		next.under = join(v.under, to)
	default:
		_, name := split(next.path)
		next.under = join(v.under, name)
	}
	e, err := f.upper.Base.Lookup(next.under)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	next.merged = err == nil && e.IsDir()
	return err
}

func getXattr(fd int, name string) string {
	value := make([]byte, maxPath+1)
	n, err := unix.Fgetxattr(fd, name, value)
	if err != nil {
		return ""
	}
	return string(value[:n])
}

// flush puts the directories on the way to where the walk is; with changed the
// last of them for its own sake.
func (f *differ) flush(changed bool) error {
	for i := range f.pending {
		p := &f.pending[i]
		context := !changed || i < len(f.pending)-1
		if p.put && context {
			continue
		}
		if err := f.draft.putDir(p.path, p.stat, context); err != nil {
			return err
		}
		p.put = true
	}
	return nil
}

// Squash makes a draft that shows over below what all, of which below are the
// lower layers, shows. It is settled and sealed then.
func Squash(d *Draft, all, below *Tree) error {
	f := &differ{draft: d, upper: Upper{Base: all}, root: -1, seen: below, taken: Stamps{}, apart: apart(all, below)}
	root, err := all.Lookup("")
	if err != nil {
		return err
	}
	if err := f.dir(dirView{stat: root.stat, merged: true}); err != nil {
		return err
	}
	// The root of a layer is its own whether or not anything is in it.
	if err := d.putDir("", root.stat, false); err != nil {
		return err
	}
	if _, err := d.Settle(below, nil); err != nil {
		return err
	}
	return d.Seal()
}
