package volume

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/volume/layer"
)

// Version is one state of a volume.
type Version struct {
	Version int     `json:"version"`
	At      float64 `json:"at"` // seconds since 1970
	By      string  `json:"by"` // a container's id; "" = a client
	Files   int64   `json:"files"`
	Bytes   int64   `json:"bytes"`
	Note    string  `json:"note"`

	layers []string // topmost first
	added  int64    // bytes of its own files
}

// Info is a volume with its newest version.
type Info struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	CreatedAt float64 `json:"created_at"` // seconds since 1970
	Version   int     `json:"version"`
	Files     int64   `json:"files"`
	Bytes     int64   `json:"bytes"`
}

// Limits of what a host keeps.
const maxVolumes = 10_000

// querier is a transaction, or the database itself.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const versionColumns = `version, at, by, note, files, bytes, added, layers`

func scanVersion(row interface{ Scan(...any) error }) (v Version, err error) {
	var at int64
	var layers string
	if err := row.Scan(&v.Version, &at, &v.By, &v.Note, &v.Files, &v.Bytes, &v.added, &layers); err != nil {
		return v, err
	}
	v.At = seconds(at)
	return v, json.Unmarshal([]byte(layers), &v.layers)
}

// head is a volume's newest version.
func head(ctx context.Context, q querier, volume string) (Version, error) {
	v, err := scanVersion(q.QueryRowContext(ctx,
		`SELECT `+versionColumns+` FROM volume_versions WHERE volume = ? ORDER BY version DESC LIMIT 1`, volume))
	if errors.Is(err, sql.ErrNoRows) {
		return v, ask.NotFound("there is no volume %.80s: it was deleted", volume)
	}
	return v, wrap("reading a volume's newest version", err)
}

// version is a given version of a volume; nil is the newest.
func version(ctx context.Context, q querier, volume string, number *int) (Version, error) {
	if number == nil {
		return head(ctx, q, volume)
	}
	v, err := scanVersion(q.QueryRowContext(ctx,
		`SELECT `+versionColumns+` FROM volume_versions WHERE volume = ? AND version = ?`, volume, *number))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := head(ctx, q, volume); err != nil {
			return v, err
		}
		return v, ask.NotFound("the volume has no version %d, or it is no longer kept; `gx volume history` lists those there are", *number)
	}
	return v, wrap("reading a volume's version", err)
}

// hold finds a version and pins its layers.
func (s *Store) hold(ctx context.Context, volume string, number *int) (Version, func(), error) {
	for {
		v, err := version(ctx, s.cfg.DB.Read(), volume, number)
		if err != nil {
			return v, nil, err
		}
		release := s.pin(v.layers)
		// Layers that were squashed or forgotten in between may be gone.
		again, err := version(ctx, s.cfg.DB.Read(), volume, number)
		if err == nil && slices.Equal(again.layers, v.layers) {
			return v, release, nil
		}
		release()
		if err != nil {
			return v, nil, err
		}
	}
}

// open opens a version for reading.
func (s *Store) open(ctx context.Context, volume string, number *int) (Version, *layer.Tree, func(), error) {
	v, release, err := s.hold(ctx, volume, number)
	if err != nil {
		return v, nil, nil, err
	}
	t, err := layer.Open(s.dirs(v.layers))
	if err != nil {
		release()
		return v, nil, nil, err
	}
	return v, t, func() { t.Close(); release() }, nil
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// find is the id of a named volume.
func (s *Store) find(ctx context.Context, q querier, env int64, environmentName, name string) (string, error) {
	var id string
	err := q.QueryRowContext(ctx, `SELECT id FROM volumes WHERE environment = ? AND name = ?`, env, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		where, flag := in(environmentName), ""
		if where != "" {
			flag = " --env " + environmentName
		}
		return "", ask.NotFound("there is no volume %q%s; `gx volume create %s%s` makes it, or create_if_missing=True", name, where, name, flag)
	}
	return id, wrap("looking up a volume", err)
}

func in(environmentName string) string {
	if environmentName == "" || environmentName == "main" {
		return ""
	}
	return fmt.Sprintf(" in environment %q", environmentName)
}

// Create makes a volume with an empty version 0. If there is one of that name
// and existing is set, it is that.
func (s *Store) Create(ctx context.Context, environmentName, name string, existing bool) (id string, err error) {
	if err := app.CheckName("volume", name); err != nil {
		return "", ask.Refused("%v", err)
	}
	env, err := s.cfg.Environments.ID(ctx, environmentName)
	if err != nil {
		return "", err
	}
	if existing { // most are there
		if id, err := s.find(ctx, s.cfg.DB.Read(), env, environmentName, name); ask.Kind(err) != ask.KindNotFound || err == nil {
			return id, err
		}
	}
	err = s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		id, err = s.find(ctx, tx, env, environmentName, name)
		switch {
		case err == nil && existing:
			return nil
		case err == nil:
			return ask.Exists("there is a volume %q already%s", name, in(environmentName))
		case ask.Kind(err) != ask.KindNotFound:
			return err
		}
		id = newID("vo")
		return s.insert(ctx, tx, id, env, name, nil)
	})
	return id, err
}

// Ephemeral makes a volume without a name, which is deleted with an app, or
// with the host.
func (s *Store) Ephemeral(ctx context.Context, appID string) (string, error) {
	id := newID("vo")
	var owner any
	if appID != "" {
		owner = appID
	}
	return id, s.cfg.DB.Update(ctx, func(tx *sql.Tx) error { return s.insert(ctx, tx, id, nil, nil, owner) })
}

func (s *Store) insert(ctx context.Context, tx *sql.Tx, id string, env, name, owner any) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM volumes`).Scan(&n); err != nil {
		return err
	}
	if n >= maxVolumes {
		return ask.Full("this host has %d volumes, which is the limit", n)
	}
	now := s.now()
	if _, err := tx.ExecContext(ctx, `INSERT INTO volumes (id, environment, name, app, created) VALUES (?, ?, ?, ?, ?)`, id, env, name, owner, now); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO volume_versions (volume, `+versionColumns+`) VALUES (?, 0, ?, '', 'created', 0, 0, 0, '[]')`, id, now)
	return err
}

// Get is the id and the newest version of a named volume.
func (s *Store) Get(ctx context.Context, environmentName, name string) (string, Version, error) {
	env, err := s.cfg.Environments.ID(ctx, environmentName)
	if err != nil {
		return "", Version{}, err
	}
	if err := app.CheckName("volume", name); err != nil {
		return "", Version{}, ask.Refused("%v", err)
	}
	id, err := s.find(ctx, s.cfg.DB.Read(), env, environmentName, name)
	if err != nil {
		return "", Version{}, err
	}
	v, err := head(ctx, s.cfg.DB.Read(), id)
	return id, v, err
}

// Resolve finds the volumes that a function's containers have, and makes those
// that are to be made: the result has ids. The environment is that of those that
// name none.
func (s *Store) Resolve(ctx context.Context, environmentName string, mounts []app.VolumeMount) ([]app.VolumeMount, error) {
	found := slices.Clone(mounts)
	for i, m := range mounts {
		if m.ID {
			if _, err := head(ctx, s.cfg.DB.Read(), m.Volume); err != nil {
				return nil, err
			}
			continue
		}
		var id string
		var err error
		if m.Create {
			id, err = s.Create(ctx, cmp.Or(m.Environment, environmentName), m.Volume, true)
		} else {
			id, _, err = s.Get(ctx, cmp.Or(m.Environment, environmentName), m.Volume)
		}
		if err != nil {
			return nil, err
		}
		found[i].Volume, found[i].ID = id, true
	}
	return found, nil
}

// List lists the volumes of an environment by name.
func (s *Store) List(ctx context.Context, environmentName string) ([]Info, error) {
	env, err := s.cfg.Environments.ID(ctx, environmentName)
	if err != nil {
		return nil, err
	}
	rows, err := s.cfg.DB.Read().QueryContext(ctx, `
		SELECT id, name, created, version, files, bytes FROM volumes JOIN volume_versions ON volume = id
		WHERE environment = ? AND version = (SELECT max(version) FROM volume_versions WHERE volume = id)
		ORDER BY name`, env)
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	defer rows.Close()
	list := []Info{}
	for rows.Next() {
		var i Info
		var created int64
		if err := rows.Scan(&i.ID, &i.Name, &created, &i.Version, &i.Files, &i.Bytes); err != nil {
			return nil, fmt.Errorf("listing volumes: %w", err)
		}
		i.CreatedAt = seconds(created)
		list = append(list, i)
	}
	return list, rows.Err()
}

// History lists a volume's versions, the newest first.
func (s *Store) History(ctx context.Context, id string) ([]Version, error) {
	return versions(ctx, s.cfg.DB.Read(), id)
}

func versions(ctx context.Context, q querier, id string) ([]Version, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+versionColumns+` FROM volume_versions WHERE volume = ? ORDER BY version DESC`, id)
	if err != nil {
		return nil, fmt.Errorf("listing a volume's versions: %w", err)
	}
	defer rows.Close()
	list := []Version{}
	for rows.Next() {
		v, err := scanVersion(rows)
		if err != nil {
			return nil, fmt.Errorf("listing a volume's versions: %w", err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// Delete deletes a volume with all its versions.
func (s *Store) Delete(ctx context.Context, id string) error {
	if users := s.users(id); len(users) > 0 {
		return ask.Conflict("the volume is mounted in %s; it can be deleted once they have ended", containers(users))
	}
	err := s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM volumes WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err == nil && n == 0 {
			return ask.NotFound("there is no volume %.80s", id)
		}
		return nil
	})
	s.kick()
	return err
}

// AppEnded deletes the ephemeral volumes of an app.
func (s *Store) AppEnded(ctx context.Context, appID string) error {
	err := s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM volumes WHERE name IS NULL AND app = ?`, appID)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting an app's ephemeral volumes: %w", err)
	}
	s.kick()
	return nil
}

// Rename gives a volume another name.
func (s *Store) Rename(ctx context.Context, environmentName, name, to string) error {
	if err := app.CheckName("volume", to); err != nil {
		return ask.Refused("%v", err)
	}
	env, err := s.cfg.Environments.ID(ctx, environmentName)
	if err != nil {
		return err
	}
	return s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		id, err := s.find(ctx, tx, env, environmentName, name)
		if err != nil || name == to {
			return err
		}
		if _, err := s.find(ctx, tx, env, environmentName, to); err == nil {
			return ask.Exists("there is a volume %q already%s", to, in(environmentName))
		} else if ask.Kind(err) != ask.KindNotFound {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE volumes SET name = ? WHERE id = ?`, to, id)
		return err
	})
}

// Restore makes an earlier version the newest again, as a further version.
func (s *Store) Restore(ctx context.Context, id string, number int) (int, error) {
	defer s.lock(id)()
	next := 0
	err := s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		old, err := version(ctx, tx, id, &number)
		if err != nil {
			return err
		}
		newest, err := head(ctx, tx, id)
		if err != nil {
			return err
		}
		if newest.Version == number {
			next = number
			return nil
		}
		old.Version, old.By, old.Note, old.added = newest.Version+1, "", fmt.Sprintf("restored version %d", number), 0
		next = old.Version
		return s.add(ctx, tx, id, old)
	})
	if err != nil {
		return 0, err
	}
	return next, s.cfg.DB.Sync()
}

// add writes a version.
func (s *Store) add(ctx context.Context, tx *sql.Tx, id string, v Version) error {
	layers, err := json.Marshal(v.layers)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO volume_versions (volume, `+versionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, v.Version, s.now(), v.By, v.Note, v.Files, v.Bytes, v.added, string(layers))
	return err
}

// publish puts a draft on top of the newest version, whichever that is by now,
// and makes the result the newest. It returns its number, that of the version
// before if the draft changes nothing. The draft is used up.
func (s *Store) publish(ctx context.Context, id string, d *layer.Draft, layerID string, seen *layer.Tree, by, note string) (_ int, err error) {
	defer s.lock(id)()
	return s.publishLocked(ctx, id, d, layerID, seen, by, note)
}

// publishLocked is publish for who has the lock.
func (s *Store) publishLocked(ctx context.Context, id string, d *layer.Draft, layerID string, seen *layer.Tree, by, note string) (_ int, err error) {
	written := false
	defer func() {
		if err != nil && !written {
			err = errors.Join(err, d.Discard())
		}
	}()
	newest, below, release, err := s.open(ctx, id, nil)
	if err != nil {
		return 0, err
	}
	defer release()
	change, err := d.Settle(below, seen)
	if err != nil {
		return 0, err
	}
	if d.Empty() {
		return newest.Version, d.Discard()
	}
	if err := d.Seal(); err != nil {
		return 0, err
	}
	entries, bytes := d.Size()
	next := Version{
		Version: newest.Version + 1, By: by, Note: note, Files: newest.Files + change.Files, Bytes: newest.Bytes + change.Bytes,
		added: bytes, layers: slices.Insert(slices.Clone(newest.layers), 0, layerID),
	}
	// Whether a transaction that failed was written is for the database to say:
	// the layer stays until it is found to be in no version.
	written = true
	ctx = context.WithoutCancel(ctx)
	err = s.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		if err := s.addLayer(ctx, tx, layerID, entries, bytes); err != nil {
			return err
		}
		return s.add(ctx, tx, id, next)
	})
	if err == nil {
		err = s.cfg.DB.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("recording a volume's new version: %w", err)
	}
	s.kick()
	return next.Version, nil
}

func (s *Store) addLayer(ctx context.Context, tx *sql.Tx, id string, entries, bytes int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO volume_layers (id, entries, bytes) VALUES (?, ?, ?)`, id, entries, bytes)
	return err
}
