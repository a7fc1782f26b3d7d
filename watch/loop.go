package watch

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// loop is the state of a Watcher's goroutine.
type loop struct {
	Options
	set     Set
	files   map[string]file
	places  *places
	burst   burst
	pending map[string]Kind // not yet taken

	notify *fsnotify.Watcher // nil = the kernel gives no events
	warned bool
	poll   *time.Ticker
	timer  *time.Timer
	armed  bool // the timer runs
}

func newLoop(o Options) *loop {
	l := &loop{Options: o, files: map[string]file{}, places: newPlaces(), pending: map[string]Kind{}, timer: time.NewTimer(time.Hour)}
	l.burst.quiet = o.Quiet
	l.timer.Stop()
	if o.Poll > 0 {
		l.poll = time.NewTicker(o.Poll)
		return l
	}
	var err error
	if l.notify, err = fsnotify.NewWatcher(); err != nil {
		l.notify = nil
		l.fallBack(err)
	}
	return l
}

func (l *loop) run(ctx context.Context, sets <-chan request, changes chan<- []Change) {
	defer l.close()
	for {
		var out chan<- []Change
		var next []Change
		if len(l.pending) > 0 {
			out, next = changes, sorted(l.pending)
		}
		var events <-chan fsnotify.Event
		var failures <-chan error
		if l.notify != nil {
			events, failures = l.notify.Events, l.notify.Errors
		}
		var polls <-chan time.Time
		if l.poll != nil {
			polls = l.poll.C
		}
		select {
		case <-ctx.Done():
			return
		case r := <-sets:
			l.replace(r.set)
			close(r.done)
		case e := <-events:
			l.event(e)
		case err := <-failures:
			l.failed(err)
		case <-l.timer.C:
			l.armed = false
			l.rest(time.Now())
		case <-polls:
			l.look(look{all: true})
		case out <- next:
			clear(l.pending)
		}
	}
}

func (l *loop) close() {
	if l.notify != nil {
		_ = l.notify.Close()
	}
	if l.poll != nil {
		l.poll.Stop()
	}
	l.timer.Stop()
}

// replace begins to watch another set.
func (l *loop) replace(set Set) {
	if set.Ignore == nil {
		set.Ignore = func(string) bool { return false }
	}
	l.set = set
	paths := l.survey()
	known := l.files
	l.files = make(map[string]file, len(paths))
	var fresh []string
	for _, path := range paths {
		if f, ok := known[path]; ok {
			l.files[path] = f
		} else {
			fresh = append(fresh, path)
		}
	}
	for path, f := range readAll(fresh, l.Sum) {
		l.files[path] = f
		if !set.Since.IsZero() && f.stamp.there && f.stamp.modified.After(set.Since) {
			l.pending[path] = Written
		}
	}
	maps.DeleteFunc(l.pending, func(path string, _ Kind) bool { _, ok := l.files[path]; return !ok })
	l.look(look{all: true}) // what was watched before may have changed
}

// survey finds the files that the set names, and watches the folders that
// matter for them.
func (l *loop) survey() (paths []string) {
	l.places = newPlaces()
	for _, path := range l.set.Files {
		l.places.file(path)
	}
	t := tree{places: l.places, ignore: l.set.Ignore, watch: l.watch}
	for _, root := range l.set.Trees {
		t.walk(root, nil)
	}
	l.places.above()
	l.watchOnly(l.places.folders())
	paths = slices.Concat(l.set.Files, t.files)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// watch asks the kernel for a folder's events.
func (l *loop) watch(folder string) {
	if l.notify == nil {
		return
	}
	// A folder that is not there (any more) is an entry of one that is.
	if err := l.notify.Add(folder); err != nil && !missing(err) {
		l.fallBack(err)
	}
}

// watchOnly watches these folders and no others.
func (l *loop) watchOnly(folders map[string]struct{}) {
	if l.notify == nil {
		return
	}
	for _, old := range l.notify.WatchList() {
		if _, ok := folders[old]; !ok {
			_ = l.notify.Remove(old) // it has gone, or the kernel's word for it
		}
	}
	for folder := range folders {
		l.watch(folder)
	}
}

// fallBack looks from time to time, because the kernel does not tell.
func (l *loop) fallBack(err error) {
	if !l.warned {
		l.warned = true
		l.Warn(limitError(err, l.Fallback))
	}
	if l.notify != nil {
		_ = l.notify.Close()
		l.notify = nil
	}
	if l.poll == nil {
		l.poll = time.NewTicker(l.Fallback)
	}
}

// event notes what the kernel tells, if it matters.
func (l *loop) event(e fsnotify.Event) {
	now := time.Now()
	folder, name := filepath.Split(e.Name)
	folder = filepath.Clean(folder)
	switch paths := l.places.files[e.Name]; {
	case len(paths) > 0:
		size := sizeOf(e.Name)
		for _, path := range paths {
			l.burst.told(path, size, now)
		}
	case l.matters(folder, name) || len(l.places.trees[e.Name]) > 0:
		l.burst.everything(now)
	default:
		return
	}
	l.wake(l.Quiet)
}

// matters tells whether an entry of a folder does.
func (l *loop) matters(folder, name string) bool {
	if _, ok := l.places.names[folder][name]; ok {
		return true
	}
	for _, root := range l.places.trees[folder] {
		if !l.set.Ignore(filepath.Join(root, name)) {
			return true
		}
	}
	return false
}

func (l *loop) failed(err error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) { // some events were lost
		l.burst.everything(time.Now())
		l.wake(l.Quiet)
		return
	}
	l.fallBack(err)
}

// rest looks at what is at rest, and waits for the others.
func (l *loop) rest(now time.Time) {
	next, wait := l.burst.rest(now, sizeOf, l.locked)
	if wait > 0 {
		l.wake(wait)
	}
	l.look(next)
}

// wake asks for a look after a while; an earlier one that was asked for stays,
// so that events without end do not put it off.
func (l *loop) wake(after time.Duration) {
	if !l.armed {
		l.armed = true
		l.timer.Reset(after)
	}
}

func (l *loop) locked() bool {
	return slices.ContainsFunc(l.set.Locks, func(path string) bool { return stampOf(path).there })
}

// look finds what has changed.
func (l *loop) look(what look) {
	if what.all {
		paths := l.survey()
		gone := maps.Clone(l.files)
		for _, path := range paths {
			delete(gone, path)
			if _, ok := l.files[path]; !ok {
				l.files[path] = file{} // it was not there
			}
			l.compare(path)
		}
		for path := range gone { // of a tree
			if !l.compare(path) {
				delete(l.files, path)
			}
		}
	}
	for _, path := range what.files {
		if _, ok := l.files[path]; ok { // else it left the set meanwhile
			l.check(path)
		}
	}
}

// compare tells whether a file differs from what it was, and sees to it. Only a
// file that was told of may have changed without its being seen; one that has
// gone, or is empty, may be about to be written.
func (l *loop) compare(path string) bool {
	now := stampOf(path)
	switch {
	case now == l.files[path].stamp:
		return false
	case now.size == 0:
		size := int64(0)
		if !now.there {
			size = -1
		}
		l.burst.differs(path, size, time.Now())
		l.wake(l.Quiet)
	default:
		l.check(path)
	}
	return true
}

// check compares a file with what it was.
func (l *loop) check(path string) {
	now, settled := read(path, l.Sum)
	if !settled {
		l.burst.told(path, now.stamp.size, time.Now())
		l.wake(l.Quiet)
		return
	}
	if kind := difference(l.files[path], now); kind != "" {
		l.add(path, kind)
	}
	l.files[path] = now
}

// add adds a change to those that are not yet taken.
func (l *loop) add(path string, kind Kind) {
	before, ok := l.pending[path]
	switch {
	case ok && before == Created && kind == Removed:
		delete(l.pending, path)
	case ok && before == Created:
	case ok && before == Removed && kind == Created:
		l.pending[path] = Written
	default:
		l.pending[path] = kind
	}
}
