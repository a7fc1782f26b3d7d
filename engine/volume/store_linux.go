package volume

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/engine/volume/layer"
)

const schema = `
CREATE TABLE volumes (
	id          TEXT PRIMARY KEY,
	environment INTEGER REFERENCES environments (id) ON DELETE CASCADE,
	name        TEXT,              -- NULL = ephemeral
	app         TEXT,              -- of an ephemeral one: with which it ends; NULL = none
	created     INTEGER NOT NULL,  -- milliseconds since 1970
	UNIQUE (environment, name)
) STRICT;
CREATE TABLE volume_versions (
	volume  TEXT NOT NULL REFERENCES volumes (id) ON DELETE CASCADE,
	version INTEGER NOT NULL,
	at      INTEGER NOT NULL,      -- milliseconds since 1970
	by      TEXT NOT NULL,         -- a container's id, or ""
	note    TEXT NOT NULL,
	files   INTEGER NOT NULL,
	bytes   INTEGER NOT NULL,
	added   INTEGER NOT NULL,      -- bytes of its own files
	layers  TEXT NOT NULL,         -- a JSON list, topmost first
	PRIMARY KEY (volume, version)
) STRICT;
CREATE TABLE volume_layers (
	id      TEXT PRIMARY KEY,
	entries INTEGER NOT NULL,
	bytes   INTEGER NOT NULL
) STRICT;
`

// Config is what a Store is made of.
type Config struct {
	Dir          string // for layers; on a file system on which an overlay can have its writable layer
	DB           *store.DB
	Environments *environment.Store
	Clock        clock.Clock
	Log          *slog.Logger
	Keep         Keep
}

// Store keeps the volumes. It is safe for concurrent use.
type Store struct {
	cfg   Config
	stage *stage

	ctx    context.Context
	cancel context.CancelFunc
	kicks  chan struct{} // room for one: look for what can be removed
	tidy   sync.WaitGroup

	mu     sync.Mutex
	locks  map[string]*sync.Mutex // by volume: its newest version is being replaced
	pins   map[string]int         // layers in use, or being made
	mounts map[string][]*Mount    // by container
}

// Open opens the store, and removes what an earlier host left unfinished.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.Keep = cfg.Keep.orDefault()
	s := &Store{
		cfg: cfg, kicks: make(chan struct{}, 1),
		locks: map[string]*sync.Mutex{}, pins: map[string]int{}, mounts: map[string][]*Mount{},
	}
	if err := cfg.DB.Migrate(ctx, "volumes", schema); err != nil {
		return nil, err
	}
	// Containers and their apps have ended with the earlier host.
	if err := os.RemoveAll(s.mountsDir()); err != nil {
		return nil, fmt.Errorf("removing what containers left in volumes: %w", err)
	}
	for _, dir := range []string{s.layersDir(), s.mountsDir(), s.emptyDir(0), s.emptyDir(1)} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the empty one is seen by containers
			return nil, fmt.Errorf("making the folder of volumes: %w", err)
		}
	}
	if err := os.Chmod(cfg.Dir, 0o700); err != nil { //nolint:gosec // a directory
		return nil, fmt.Errorf("making the folder of volumes: %w", err)
	}
	var err error
	if s.stage, err = openStage(filepath.Join(cfg.Dir, "uploads"), cfg.Clock); err != nil {
		return nil, err
	}
	err = cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM volumes WHERE name IS NULL`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("removing ephemeral volumes of an earlier host: %w", err)
	}
	if err := s.Collect(ctx); err != nil {
		return nil, err
	}
	cfg.Environments.OnDelete(func(int64) { s.kick() })
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.tidy.Go(s.housekeep)
	return s, nil
}

// Close ends the housekeeping. No container may have a volume any more.
func (s *Store) Close() error {
	s.cancel()
	s.tidy.Wait()
	return nil
}

func (s *Store) layersDir() string         { return filepath.Join(s.cfg.Dir, "layers") }
func (s *Store) mountsDir() string         { return filepath.Join(s.cfg.Dir, "mounts") }
func (s *Store) emptyDir(i int) string     { return filepath.Join(s.cfg.Dir, "empty", strconv.Itoa(i)) }
func (s *Store) layerDir(id string) string { return filepath.Join(s.layersDir(), id) }
func (s *Store) now() int64                { return s.cfg.Clock.Now().UnixMilli() }
func seconds(milliseconds int64) float64   { return float64(milliseconds) / 1e3 }
func (s *Store) dirs(layers []string) []string {
	dirs := make([]string, len(layers))
	for i, id := range layers {
		dirs[i] = s.layerDir(id)
	}
	return dirs
}

func newID(prefix string) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + "-" + hex.EncodeToString(random[:])
}

// lock holds a volume's newest version as it is.
func (s *Store) lock(volume string) (unlock func()) {
	s.mu.Lock()
	l := s.locks[volume]
	if l == nil {
		l = &sync.Mutex{}
		s.locks[volume] = l
	}
	s.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// pin keeps layers, until release is called.
func (s *Store) pin(layers []string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range layers {
		s.pins[id]++
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range layers {
			if s.pins[id]--; s.pins[id] == 0 {
				delete(s.pins, id)
			}
		}
	})
}

// draft begins a layer, which is kept until release is called, and longer if a
// version has it by then.
func (s *Store) draft() (d *layer.Draft, id string, release func(), err error) {
	id = newID("la")
	release = s.pin([]string{id})
	if d, err = layer.NewDraft(s.layerDir(id)); err != nil {
		release()
		return nil, "", nil, err
	}
	return d, id, release, nil
}

// tree opens the layers of a version, pinned until it is closed.
func (s *Store) tree(layers []string) (*layer.Tree, func(), error) {
	release := s.pin(layers)
	t, err := layer.Open(s.dirs(layers))
	if err != nil {
		release()
		return nil, nil, err
	}
	return t, func() { t.Close(); release() }, nil
}

// kick has the housekeeping look soon.
func (s *Store) kick() {
	select {
	case s.kicks <- struct{}{}:
	default:
	}
}

// housekeepEvery is how often old versions are looked for.
const housekeepEvery = time.Hour

func (s *Store) housekeep() {
	for {
		due := make(chan struct{})
		timer := s.cfg.Clock.AfterFunc(housekeepEvery, func() { close(due) })
		select {
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-due:
		case <-s.kicks:
			timer.Stop()
		}
		if err := errors.Join(s.compact(s.ctx), s.Collect(s.ctx)); err != nil && s.ctx.Err() == nil {
			s.cfg.Log.Error("old versions of volumes cannot be removed", "error", err)
		}
	}
}
