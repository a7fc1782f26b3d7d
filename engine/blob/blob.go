// Package blob keeps contents by their hash: what clients upload, which then
// becomes build contexts and source trees by hard links. It knows nothing of
// what a content is for.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

// MaxSize is the most bytes that one content may have.
const MaxSize = 16 << 30

// Errors that callers tell apart.
var (
	ErrName     = errors.New("not a SHA-256 in 64 lower-case hex digits")
	ErrNotFound = errors.New("the host does not have this content")
	ErrMismatch = errors.New("the content does not have the announced hash")
	ErrTooLarge = errors.New("the content is too large")
)

// fresh is how long a content is kept that nothing links to, counted from when
// somebody last put it or asked for it: a client uploads before it starts.
const fresh = time.Hour

// Store is a directory of contents. It is safe for concurrent use.
type Store struct {
	dir   string
	clock clock.Clock

	mu     sync.Mutex
	known  map[string]known // by hash; what is not here was not used since Open
	opened time.Time
	// bytes is what Usage tells, unknown while it is below 0. Status asks for it
	// at each start of an app; the files are counted when they are collected.
	bytes int64
}

// known is what the store remembers of a content.
type known struct {
	used time.Time
	// here says that the content was seen: only Collect removes any. Who asks
	// for 50,000 of them need not wait for as many looks into the directory.
	here bool
}

// Open makes or opens the store in dir, and removes what an interrupted upload
// left there.
func Open(dir string, c clock.Clock) (*Store, error) {
	s := &Store{dir: dir, clock: c, known: map[string]known{}, opened: c.Now(), bytes: -1}
	if err := os.RemoveAll(s.incoming()); err != nil {
		return nil, fmt.Errorf("removing interrupted uploads: %w", err)
	}
	if err := os.MkdirAll(s.incoming(), 0o700); err != nil {
		return nil, fmt.Errorf("making the blob store: %w", err)
	}
	return s, nil
}

func (s *Store) incoming() string { return filepath.Join(s.dir, "incoming") }

// path is where a content lies. Contents of executable files lie beside the
// others, because the names that are linked to one inode share its mode.
func (s *Store) path(sum string, executable bool) string {
	name := sum
	if executable {
		name += ".x"
	}
	return filepath.Join(s.dir, sum[:2], name)
}

// Valid reports whether sum is how this package spells a hash.
func Valid(sum string) bool {
	if len(sum) != 64 {
		return false
	}
	for _, c := range []byte(sum) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Missing returns those of the hashes whose content is not here. What is here
// stays for an hour at least.
func (s *Store) Missing(ctx context.Context, sums []string) ([]string, error) {
	var missing []string
	for i, sum := range sums {
		if !Valid(sum) {
			return nil, fmt.Errorf("%q: %w", sum, ErrName)
		}
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.touch(sum) { // before the look, so that Collect does not come between
			continue
		}
		if _, err := os.Lstat(s.path(sum, false)); err == nil {
			s.found(sum)
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking for a content: %w", err)
		}
		s.lost(sum)
		missing = append(missing, sum)
	}
	return missing, nil
}

// Put stores a content under its hash, which is verified.
func (s *Store) Put(ctx context.Context, sum string, r io.Reader) (err error) {
	if !Valid(sum) {
		return fmt.Errorf("%q: %w", sum, ErrName)
	}
	s.touch(sum)
	tmp, err := os.CreateTemp(s.incoming(), sum[:8]+"-")
	if err != nil {
		return fmt.Errorf("storing a content: %w", err)
	}
	defer func() {
		err = errors.Join(err, tmp.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, hash), &contextReader{ctx, io.LimitReader(r, MaxSize+1)})
	switch {
	case err != nil:
		return fmt.Errorf("storing a content: %w", err)
	case n > MaxSize:
		return fmt.Errorf("%w: at most %d GiB are allowed", ErrTooLarge, int64(MaxSize)>>30)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("%w: %d bytes came that hash to %s, not %s", ErrMismatch, n, got, sum)
	}
	if err := tmp.Chmod(0o644); err != nil {
		return fmt.Errorf("storing a content: %w", err)
	}
	if err := s.place(tmp.Name(), s.path(sum, false)); err != nil {
		return err
	}
	s.found(sum)
	return nil
}

// place moves a finished file to where it belongs.
func (s *Store) place(from, to string) error {
	var size int64
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		if info, err := os.Lstat(from); err == nil {
			size = info.Size()
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("storing a content: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("storing a content: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes >= 0 {
		s.bytes += size
	}
	return nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Open opens a content for reading.
func (s *Store) Open(sum string) (*os.File, error) {
	if !Valid(sum) {
		return nil, fmt.Errorf("%q: %w", sum, ErrName)
	}
	s.touch(sum)
	f, err := os.Open(s.path(sum, false))
	if errors.Is(err, fs.ErrNotExist) {
		s.lost(sum)
		return nil, fmt.Errorf("%s: %w", sum, ErrNotFound)
	}
	return f, err
}

// Link makes path a hard link to a content, executable or not. Whoever may
// write to the file could change the store: see Copy.
func (s *Store) Link(sum string, executable bool, path string) error {
	source, err := s.source(sum, executable)
	if err != nil {
		return err
	}
	err = os.Link(source, path)
	if errors.Is(err, syscall.EMLINK) { // the file system's limit on names for one file
		return s.Copy(sum, executable, path)
	}
	return err
}

// Copy makes path a file with a content, executable or not.
func (s *Store) Copy(sum string, executable bool, path string) (err error) {
	in, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Chmod(mode) // whatever the umask is
}

// source is the file that a link is made of.
func (s *Store) source(sum string, executable bool) (string, error) {
	if !Valid(sum) {
		return "", fmt.Errorf("%q: %w", sum, ErrName)
	}
	s.touch(sum)
	if _, err := os.Lstat(s.path(sum, false)); errors.Is(err, fs.ErrNotExist) {
		s.lost(sum)
		return "", fmt.Errorf("%s: %w", sum, ErrNotFound)
	} else if err != nil {
		return "", err
	}
	path := s.path(sum, executable)
	if !executable {
		return path, nil
	}
	if _, err := os.Lstat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	tmp, err := os.MkdirTemp(s.incoming(), sum[:8]+"-x-")
	if err != nil {
		return "", fmt.Errorf("storing an executable content: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	file := filepath.Join(tmp, "x")
	if err := s.Copy(sum, true, file); err != nil {
		return "", fmt.Errorf("storing an executable content: %w", err)
	}
	return path, s.place(file, path)
}

// touch notes that a content is used, and tells whether it is known to be here.
func (s *Store) touch(sum string) bool {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	here := s.known[sum].here
	s.known[sum] = known{used: now, here: here}
	return here
}

func (s *Store) found(sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[sum] = known{used: s.known[sum].used, here: true}
}

// lost forgets a content that is not here, or that somebody has removed.
func (s *Store) lost(sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, sum)
}

// Usage is how many bytes the store occupies: as counted at the first call, or
// by Collect, and what came and went since.
func (s *Store) Usage() (int64, error) {
	s.mu.Lock()
	known := s.bytes
	s.mu.Unlock()
	if known >= 0 {
		return known, nil
	}
	files, err := s.files()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		sum += f.size
	}
	s.count(sum)
	return sum, nil
}

func (s *Store) count(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes = bytes
}

type file struct {
	path  string
	sum   string
	size  int64
	links uint64
	used  time.Time
}

// files lists the store's contents.
func (s *Store) files() ([]file, error) {
	var list []file
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // an upload that ended, or was collected, meanwhile
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		f := file{path: path, size: info.Size(), used: s.opened}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			f.links = uint64(st.Nlink) //nolint:unconvert // its type differs between systems
		}
		if name := d.Name(); len(name) >= 64 && Valid(name[:64]) {
			f.sum = name[:64]
		}
		list = append(list, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the blob store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		if k, ok := s.known[list[i].sum]; ok {
			list[i].used = k.used
		}
	}
	return list, nil
}

// Collect removes contents that no tree links to and that nobody has asked for
// within an hour, least recently used first, until at most keep bytes are
// left. It returns how many bytes it freed.
func (s *Store) Collect(keep int64) (freed int64, err error) {
	files, err := s.files()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		sum += f.size
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if sum-freed <= keep {
			break
		}
		if f.sum == "" || f.links > 1 || !s.forget(f) {
			continue
		}
		freed += f.size
	}
	s.count(sum - freed)
	return freed, nil
}

// forget removes one file, unless it was used meanwhile.
func (s *Store) forget(f file) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := f.used
	if k, ok := s.known[f.sum]; ok {
		used = k.used
	}
	if s.clock.Now().Sub(used) < fresh {
		return false
	}
	delete(s.known, f.sum)
	return os.Remove(f.path) == nil
}
