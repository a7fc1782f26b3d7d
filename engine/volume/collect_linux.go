package volume

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/volume/layer"
)

// kept is how many of a volume's versions, the newest first, are kept.
func (k Keep) kept(list []Version, now time.Time) int {
	if len(list) == 0 {
		return 0
	}
	var above int64 // bytes of files of the versions that are newer than the one looked at
	for i, v := range list {
		if i > 0 {
			replaced := time.UnixMilli(int64(list[i-1].At * 1e3))
			// All files of this version and of all newer ones, at the most.
			if i >= k.Versions || k.Age > 0 && now.Sub(replaced) > k.Age || v.Bytes+above-list[0].Bytes > k.Bytes {
				return i
			}
		}
		above += v.added
	}
	return len(list)
}

// Collect forgets versions that are too old, and removes layers that no version
// and no container has.
func (s *Store) Collect(ctx context.Context) error {
	ids, err := s.all(ctx)
	if err != nil {
		return err
	}
	now := s.cfg.Clock.Now()
	for _, id := range ids {
		list, err := s.History(ctx, id)
		if err != nil {
			return err
		}
		n := s.cfg.Keep.kept(list, now)
		if n == len(list) {
			continue
		}
		err = s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM volume_versions WHERE volume = ? AND version <= ?`, id, list[n].Version)
			return err
		})
		if err != nil {
			return fmt.Errorf("forgetting old versions of a volume: %w", err)
		}
	}
	return errors.Join(s.sweep(ctx), s.stage.collect())
}

// all lists the ids of all volumes.
func (s *Store) all(ctx context.Context) ([]string, error) {
	return s.strings(ctx, `SELECT id FROM volumes`)
}

func (s *Store) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.cfg.DB.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("listing volumes: %w", err)
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// sweep removes the layers that nothing has.
func (s *Store) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(s.layersDir())
	if err != nil {
		return fmt.Errorf("listing layers of volumes: %w", err)
	}
	// A layer is pinned before it is made, and until a version has it: what is
	// neither pinned now nor in a version after that never will be.
	s.mu.Lock()
	var candidates []string
	for _, e := range entries {
		if s.pins[e.Name()] == 0 {
			candidates = append(candidates, e.Name())
		}
	}
	s.mu.Unlock()
	if len(candidates) == 0 {
		return nil
	}
	texts, err := s.strings(ctx, `SELECT layers FROM volume_versions`)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, text := range texts {
		var layers []string
		if err := json.Unmarshal([]byte(text), &layers); err != nil {
			return fmt.Errorf("reading a volume's layers: %w", err)
		}
		for _, id := range layers {
			used[id] = true
		}
	}
	// That nothing has them is on the disk before they are gone from it.
	if err := s.cfg.DB.Sync(); err != nil {
		return err
	}
	for _, id := range candidates {
		s.mu.Lock()
		pinned := s.pins[id] > 0
		s.mu.Unlock()
		if used[id] || pinned {
			continue
		}
		if err := os.RemoveAll(s.layerDir(id)); err != nil {
			return fmt.Errorf("removing a layer of a volume: %w", err)
		}
		err := s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM volume_layers WHERE id = ?`, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("removing a layer of a volume: %w", err)
		}
	}
	return nil
}

const (
	// maxDepth is from how many layers on a volume's newest version is squashed.
	maxDepth = 32
	// mostDepth is from how many on who changes a volume waits for that: an
	// overlay can have 500.
	mostDepth = 4 * maxDepth
	// leastRun is how many layers are squashed at least.
	leastRun = 8
	// wasteFloor is how many bytes may lie hidden in a version's layers.
	wasteFloor = 64 << 20
)

// size is what a layer has.
type size struct{ entries, bytes int64 }

// run is how many of a version's layers, from the top, are to be squashed into
// one: few that are small, so that a large layer at the bottom is not linked
// anew with every few commits; all, if much in them is hidden.
func run(layers []size, visible int64) int {
	var bytes int64
	for _, l := range layers {
		bytes += l.bytes
	}
	if len(layers) > 1 && bytes-visible > visible/4+wasteFloor {
		return len(layers)
	}
	if len(layers) <= maxDepth {
		return 0
	}
	var sum int64
	for i, l := range layers {
		if i >= leastRun && l.entries > 2*sum {
			return i
		}
		sum += l.entries
	}
	return len(layers)
}

// compact squashes the newest versions of volumes that have too many layers.
func (s *Store) compact(ctx context.Context) error {
	ids, err := s.all(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.compactOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// bound squashes a volume's newest version now, if it has far too many layers:
// it is changed faster than the housekeeping comes round.
func (s *Store) bound(ctx context.Context, id string) error {
	newest, err := head(ctx, s.cfg.DB.Read(), id)
	if err != nil || len(newest.layers) < mostDepth {
		return err
	}
	return s.compactOne(ctx, id)
}

func (s *Store) compactOne(ctx context.Context, id string) error {
	newest, unpin, err := s.hold(ctx, id, nil)
	if err != nil {
		return nil //nolint:nilerr // deleted meanwhile
	}
	defer unpin()
	if len(newest.layers) < 2 {
		return nil
	}
	sizes := make([]size, len(newest.layers))
	for i, l := range newest.layers {
		row := s.cfg.DB.Read().QueryRowContext(ctx, `SELECT entries, bytes FROM volume_layers WHERE id = ?`, l)
		if err := row.Scan(&sizes[i].entries, &sizes[i].bytes); err != nil {
			return fmt.Errorf("reading a layer's size: %w", err)
		}
	}
	n := run(sizes, newest.Bytes)
	if n < 2 {
		return nil
	}
	squashed, release, err := s.squash(newest.layers, n)
	if err != nil {
		return fmt.Errorf("squashing the layers of a volume: %w", err)
	}
	defer release()
	return s.exchange(ctx, id, newest.layers[:n], squashed)
}

// squashed is a layer that shows the same as several.
type squashed struct {
	id string
	size
}

// squash makes one layer of the first n.
func (s *Store) squash(layers []string, n int) (_ squashed, release func(), err error) {
	all, closeAll, err := s.tree(layers)
	if err != nil {
		return squashed{}, nil, err
	}
	defer closeAll()
	below, closeBelow, err := s.tree(layers[n:])
	if err != nil {
		return squashed{}, nil, err
	}
	defer closeBelow()
	d, id, release, err := s.draft()
	if err != nil {
		return squashed{}, nil, err
	}
	if err := layer.Squash(d, all, below); err != nil {
		release()
		return squashed{}, nil, errors.Join(err, d.Discard())
	}
	entries, bytes := d.Size()
	return squashed{id, size{entries, bytes}}, release, nil
}

// exchange puts one layer in the place of several in the newest version, which
// may have got more layers on top meanwhile.
func (s *Store) exchange(ctx context.Context, volume string, old []string, by squashed) error {
	defer s.lock(volume)()
	return s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		newest, err := head(ctx, tx, volume)
		if err != nil {
			return nil //nolint:nilerr // deleted meanwhile
		}
		at := slices.Index(newest.layers, old[0])
		if at < 0 || at+len(old) > len(newest.layers) || !slices.Equal(newest.layers[at:at+len(old)], old) {
			return nil // another version was restored
		}
		layers, err := json.Marshal(slices.Concat(newest.layers[:at], []string{by.id}, newest.layers[at+len(old):]))
		if err != nil {
			return err
		}
		if err := s.addLayer(ctx, tx, by.id, by.entries, by.bytes); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE volume_versions SET layers = ? WHERE volume = ? AND version = ?`, string(layers), volume, newest.Version)
		return err
	})
}

// removeMount removes a container's writable layer.
func (s *Store) removeMount(dir string) error {
	if err := os.RemoveAll(filepath.Join(s.mountsDir(), dir)); err != nil {
		return fmt.Errorf("removing what a container has left of a volume: %w", err)
	}
	return nil
}
