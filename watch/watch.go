// Package watch tells when the contents of files change. It knows files and
// change sets and nothing else: not what the files are for, nor what is done
// about a change.
//
// Folders are watched, not files, because editors save by renaming a new file
// over the old one. What the kernel tells only says when to look: the truth is
// the files themselves, so that a touch without a change, a swap file or a
// renamed folder needs no rule of its own, and where the kernel tells nothing
// the same look is taken from time to time.
package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Kind is what happened to a file.
type Kind string

// Kinds of changes.
const (
	Created Kind = "created"
	Written Kind = "written" // also: its permissions were changed
	Removed Kind = "removed"
)

// Change is one file that differs from what it was at the last change set.
type Change struct {
	Path string // as it was named in the Set, or below a tree of it
	Kind Kind
}

// Set is what is watched. Paths are absolute.
type Set struct {
	// Files need not be there (yet).
	Files []string
	// Trees are folders with everything below; symbolic links are followed.
	Trees []string
	// Ignore leaves out what lies in a tree, folders with all that they hold.
	// nil = nothing.
	Ignore func(path string) bool
	// Since is when whoever watches has read the files: one that is new to the
	// watcher, and was written later, has changed. Zero = now.
	Since time.Time
	// Locks are files that say, while they are there, that more is about to
	// change: .git/index.lock. They are believed for a few seconds.
	Locks []string
}

// Options says how a Watcher looks. Zero values are the defaults.
type Options struct {
	Quiet time.Duration // after the last event, before a look: 10 ms
	// Poll makes the watcher look at all files that often instead of asking the
	// kernel for events.
	Poll time.Duration
	// Fallback is how often it looks where the kernel gives no events: 500 ms.
	Fallback time.Duration
	// Warn is told, once, why the kernel gives no events. It is called from the
	// watcher's goroutine.
	Warn func(error)
	// Sum returns something that is equal where contents are; nil = SHA-256.
	Sum func(path string) (string, error)
}

// Watcher watches one Set at a time. Its methods may be called from any
// goroutine.
type Watcher struct {
	changes chan []Change
	sets    chan request
	cancel  context.CancelFunc
	done    chan struct{}
	once    sync.Once
}

type request struct {
	set  Set
	done chan struct{}
}

// New returns a watcher of nothing. Close must be called.
func New(o Options) *Watcher {
	if o.Quiet <= 0 {
		o.Quiet = 10 * time.Millisecond
	}
	if o.Fallback <= 0 {
		o.Fallback = 500 * time.Millisecond
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Sum == nil {
		o.Sum = sum
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{changes: make(chan []Change), sets: make(chan request), cancel: cancel, done: make(chan struct{})}
	l := newLoop(o)
	go func() {
		defer close(w.done)
		defer close(w.changes)
		l.run(ctx, w.sets, w.changes)
	}()
	return w
}

// Watch replaces the set, and returns when it is watched: no change of a file
// after that is missed. A file that was watched before is compared with what it
// was then, so that what changed meanwhile is told.
func (w *Watcher) Watch(ctx context.Context, set Set) error {
	r := request{set: set, done: make(chan struct{})}
	select {
	case w.sets <- r:
	case <-w.done:
		return errors.New("the watcher was closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	<-r.done
	return nil
}

// Changes delivers change sets, sorted by path, none of them empty. While a set
// is not taken, further changes are added to it. It is closed by Close.
func (w *Watcher) Changes() <-chan []Change { return w.changes }

// Close ends the watching.
func (w *Watcher) Close() {
	w.once.Do(w.cancel)
	<-w.done
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sorted is a change set in the order of paths.
func sorted(changes map[string]Kind) []Change {
	list := make([]Change, 0, len(changes))
	for path, kind := range changes {
		list = append(list, Change{Path: path, Kind: kind})
	}
	slices.SortFunc(list, func(a, b Change) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return list
}
