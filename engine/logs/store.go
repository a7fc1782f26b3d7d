// Package logs keeps what containers print: one log per app, in append-only
// segments with an index, read back later and followed live. Readers read the
// same files that writers append to, so that a slow one holds nobody up and
// needs no memory. It knows lines and their order, not what makes them.
package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
)

// ErrNotFound is in the chain of errors about an app without a log.
var ErrNotFound = errors.New("no app of that name or id has a log")

// Options are a store's limits. Zero values become the defaults.
type Options struct {
	SegmentBytes int64         // size at which a segment is closed; default 8 MiB
	AppBytes     int64         // most bytes kept of one app; default 256 MiB
	MaxBytes     int64         // most bytes kept of all apps that have ended; default 1 GiB
	MaxAge       time.Duration // age at which lines are removed; default 30 days; negative = never
	Clock        clock.Clock   // default clock.Real
}

// Store is a directory of logs. It is safe for concurrent use.
type Store struct {
	dir string
	opt Options

	mu   sync.Mutex
	live map[string]*Log // by id, those that are written to
}

// Open makes or opens a store.
func Open(dir string, opt Options) (*Store, error) {
	if opt.SegmentBytes <= 0 {
		opt.SegmentBytes = 8 << 20
	}
	if opt.AppBytes <= 0 {
		opt.AppBytes = 256 << 20
	}
	opt.AppBytes = max(opt.AppBytes, 2*opt.SegmentBytes)
	if opt.MaxBytes <= 0 {
		opt.MaxBytes = 1 << 30
	}
	if opt.MaxAge == 0 {
		opt.MaxAge = 30 * 24 * time.Hour
	}
	if opt.Clock == nil {
		opt.Clock = clock.Real{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log store: %w", err)
	}
	s := &Store{dir: dir, opt: opt, live: map[string]*Log{}}
	return s, s.mend()
}

// Resume goes on with the log of an app that an earlier host wrote, or begins
// it: its lines are numbered on from the last one that is there whole. End it.
func (s *Store) Resume(info Info) (*Log, error) {
	if !validID(info.ID) {
		return nil, fmt.Errorf("%q cannot name a log", info.ID)
	}
	s.mu.Lock()
	_, live := s.live[info.ID]
	s.mu.Unlock()
	if live {
		return nil, fmt.Errorf("the log of %s is being written to already", info.ID)
	}
	dir := filepath.Join(s.dir, info.ID)
	before, err := readInfo(dir)
	if errors.Is(err, fs.ErrNotExist) {
		// What is left of one that could not be begun has no lines.
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("making the log of %s: %w", info.ID, err)
		}
		return s.Create(info)
	}
	if err == nil { // its environment may have another name by now
		info.Created = before.Created
		if info != before {
			err = writeInfo(dir, info)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("going on with the log of %s: %w", info.ID, err)
	}
	l, err := s.open(info)
	if err != nil {
		return nil, err
	}
	if n := len(l.segments); n > 0 {
		last := l.segments[n-1]
		path := segmentPath(l.dir, last.first)
		if l.file, err = os.OpenFile(path, os.O_RDWR, 0o600); err == nil {
			err = l.file.Truncate(last.size) // off goes what was cut off in the middle
		}
		if err != nil {
			if l.file != nil {
				err = errors.Join(err, l.file.Close())
			}
			return nil, fmt.Errorf("going on with the log of %s: %w", info.ID, err)
		}
		l.latest, l.began = time.Unix(0, last.latest), time.Unix(0, last.blocks[0].time)
	}
	l.ended, l.grown = false, make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[info.ID] = l
	return l, nil
}

// Create begins the log of an app. End it.
func (s *Store) Create(info Info) (*Log, error) {
	if !validID(info.ID) {
		return nil, fmt.Errorf("%q cannot name a log", info.ID)
	}
	dir := filepath.Join(s.dir, info.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", info.ID, err)
	}
	if err := writeInfo(dir, info); err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", info.ID, errors.Join(err, os.RemoveAll(dir)))
	}
	l := &Log{store: s, info: info, dir: dir, next: 1, grown: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[info.ID] = l
	return l, nil
}

func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

func (s *Store) ended(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, l.info.ID)
}

// Find returns the log of an app by its id, or by its name, before which is
// that of its environment if that is not the main one: "dev/app". Of several by
// that name it is the newest that is written to, or else the newest.
func (s *Store) Find(idOrName string) (*Log, error) {
	if l := s.written(idOrName); l != nil {
		return l, nil
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	in, name := environment.Split(idOrName)
	var newest *Info
	for i, info := range all { // the newest first
		if info.ID != name && (info.Name != name || cmp.Or(info.Environment, environment.Main) != in) {
			continue
		}
		if l := s.written(info.ID); l != nil {
			return l, nil
		}
		if newest == nil {
			newest = &all[i]
		}
		if info.ID == name {
			break
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%q: %w", idOrName, ErrNotFound)
	}
	return s.open(*newest)
}

// Holding returns the newest log that has a line which f wants.
func (s *Store) Holding(ctx context.Context, f Filter) (*Log, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, info := range all {
		l := s.written(info.ID)
		if l == nil {
			if l, err = s.open(info); err != nil {
				return nil, err
			}
		}
		r := l.NewReader(Query{Filter: f})
		r.quiet = true
		lines, err := r.Next(ctx)
		r.Close()
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case len(lines) > 0:
			return l, nil
		}
	}
	return nil, ErrNotFound
}

// written returns the log of an id if lines may still come.
func (s *Store) written(id string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id]
}

// Live reports whether lines may still come to the log of an id.
func (s *Store) Live(id string) bool { return s.written(id) != nil }

// List returns whose logs there are, the newest first.
func (s *Store) List() ([]Info, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the log store: %w", err)
	}
	var list []Info
	for _, d := range dirs {
		if info, err := readInfo(filepath.Join(s.dir, d.Name())); err == nil { // else it is being made or removed
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// open opens a log that nobody writes to any more.
func (s *Store) open(info Info) (*Log, error) {
	l := &Log{store: s, info: info, dir: filepath.Join(s.dir, info.ID), next: 1, ended: true}
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the log of %s: %w", info.ID, err)
	}
	for _, f := range files { // in the order of their names, which is that of the lines
		number, is := strings.CutSuffix(f.Name(), segmentSuffix)
		first, err := strconv.ParseUint(number, 10, 64)
		if !is || err != nil || first < l.next {
			continue
		}
		seg, err := openSegment(l.dir, first)
		if err != nil {
			return nil, l.unreadable(err)
		}
		if seg != nil {
			l.segments = append(l.segments, seg)
			l.next = seg.next
		}
	}
	return l, nil
}

// Usage is how many bytes the store occupies.
func (s *Store) Usage() (int64, error) {
	var sum int64
	err := filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reading the log store: %w", err)
	}
	return sum, nil
}
