// Package source makes directory trees of the user's local files, which become
// the topmost read-only layers of a container's file system. Layers are named by
// what they contain, made once, and shared: the files of a function that has
// 50,000 of them cost its next container nothing. The package does not know what
// runs on them.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/clock"
)

// Store is a directory of layers. It is safe for concurrent use.
type Store struct {
	dir   string
	blobs *blob.Store
	clock clock.Clock

	mu     sync.Mutex
	layers map[string]*layer
}

// layer is one directory, or the intention to make it.
type layer struct {
	making sync.Mutex
	made   bool // making guards it

	refs int       // Store.mu guards it
	used time.Time // since when refs is 0
}

// Tree is the pinned files of one function. The zero Tree has none.
type Tree struct {
	store *Store
	names []string // of layers, topmost first
	files map[string]app.File
	once  *sync.Once
}

// Open makes or opens a store in dir. Layers that were finished before are
// found again; unfinished ones are removed.
func Open(dir string, blobs *blob.Store, c clock.Clock) (*Store, error) {
	s := &Store{dir: dir, blobs: blobs, clock: c, layers: map[string]*layer{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store of source trees: %w", err)
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the store of source trees: %w", err)
	}
	for _, d := range found {
		if !blob.Valid(d.Name()) {
			if err := os.RemoveAll(filepath.Join(dir, d.Name())); err != nil {
				return nil, fmt.Errorf("removing an unfinished source tree: %w", err)
			}
			continue
		}
		s.layers[d.Name()] = &layer{made: true, used: c.Now()}
	}
	return s, nil
}

// Make returns the tree of some mounts' files; later mounts win. lower are the
// directories, topmost first, of the image that the tree will lie over: its
// symbolic links to directories are followed, and its directories keep their
// modes. If copied is set the files are copies, for runtimes in which a function
// could write to them; otherwise they are hard links to the blob store.
func (s *Store) Make(ctx context.Context, mounts []app.Mount, lower []string, copied bool) (_ Tree, err error) {
	contents, err := plan(mounts, lower)
	if err != nil || len(contents) == 0 {
		return Tree{}, err
	}
	t := Tree{store: s, files: contents[0].files, once: new(sync.Once)}
	if len(contents) > 1 {
		t.files = map[string]app.File{}
		for _, c := range contents {
			maps.Copy(t.files, c.files)
		}
	}
	defer func() {
		if err != nil {
			t.Release()
		}
	}()
	for _, c := range slices.Backward(contents) {
		name := c.name(copied)
		l := s.hold(name)
		t.names = append(t.names, name)
		if err := l.make(func() error { return s.make(ctx, name, c, copied) }); err != nil {
			return Tree{}, err
		}
	}
	return t, nil
}

// hold finds a layer, or intends to make it.
func (s *Store) hold(name string) *layer {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.layers[name]
	if l == nil {
		l = &layer{}
		s.layers[name] = l
	}
	l.refs++
	return l
}

// make makes the layer if nobody has; whoever comes meanwhile waits.
func (l *layer) make(files func() error) error {
	l.making.Lock()
	defer l.making.Unlock()
	if l.made {
		return nil
	}
	err := files()
	l.made = err == nil
	return err
}

// Dirs are the directories of the tree's layers, topmost first.
func (t Tree) Dirs() []string {
	dirs := make([]string, len(t.names))
	for i, name := range t.names {
		dirs[i] = filepath.Join(t.store.dir, name)
	}
	return dirs
}

// Names are those of the tree's layers, by which Pin finds them.
func (t Tree) Names() []string { return t.names }

// Pin keeps the layers of a tree that was made earlier, by this host or by one
// before it, until they are released. Layers that are gone are left out.
func (s *Store) Pin(names []string) Tree {
	t := Tree{store: s, once: new(sync.Once)}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if l := s.layers[name]; l != nil {
			l.refs++
			t.names = append(t.names, name)
		}
	}
	return t
}

// Retain pins the tree once more.
func (t Tree) Retain() Tree {
	if t.store == nil {
		return t
	}
	t.once = new(sync.Once)
	for _, name := range t.names {
		t.store.hold(name)
	}
	return t
}

// Files is what the tree has, by path in the container. It must not be changed.
func (t Tree) Files() map[string]app.File { return t.files }

// Release lets go of the tree. It stays until it is collected. It may be
// called more than once.
func (t Tree) Release() {
	if t.store == nil {
		return
	}
	t.once.Do(func() {
		t.store.mu.Lock()
		defer t.store.mu.Unlock()
		for _, name := range t.names {
			l := t.store.layers[name]
			l.refs--
			l.used = t.store.clock.Now()
		}
	})
}

// Collect removes layers that nobody has held for the given time.
func (s *Store) Collect(unused time.Duration) error {
	gone, failed := s.forget(unused)
	for _, dir := range gone {
		if err := os.RemoveAll(dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("removing a source tree: %w", err))
		}
	}
	return failed
}

// forget makes layers unfindable, and says where they are now: to remove one
// with many files takes longer than others may wait for the store.
func (s *Store) forget(unused time.Duration) (gone []string, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, l := range s.layers {
		if l.refs > 0 || s.clock.Now().Sub(l.used) < unused {
			continue
		}
		delete(s.layers, name)
		dir, err := os.MkdirTemp(s.dir, "removing-")
		if err == nil {
			gone = append(gone, dir)
			err = os.Rename(filepath.Join(s.dir, name), filepath.Join(dir, name))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may never have been finished
			failed = errors.Join(failed, fmt.Errorf("removing a source tree: %w", err))
		}
	}
	return gone, failed
}
