// Package environment keeps a host's environments: separate sets of names. A
// volume "data" of environment "dev" and one of "main" are two volumes. Tables
// of other parts refer to an environment by its id, and lose what belongs to it
// when it is deleted:
//
//	environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE
package environment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

// Main is the environment of those who name none. It cannot be deleted.
const Main = "main"

// mainID is its id.
const mainID = 1

// maxEnvironments is how many a host has at most.
const maxEnvironments = 1000

// maxNamed is how many an error names.
const maxNamed = 10

const schema = `
CREATE TABLE environments (
	id      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	name    TEXT NOT NULL UNIQUE,
	created REAL NOT NULL                      -- seconds since 1970
) STRICT;
INSERT INTO environments (id, name, created) VALUES (1, 'main', 0);
`

// Split takes the reference of a named thing apart: "dev/data" is "data" of
// environment "dev", and "data" is one of Main.
func Split(ref string) (environment, name string) {
	if environment, name, ok := strings.Cut(ref, "/"); ok {
		return environment, name
	}
	return Main, ref
}

// Environment is one environment.
type Environment struct {
	Name    string  `json:"name"`
	Created float64 `json:"created"` // seconds since 1970; 0 = as long as the host
	Default bool    `json:"default"` // the one of those who name none
}

// Store keeps the environments.
type Store struct {
	db    *store.DB
	clock clock.Clock

	mu      sync.Mutex
	gone    []func(id int64)
	renamed []func(id int64, from, to string)
	guards  []func(name string) error
}

// Open opens the store of environments in the host's database.
func Open(ctx context.Context, db *store.DB, clock clock.Clock) (*Store, error) {
	if err := db.Migrate(ctx, "environments", schema); err != nil {
		return nil, err
	}
	return &Store{db: db, clock: clock}, nil
}

// OnDelete has fn called after an environment was deleted, for parts that keep
// more than rows of it.
func (s *Store) OnDelete(fn func(id int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, fn)
}

// OnRename has fn called after an environment got another name, for parts that
// keep names of environments in memory.
func (s *Store) OnRename(fn func(id int64, from, to string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renamed = append(s.renamed, fn)
}

// Guard has fn called before an environment is renamed or deleted; its error
// forbids that.
func (s *Store) Guard(fn func(name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guards = append(s.guards, fn)
}

// ID finds an environment by its name; "" is Main. The error is of package ask.
func (s *Store) ID(ctx context.Context, name string) (int64, error) {
	if name == "" || name == Main {
		return mainID, nil
	}
	var id int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT id FROM environments WHERE name = ?`, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, s.unknown(ctx, name)
	}
	if err != nil {
		return 0, fmt.Errorf("looking up environment %q: %w", name, err)
	}
	return id, nil
}

// unknown says that there is no such environment, and which there are.
func (s *Store) unknown(ctx context.Context, name string) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range list[:min(len(list), maxNamed)] {
		names = append(names, e.Name)
	}
	if more := len(list) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return ask.NotFound("there is no environment %.80q on this host, which has %s; `gx environment create %.80s` makes it", name, strings.Join(names, ", "), name)
}

// List lists the environments by name, Main first.
func (s *Store) List(ctx context.Context) ([]Environment, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT name, created, id = 1 FROM environments ORDER BY id != 1, name`)
	if err != nil {
		return nil, fmt.Errorf("listing the environments: %w", err)
	}
	defer rows.Close()
	var list []Environment
	for rows.Next() {
		var e Environment
		if err := rows.Scan(&e.Name, &e.Created, &e.Default); err != nil {
			return nil, fmt.Errorf("listing the environments: %w", err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// Create makes an environment.
func (s *Store) Create(ctx context.Context, name string) error {
	if err := app.CheckName("environment", name); err != nil {
		return ask.Refused("%v", err)
	}
	now := store.Seconds(s.clock.Now())
	return s.db.Update(ctx, func(tx *sql.Tx) error {
		var n, same int
		if err := tx.QueryRow(`SELECT count(*), count(CASE WHEN name = ? THEN 1 END) FROM environments`, name).Scan(&n, &same); err != nil {
			return err
		}
		if same > 0 {
			return ask.Exists("there is an environment %q already", name)
		}
		if n >= maxEnvironments {
			return ask.Refused("this host has %d environments, which is the limit", n)
		}
		_, err := tx.Exec(`INSERT INTO environments (name, created) VALUES (?, ?)`, name, now)
		return err
	})
}

// Rename gives an environment another name; what belongs to it stays.
func (s *Store) Rename(ctx context.Context, name, to string) error {
	if err := app.CheckName("environment", to); err != nil {
		return ask.Refused("%v", err)
	}
	id, err := s.changeable(ctx, name, "renamed")
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		var same int
		if err := tx.QueryRow(`SELECT count(*) FROM environments WHERE name = ? AND id != ?`, to, id).Scan(&same); err != nil {
			return err
		}
		if same > 0 {
			return ask.Exists("there is an environment %q already", to)
		}
		_, err := tx.Exec(`UPDATE environments SET name = ? WHERE id = ?`, to, id)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	renamed := s.renamed
	s.mu.Unlock()
	for _, fn := range renamed {
		fn(id, name, to)
	}
	return nil
}

// Delete deletes an environment and all that belongs to it.
func (s *Store) Delete(ctx context.Context, name string) error {
	id, err := s.changeable(ctx, name, "deleted")
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM environments WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting environment %q: %w", name, err)
	}
	s.mu.Lock()
	gone := s.gone
	s.mu.Unlock()
	for _, fn := range gone {
		fn(id)
	}
	return nil
}

func (s *Store) changeable(ctx context.Context, name, what string) (int64, error) {
	id, err := s.ID(ctx, name)
	if err == nil && id == mainID {
		err = ask.Refused("environment %q cannot be %s: it is the one of those who name none", Main, what)
	}
	s.mu.Lock()
	guards := s.guards
	s.mu.Unlock()
	for _, fn := range guards {
		if err == nil {
			err = fn(name)
		}
	}
	return id, err
}

// Operations implements ask.Service.
//
//	environment.list    {}            {"environments": [Environment]}
//	environment.create  name          {}
//	environment.rename  name, to      {}
//	environment.delete  name          {}
func (s *Store) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"environment.list": func(ctx context.Context, _ ask.Query) (ask.Answer, error) {
			list, err := s.List(ctx)
			return ask.Answer{Result: map[string]any{"environments": list}}, err
		},
		"environment.create": named(func(ctx context.Context, p params) error { return s.Create(ctx, p.Name) }),
		"environment.rename": named(func(ctx context.Context, p params) error { return s.Rename(ctx, p.Name, p.To) }),
		"environment.delete": named(func(ctx context.Context, p params) error { return s.Delete(ctx, p.Name) }),
	}
}

type params struct {
	Name string `json:"name"`
	To   string `json:"to"`
}

func named(do func(context.Context, params) error) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p params
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		return ask.Answer{}, do(ctx, p)
	}
}
