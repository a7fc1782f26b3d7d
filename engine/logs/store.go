// Package logs keeps what containers print: one log per app, in append-only
// segments, read back later and followed live. Readers read the same files
// that writers append to, so that a slow one holds nobody up and needs no
// memory.
package logs

import (
	"cmp"
	"encoding/json"
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

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
)

// ErrNotFound is in the chain of errors about an app without a log.
var ErrNotFound = errors.New("no app of that name or id has a log")

// Options are a store's limits. Zero values become the defaults.
type Options struct {
	SegmentBytes int64         // size at which a segment is closed; default 8 MiB
	AppBytes     int64         // most bytes kept of one app; default 256 MiB
	MaxBytes     int64         // most bytes kept of all apps; default 1 GiB
	MaxAge       time.Duration // age at which an ended app's log is removed; default 30 days
	Clock        clock.Clock   // default clock.Real
}

// Info tells whose log it is.
type Info struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Environment string    `json:"environment,omitempty"` // "" = the main one
	Created     time.Time `json:"created"`
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
	if opt.MaxAge <= 0 {
		opt.MaxAge = 30 * 24 * time.Hour
	}
	if opt.Clock == nil {
		opt.Clock = clock.Real{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log store: %w", err)
	}
	return &Store{dir: dir, opt: opt, live: map[string]*Log{}}, nil
}

const infoFile = "app.json"

// Create begins the log of an app. End it.
func (s *Store) Create(info Info) (*Log, error) {
	if !validID(info.ID) {
		return nil, fmt.Errorf("%q cannot name a log", info.ID)
	}
	dir := filepath.Join(s.dir, info.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", info.ID, err)
	}
	data, err := json.Marshal(info)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, infoFile), data, 0o600)
	}
	if err != nil {
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

// Find returns the log of an app by its id, or the newest by its name, before
// which is that of its environment if that is not the main one: "dev/app".
func (s *Store) Find(idOrName string) (*Log, error) {
	in, name := environment.Split(idOrName)
	s.mu.Lock()
	if l, ok := s.live[idOrName]; ok {
		s.mu.Unlock()
		return l, nil
	}
	s.mu.Unlock()
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, info := range all { // the newest first
		if info.ID != idOrName && (info.Name != name || cmp.Or(info.Environment, environment.Main) != in) {
			continue
		}
		s.mu.Lock()
		l, ok := s.live[info.ID]
		s.mu.Unlock()
		if ok {
			return l, nil
		}
		return s.open(info)
	}
	return nil, fmt.Errorf("%q: %w", idOrName, ErrNotFound)
}

// List returns whose logs there are, the newest first.
func (s *Store) List() ([]Info, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the log store: %w", err)
	}
	var list []Info
	for _, d := range dirs {
		data, err := os.ReadFile(filepath.Join(s.dir, d.Name(), infoFile))
		if err != nil {
			continue // being made or removed
		}
		var info Info
		if json.Unmarshal(data, &info) == nil && info.ID == d.Name() {
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
		number, is := strings.CutSuffix(f.Name(), ".log")
		first, err := strconv.ParseUint(number, 10, 64)
		if !is || err != nil {
			continue
		}
		seg := segment{first: first}
		data, err := os.ReadFile(l.path(seg)) // a segment's size is bounded
		if err != nil {
			return nil, fmt.Errorf("reading the log of %s: %w", info.ID, err)
		}
		for {
			var line api.LogLine
			n, err := parseRecord(data[seg.size:], &line)
			if n == 0 || err != nil {
				break // the end, or what a kill has left of a record
			}
			seg.size += int64(n)
			l.next = line.Seq + 1
		}
		if seg.size > 0 {
			l.segments = append(l.segments, seg)
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

// Collect removes the logs of apps that have ended: those that are too old, and
// the oldest of the others until no more than keep bytes are left (0 = the
// store's own limit). It returns how many bytes it freed.
func (s *Store) Collect(keep int64) (freed int64, err error) {
	if keep <= 0 {
		keep = s.opt.MaxBytes
	}
	all, err := s.List()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, info := range all { // the newest first: what fits stays
		size, live := s.size(info.ID)
		sum += size
		old := s.opt.Clock.Now().Sub(info.Created) > s.opt.MaxAge
		if live || !old && sum <= keep {
			continue
		}
		if rerr := os.RemoveAll(filepath.Join(s.dir, info.ID)); rerr != nil {
			err = errors.Join(err, fmt.Errorf("removing the log of %s: %w", info.ID, rerr))
			continue
		}
		sum -= size
		freed += size
	}
	return freed, err
}

// size is what a log occupies, and whether it is being written to.
func (s *Store) size(id string) (int64, bool) {
	s.mu.Lock()
	l, live := s.live[id]
	s.mu.Unlock()
	if live {
		return l.bytes(), true
	}
	var sum int64
	files, err := os.ReadDir(filepath.Join(s.dir, id))
	if err != nil {
		return 0, false
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum, false
}
