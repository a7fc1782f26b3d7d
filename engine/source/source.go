// Package source makes directory trees of the user's local files, which become
// the topmost read-only layer of a container's file system. Trees are named by
// what they contain, made once, and shared. The package does not know what
// runs on them.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/clock"
)

// Store is a directory of trees. It is safe for concurrent use.
type Store struct {
	dir   string
	blobs *blob.Store
	clock clock.Clock

	mu    sync.Mutex
	trees map[string]*tree
}

// tree is one directory, or the intention to make it.
type tree struct {
	making sync.Mutex
	made   bool // making guards it

	refs int       // Store.mu guards it
	used time.Time // since when refs is 0
}

// Tree is a pinned tree. The zero Tree has no files and no directory.
type Tree struct {
	store *Store
	name  string
	files map[string]app.File
	once  *sync.Once
}

// Open makes or opens a store in dir. Trees that were finished before are
// found again; unfinished ones are removed.
func Open(dir string, blobs *blob.Store, c clock.Clock) (*Store, error) {
	s := &Store{dir: dir, blobs: blobs, clock: c, trees: map[string]*tree{}}
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
		s.trees[d.Name()] = &tree{made: true, used: c.Now()}
	}
	return s, nil
}

// Make returns the tree of some mounts' files; later mounts win. lower are the
// directories, topmost first, of the image that the tree will lie over: its
// symbolic links to directories are followed. If copied is set the files are
// copies, for runtimes in which a function could write to them; otherwise they
// are hard links to the blob store.
func (s *Store) Make(ctx context.Context, mounts []app.Mount, lower []string, copied bool) (Tree, error) {
	files, err := entries(mounts, lower)
	if err != nil || len(files) == 0 {
		return Tree{}, err
	}
	paths := slices.Sorted(maps.Keys(files))
	name := nameOf(paths, files, copied)

	s.mu.Lock()
	t := s.trees[name]
	if t == nil {
		t = &tree{}
		s.trees[name] = t
	}
	t.refs++
	s.mu.Unlock()

	result := Tree{store: s, name: name, files: files, once: new(sync.Once)}
	t.making.Lock()
	defer t.making.Unlock()
	if !t.made {
		if err := s.make(ctx, name, paths, files, copied); err != nil {
			result.Release()
			return Tree{}, err
		}
		t.made = true
	}
	return result, nil
}

func nameOf(paths []string, files map[string]app.File, copied bool) string {
	h := sha256.New()
	fmt.Fprintf(h, "copied %v\n", copied)
	for _, p := range paths {
		fmt.Fprintf(h, "%s\x00%s\x00%v\n", p, files[p].SHA256, executable(files[p]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func executable(f app.File) bool { return f.Mode&0o111 != 0 }

// make makes a tree's directory: beside its place first, so that a kill in the
// middle leaves nothing that looks finished.
func (s *Store) make(ctx context.Context, name string, paths []string, files map[string]app.File, copied bool) (err error) {
	tmp, err := os.MkdirTemp(s.dir, "making-")
	if err != nil {
		return fmt.Errorf("making a source tree: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	put := s.blobs.Link
	if copied {
		put = s.blobs.Copy
	}
	made := map[string]bool{".": true}
	for i, p := range paths {
		if i%100 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rel := strings.TrimPrefix(p, "/")
		if err := mkdirs(tmp, filepath.Dir(rel), made); err != nil {
			return fmt.Errorf("making a source tree: %w", err)
		}
		f := files[p]
		if err := put(f.SHA256, executable(f), filepath.Join(tmp, rel)); err != nil {
			return fmt.Errorf("placing %s into a source tree: %w", p, err)
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil { //nolint:gosec // it becomes a container's root directory
		return fmt.Errorf("making a source tree: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("making a source tree: %w", err)
	}
	return nil
}

// mkdirs makes a directory below root and those above it, with a mode that
// does not depend on the umask.
func mkdirs(root, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := mkdirs(root, filepath.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	full := filepath.Join(root, dir)
	if err := os.Mkdir(full, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // a container's
		return err
	}
	return os.Chmod(full, 0o755) //nolint:gosec // as above
}

// Dir is the tree's directory, "" for a tree without files.
func (t Tree) Dir() string {
	if t.store == nil {
		return ""
	}
	return filepath.Join(t.store.dir, t.name)
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
		known := t.store.trees[t.name]
		known.refs--
		known.used = t.store.clock.Now()
	})
}

// Collect removes trees that nobody has held for the given time.
func (s *Store) Collect(unused time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	for name, t := range s.trees {
		if t.refs > 0 || s.clock.Now().Sub(t.used) < unused {
			continue
		}
		delete(s.trees, name)
		failed = errors.Join(failed, s.remove(name))
	}
	return failed
}

// remove removes a tree, unfindable first. mu is held, so nobody makes the
// same tree meanwhile.
func (s *Store) remove(name string) error {
	gone := filepath.Join(s.dir, "removing-"+name)
	if err := os.Rename(filepath.Join(s.dir, name), gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was never finished
		}
		return fmt.Errorf("removing a source tree: %w", err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("removing a source tree: %w", err)
	}
	return nil
}
