package venv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/build"
)

// markName is the file that says that an environment is complete. It is
// written last and removed first, so that half an environment has none.
const markName = "complete.json"

// store keeps the environments of an engine, each in a folder of its own that
// never changes once it is complete.
type store struct {
	dir string

	mu      sync.Mutex
	newest  map[string]*environmentDir // by key
	all     map[string]*environmentDir // by folder
	claims  map[string]chan struct{}   // by key: a token for who may build it
	waiting map[string]int             // by key: how many hold or await the token
}

// environmentDir is one complete environment. Its fields are the store's to
// change.
type environmentDir struct {
	dir  string
	pins int
	mark mark
}

// mark is what is kept of an environment on disk.
type mark struct {
	Key      string    `json:"key"`
	Image    string    `json:"image"` // of the recipe that used it last
	Steps    []string  `json:"steps"`
	Bytes    int64     `json:"bytes"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"-"` // the mark's time of change
}

func (d *environmentDir) venv() string  { return filepath.Join(d.dir, "venv") }
func (d *environmentDir) files() string { return filepath.Join(d.dir, "files") }

// usable reports whether the interpreter behind an environment still exists.
func (d *environmentDir) usable() bool {
	_, err := os.Stat(filepath.Join(d.venv(), "bin", "python"))
	return err == nil
}

// openStore reads the environments in dir and removes what is incomplete.
func openStore(dir string) (*store, error) {
	s := &store{
		dir: dir, newest: map[string]*environmentDir{}, all: map[string]*environmentDir{},
		claims: map[string]chan struct{}{}, waiting: map[string]int{},
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		d, err := readMark(path)
		if err != nil {
			if err := removeTree(path); err != nil {
				return nil, fmt.Errorf("clearing what a killed build left: %w", err)
			}
			continue
		}
		s.all[path] = d
		if old := s.newest[d.mark.Key]; old == nil || old.mark.Created.Before(d.mark.Created) {
			s.newest[d.mark.Key] = d
		}
	}
	return s, nil
}

func readMark(dir string) (*environmentDir, error) {
	path := filepath.Join(dir, markName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &environmentDir{dir: dir}
	if err := json.Unmarshal(data, &d.mark); err != nil {
		return nil, err
	}
	d.mark.LastUsed = info.ModTime()
	return d, nil
}

// claim waits until the caller alone may build a key, and returns how to end that.
func (s *store) claim(ctx context.Context, key string) (release func(), err error) {
	s.mu.Lock()
	token := s.claims[key]
	if token == nil {
		token = make(chan struct{}, 1)
		s.claims[key] = token
	}
	s.waiting[key]++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting[key]--; s.waiting[key] == 0 {
			delete(s.waiting, key)
			delete(s.claims, key)
		}
	}
	select {
	case token <- struct{}{}:
		return func() { <-token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// pin returns the newest environment of a key, pinned; nil if there is none
// that can be used.
func (s *store) pin(key string) *environmentDir {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.newest[key]
	if d == nil || !d.usable() {
		return nil
	}
	d.pins++
	return d
}

// pinDir returns the environment in a folder of the store, pinned; nil if there
// is none that can be used.
func (s *store) pinDir(name string) *environmentDir {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.all[filepath.Join(s.dir, name)]
	if d == nil || !d.usable() {
		return nil
	}
	d.pins++
	return d
}

func (s *store) repin(d *environmentDir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.pins++
}

func (s *store) unpin(d *environmentDir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.pins--
}

// use records that an image uses an environment now.
func (s *store) use(d *environmentDir, image string, steps []string) {
	now := time.Now()
	s.mu.Lock()
	d.mark.Image, d.mark.Steps, d.mark.LastUsed = image, steps, now
	s.mu.Unlock()
	// The time only decides what is deleted first; on a full disk it is lost.
	_ = os.Chtimes(filepath.Join(d.dir, markName), now, now)
}

// begin makes the folder of a new environment.
func (s *store) begin(key string) (string, error) {
	return os.MkdirTemp(s.dir, key+"-")
}

// finish marks a folder as a complete environment and pins it. An older one of
// the same key stays as long as an image pins it.
func (s *store) finish(dir, key, image string, steps []string) (*environmentDir, error) {
	size, err := treeSize(dir)
	if err != nil {
		return nil, err
	}
	d := &environmentDir{dir: dir, pins: 1, mark: mark{
		Key: key, Image: image, Steps: steps, Bytes: size, Created: time.Now(), LastUsed: time.Now(),
	}}
	if err := writeMark(filepath.Join(dir, markName), d.mark); err != nil {
		return nil, fmt.Errorf("completing the virtual environment: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest[key] = d
	s.all[dir] = d
	return d, nil
}

func writeMark(path string, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".mark-")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func (s *store) usage() build.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usageLocked()
}

func (s *store) usageLocked() build.Usage {
	var u build.Usage
	for _, d := range s.all {
		u.Bytes += d.mark.Bytes
		if d.pins > 0 {
			u.InUse += d.mark.Bytes
		}
		u.Images = append(u.Images, build.ImageUsage{
			ID: d.mark.Image, Bytes: d.mark.Bytes, Created: d.mark.Created, LastUsed: d.mark.LastUsed,
			InUse: d.pins > 0, Steps: d.mark.Steps,
		})
	}
	sort.Slice(u.Images, func(i, j int) bool { return u.Images[i].LastUsed.Before(u.Images[j].LastUsed) })
	return u
}

// prune deletes environments that nobody pins until at most keep bytes are left.
func (s *store) prune(ctx context.Context, keep int64) (build.Usage, error) {
	var freed int64
	for ctx.Err() == nil {
		d := s.forget(keep)
		if d == nil {
			break
		}
		if err := removeTree(d.dir); err != nil {
			return s.usage(), fmt.Errorf("deleting a virtual environment: %w", err)
		}
		freed += d.mark.Bytes
	}
	u := s.usage()
	u.Freed = freed
	return u, ctx.Err()
}

// forget takes the least recently used environment out of the store, if the
// rest is more than keep bytes; nil if nothing may go.
func (s *store) forget(keep int64) *environmentDir {
	s.mu.Lock()
	defer s.mu.Unlock()
	var total int64
	var oldest *environmentDir
	for _, d := range s.all {
		total += d.mark.Bytes
		if d.pins == 0 && (oldest == nil || d.mark.LastUsed.Before(oldest.mark.LastUsed)) {
			oldest = d
		}
	}
	if total <= keep || oldest == nil {
		return nil
	}
	delete(s.all, oldest.dir)
	if s.newest[oldest.mark.Key] == oldest {
		delete(s.newest, oldest.mark.Key)
	}
	return oldest
}

// removeTree deletes an environment, its mark first, so that a kill in the
// middle leaves nothing that looks complete.
func removeTree(dir string) error {
	if err := os.Remove(filepath.Join(dir, markName)); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	return os.RemoveAll(dir)
}

// treeSize is what the files below a folder occupy, in bytes.
func treeSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
