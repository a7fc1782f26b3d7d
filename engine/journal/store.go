package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

// Options bound what a store keeps.
type Options struct {
	Clock  clock.Clock
	MaxAge time.Duration // since a journal was last written
	Budget int64         // bytes of all journals together
	Log    *slog.Logger  // nil = none
}

// Store is the journals of a host. It is safe for concurrent use.
type Store struct {
	dir string
	o   Options

	closing sync.WaitGroup // journals that are being closed

	mu     sync.Mutex
	open   map[string]*use
	closed bool
}

type use struct {
	journal *Journal
	users   int
}

// Open opens a store in dir, which is made when it is needed.
func Open(dir string, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{dir: dir, o: o, open: map[string]*use{}}
}

// Journal returns the journal of a piece of code, named by letters and digits,
// and what ends its use, once. Several users of one code share it.
func (s *Store) Journal(code string) (j *Journal, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.open[code]
	if u == nil {
		u = &use{journal: open(filepath.Join(s.dir, code))}
		s.open[code] = u
	}
	u.users++
	return u.journal, sync.OnceFunc(func() { s.release(code, u) })
}

// release ends a use. What is pending is written without the caller's waiting.
func (s *Store) release(code string, u *use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.users--; u.users > 0 {
		return
	}
	delete(s.open, code)
	write := func() {
		if err := u.journal.close(); err != nil {
			s.o.Log.Error("results cannot be kept for a later run", "error", err)
		}
	}
	if s.closed {
		write()
		return
	}
	s.closing.Go(write)
}

// Close waits until all that was kept is written. Journals that are still in
// use are written when they are released.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closing.Wait()
}

// kept is a journal on disk.
type kept struct {
	code string
	size int64
	used time.Time
}

func (s *Store) list() ([]kept, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the journals: %w", err)
	}
	var list []kept
	for _, e := range entries {
		k := kept{code: e.Name()}
		for _, name := range segments(filepath.Join(s.dir, e.Name())) {
			if info, err := os.Stat(name); err == nil {
				k.size += info.Size()
				if info.ModTime().After(k.used) {
					k.used = info.ModTime()
				}
			}
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.code, b.code)) })
	return list, nil
}

// Usage is how many bytes the journals occupy.
func (s *Store) Usage() (int64, error) {
	list, err := s.list()
	var sum int64
	for _, k := range list {
		sum += k.size
	}
	return sum, err
}

// Collect deletes journals that are too old, and the oldest of those that are
// too much together; at most budget bytes stay if that is less than the
// store's own. Those in use stay.
func (s *Store) Collect(budget int64) error {
	list, err := s.list()
	if err != nil {
		return err
	}
	if budget <= 0 || budget > s.o.Budget {
		budget = s.o.Budget
	}
	now := s.o.Clock.Now()
	var errs []error
	var sum int64
	for _, k := range list {
		sum += k.size
		s.mu.Lock()
		busy := s.open[k.code] != nil
		if !busy && (sum > budget || now.Sub(k.used) > s.o.MaxAge) {
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, k.code)))
			sum -= k.size
		}
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}
