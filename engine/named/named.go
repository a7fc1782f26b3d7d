// Package named keeps which objects of a kind there are on a host: dicts,
// queues. An object has a name in an environment, or no name, and then lasts as
// long as whoever has made it is connected. What an object holds is its kind's
// business: its tables refer to the row here, and lose their rows with it:
//
//	dict INTEGER NOT NULL REFERENCES named (key) ON DELETE CASCADE
package named

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

// maxObjects is how many objects of a kind an environment has at most.
const maxObjects = 100_000

const schema = `
CREATE TABLE named (
	key         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	id          TEXT NOT NULL UNIQUE,
	kind        TEXT NOT NULL,
	environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	name        TEXT,                              -- NULL = it has none
	created     REAL NOT NULL,                     -- seconds since 1970
	UNIQUE (kind, environment, name)
) STRICT;
`

// Object is one object.
type Object struct {
	Key     int64   `json:"-"`
	ID      string  `json:"id"`
	Name    string  `json:"name"`       // "" = it has none
	Created float64 `json:"created_at"` // seconds since 1970
}

// Environments finds environments by their names; "" is the one of those who
// name none. Its errors are of package ask.
type Environments interface {
	ID(ctx context.Context, name string) (int64, error)
}

// Directory is the objects of one kind. It is safe for concurrent use.
type Directory struct {
	db           *store.DB
	clock        clock.Clock
	environments Environments
	kind, prefix string
	newID        func(prefix string) string

	mu   sync.RWMutex
	byID map[string]Object // those that were used
	gone func(key int64)
}

// Config is what a Directory is made of.
type Config struct {
	DB           *store.DB
	Clock        clock.Clock
	Environments Environments
	Kind, Prefix string                     // "dict", and what ids begin with: "di"
	NewID        func(prefix string) string // makes an id that no other object has
	Gone         func(key int64)            // is told of deletions, but not those that come with an environment's; may be nil
}

// Open opens a directory.
func Open(ctx context.Context, c Config) (*Directory, error) {
	d := &Directory{db: c.DB, clock: c.Clock, environments: c.Environments, kind: c.Kind, prefix: c.Prefix, newID: c.NewID,
		byID: map[string]Object{}, gone: c.Gone}
	if d.gone == nil {
		d.gone = func(int64) {}
	}
	if err := c.DB.Migrate(ctx, "named objects", schema); err != nil {
		return nil, err
	}
	return d, nil
}

// Sweep deletes the objects without names. It is for the start of a host:
// whoever has made them has lost the connection to the one before.
func (d *Directory) Sweep(ctx context.Context) error {
	err := d.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM named WHERE kind = ? AND name IS NULL`, d.kind)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting the %ss of an earlier host's programs: %w", d.kind, err)
	}
	return nil
}

// Create makes an object.
func (d *Directory) Create(ctx context.Context, environment, name string) (Object, error) {
	return d.obtain(ctx, environment, name, func() error {
		return ask.Exists("there is a %s %q already", d.kind, name)
	})
}

// Find finds an object by its name, and with create makes it if there is none.
func (d *Directory) Find(ctx context.Context, environment, name string, create bool) (Object, error) {
	if create {
		return d.obtain(ctx, environment, name, nil)
	}
	if err := app.CheckName(d.kind, name); err != nil {
		return Object{}, ask.Refused("%v", err)
	}
	id, err := d.environments.ID(ctx, environment)
	if err != nil {
		return Object{}, err
	}
	o, err := d.scan(d.db.Read().QueryRowContext(ctx, `SELECT key, id, name, created FROM named WHERE kind = ? AND environment = ? AND name = ?`, d.kind, id, name))
	if errors.Is(err, sql.ErrNoRows) {
		err = d.absent(environment, name)
	}
	return o, err
}

// obtain finds or makes an object. exists, if not nil, is asked for the error
// when there is one already.
func (d *Directory) obtain(ctx context.Context, environment, name string, exists func() error) (o Object, err error) {
	if err := app.CheckName(d.kind, name); err != nil {
		return o, ask.Refused("%v", err)
	}
	env, err := d.environments.ID(ctx, environment)
	if err != nil {
		return o, err
	}
	err = d.db.Update(ctx, func(tx *sql.Tx) error {
		o, err = d.scan(tx.QueryRow(`SELECT key, id, name, created FROM named WHERE kind = ? AND environment = ? AND name = ?`, d.kind, env, name))
		switch {
		case err == nil && exists != nil:
			return exists()
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM named WHERE kind = ? AND environment = ?`, d.kind, env).Scan(&n); err != nil {
			return err
		}
		if n >= maxObjects {
			return ask.Refused("the environment has %d %ss, which is the limit", n, d.kind)
		}
		o, err = d.insert(tx, env, name)
		return err
	})
	return o, err
}

// Ephemeral makes an object without a name, which somebody has to Hold.
func (d *Directory) Ephemeral(ctx context.Context) (o Object, err error) {
	env, err := d.environments.ID(ctx, "")
	if err != nil {
		return o, err
	}
	err = d.db.Update(ctx, func(tx *sql.Tx) error {
		o, err = d.insert(tx, env, "")
		return err
	})
	return o, err
}

// Hold waits until ctx ends, and then deletes the object if it has no name.
func (d *Directory) Hold(ctx context.Context, o Object) error {
	if o.Name != "" {
		return ask.Refused("%s %q has a name, and stays", d.kind, o.Name)
	}
	<-ctx.Done()
	return d.Delete(context.WithoutCancel(ctx), o)
}

func (d *Directory) insert(tx *sql.Tx, environment int64, name string) (Object, error) {
	o := Object{ID: d.newID(d.prefix), Name: name, Created: store.Seconds(d.clock.Now())}
	err := tx.QueryRow(`INSERT INTO named (id, kind, environment, name, created) VALUES (?, ?, ?, ?, ?) RETURNING key`,
		o.ID, d.kind, environment, sql.NullString{String: name, Valid: name != ""}, o.Created).Scan(&o.Key)
	return o, err
}

func (d *Directory) scan(row interface{ Scan(...any) error }) (o Object, err error) {
	var name sql.NullString
	err = row.Scan(&o.Key, &o.ID, &name, &o.Created)
	o.Name = name.String
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("looking up a %s: %w", d.kind, err)
	}
	return o, err
}

// ByID finds an object by its id.
func (d *Directory) ByID(ctx context.Context, id string) (Object, error) {
	d.mu.RLock()
	o, known := d.byID[id]
	d.mu.RUnlock()
	if known {
		return o, nil
	}
	d.mu.Lock() // so that a deletion is after this, and finds it in the map
	defer d.mu.Unlock()
	o, err := d.scan(d.db.Read().QueryRowContext(ctx, `SELECT key, id, name, created FROM named WHERE kind = ? AND id = ?`, d.kind, id))
	if errors.Is(err, sql.ErrNoRows) {
		return o, d.Deleted(id)
	}
	if err == nil {
		d.byID[id] = o
	}
	return o, err
}

// Deleted is the error for an object that is no more.
func (d *Directory) Deleted(id string) error {
	return ask.NotFound("there is no %s with the id %.80q on this host: it may have been deleted", d.kind, id)
}

func (d *Directory) absent(environment, name string) error {
	in := ""
	if environment != "" {
		in = fmt.Sprintf(" in environment %q", environment)
	}
	return ask.NotFound("there is no %s %q%s: make it by `gx %s create %s`, or look it up with create_if_missing=True", d.kind, name, in, d.kind, name)
}

// Query says which objects to list.
type Query struct {
	Environment string
	Max         int     // 0 = all
	Before      float64 // made before, in seconds since 1970; 0 = whenever
}

// List lists the objects that have names, the newest first.
func (d *Directory) List(ctx context.Context, q Query) ([]Object, error) {
	env, err := d.environments.ID(ctx, q.Environment)
	if err != nil {
		return nil, err
	}
	limit := q.Max
	if limit <= 0 {
		limit = -1
	}
	rows, err := d.db.Read().QueryContext(ctx, `SELECT key, id, name, created FROM named
		WHERE kind = ? AND environment = ? AND name IS NOT NULL AND (? = 0 OR created < ?) ORDER BY created DESC, key DESC LIMIT ?`,
		d.kind, env, q.Before, q.Before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the %ss: %w", d.kind, err)
	}
	defer rows.Close()
	list := []Object{}
	for rows.Next() {
		o, err := d.scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// Delete deletes an object, with all that it holds.
func (d *Directory) Delete(ctx context.Context, o Object) error {
	err := d.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM named WHERE key = ?`, o.Key)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a %s: %w", d.kind, err)
	}
	d.forget([]Object{o})
	return nil
}

func (d *Directory) forget(gone []Object) {
	d.mu.Lock()
	for _, o := range gone {
		delete(d.byID, o.ID)
	}
	d.mu.Unlock()
	for _, o := range gone {
		d.gone(o.Key)
	}
}

// EnvironmentGone forgets the objects of an environment that was deleted.
func (d *Directory) EnvironmentGone(ctx context.Context) error {
	d.mu.RLock()
	used := make([]Object, 0, len(d.byID))
	for _, o := range d.byID {
		used = append(used, o)
	}
	d.mu.RUnlock()
	var gone []Object
	for _, o := range used {
		var one int
		err := d.db.Read().QueryRowContext(ctx, `SELECT 1 FROM named WHERE key = ?`, o.Key).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			gone = append(gone, o)
		} else if err != nil {
			return fmt.Errorf("looking for %ss of an environment: %w", d.kind, err)
		}
	}
	d.forget(gone)
	return nil
}
