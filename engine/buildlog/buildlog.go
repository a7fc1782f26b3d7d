// Package buildlog keeps what the steps of images printed when they were carried
// out, for those who ask later. As its layer does, what a step printed belongs to
// the step and those before it: images that begin alike share it. It knows nothing
// of how images are built. What it is given has no secrets' values any more.
package buildlog

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
)

const (
	maxStep  = 1 << 20  // bytes of what one step printed; the beginning is left out
	maxBytes = 64 << 20 // of all that is kept; what was written first goes first
)

// Store is a folder of such logs. It is safe for concurrent use.
type Store struct {
	dir   string
	clock clock.Clock
	most  int64
	mu    sync.Mutex // of what is removed
}

// Open opens a folder, or makes it.
func Open(dir string, c clock.Clock) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the logs of images: %w", err)
	}
	return &Store{dir: dir, clock: c, most: maxBytes}, nil
}

// image is the file of an image.
type image struct {
	Names []string `json:"names"` // of its steps
	Keys  []string `json:"keys"`  // by which their files are found
}

var validID = regexp.MustCompile(`^im-[0-9a-f]{1,64}$`)

// Read is what the steps of an image printed, those without output included. An
// error that says that nothing is known of it is of package ask.
func (s *Store) Read(id string) ([]api.ImageStep, error) {
	var known image
	if !validID.MatchString(id) {
		return nil, ask.NotFound("%.80q is no id of an image", id)
	}
	err := s.load(id, &known)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(known.Keys) != len(known.Names) {
		return nil, ask.NotFound("nothing is kept of how image %s was built", id)
	}
	if err != nil {
		return nil, err
	}
	steps := make([]api.ImageStep, len(known.Keys))
	for i, key := range known.Keys {
		err := s.load(key, &steps[i])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		steps[i].Name = known.Names[i]
	}
	return steps, nil
}

// Recording is one build of an image. Its methods are called one after the other.
type Recording struct {
	store *Store
	id    string
	image image
	steps []step
	ran   bool
	err   error
}

type step struct {
	began time.Time
	log   []byte
	left  bool // the beginning was left out
}

// Record begins a recording of a recipe's build, with what else decides what its
// steps make.
func (s *Store) Record(steps []app.Step, python string) *Recording {
	r := &Recording{store: s, steps: make([]step, len(steps))}
	r.image.Names, r.image.Keys = make([]string, len(steps)), make([]string, len(steps))
	sum := sha256.Sum256([]byte(python))
	for i, step := range steps {
		data, err := json.Marshal(step.Identity())
		r.err = errors.Join(r.err, err)
		sum = sha256.Sum256(append(sum[:], data...))
		r.image.Names[i], r.image.Keys[i] = build.StepName(step), "step-"+hex.EncodeToString(sum[:16])
	}
	return r
}

// Event takes an event of the build.
func (r *Recording) Event(e build.Event) {
	r.id = e.Image
	if e.Step < 0 || e.Step >= len(r.steps) {
		return
	}
	s := &r.steps[e.Step]
	switch e.Kind {
	case build.EventStart:
		*s = step{began: r.store.clock.Now()}
	case build.EventLog:
		if s.log = append(s.log, e.Data...); len(s.log) > 2*maxStep {
			s.log, s.left = append(s.log[:0], s.log[len(s.log)-maxStep:]...), true
		}
	case build.EventDone, build.EventFailed:
		if s.began.IsZero() || e.Cached {
			return
		}
		r.ran = true
		r.err = errors.Join(r.err, r.store.save(r.image.Keys[e.Step], api.ImageStep{
			Time: s.began, Took: e.Took.Seconds(), Log: s.text(), Error: e.Error,
		}))
	}
}

// text is what the step printed, or the end of it, in whole lines if it has several.
func (s *step) text() string {
	text := string(s.log)
	if over := len(text) - maxStep; over > 0 {
		text, s.left = text[over:], true
	}
	if s.left {
		if _, rest, cut := strings.Cut(text, "\n"); cut { // else it is one line, such as a progress bar's
			text = rest
		}
		text = "[...]\n" + strings.ToValidUTF8(text, "")
	}
	return text
}

// End ends the recording, once the build is over. The error is the first thing
// that could not be kept.
func (r *Recording) End() error {
	if r.err != nil || r.id == "" {
		return r.err
	}
	if _, err := os.Stat(r.store.path(r.id)); err == nil && !r.ran {
		return nil
	}
	if err := r.store.save(r.id, r.image); err != nil {
		return err
	}
	return r.store.trim()
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name+".json") }

func (s *Store) load(name string, into any) error {
	data, err := os.ReadFile(s.path(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading the log of an image: %w", err)
	}
	return nil
}

// save writes a file at once, whoever else writes it.
func (s *Store) save(name string, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "new-*")
	if err != nil {
		return fmt.Errorf("keeping the log of an image: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping the log of an image: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// trim removes what was written first until what is left may be kept.
func (s *Store) trim() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var total int64
	var files []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else it has just gone
			files = append(files, info)
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, f := range files {
		if total <= s.most {
			break
		}
		if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.Size()
	}
	return nil
}
