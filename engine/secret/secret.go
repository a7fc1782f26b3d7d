// Package secret keeps secrets: sets of environment variables by name, in the
// host's database, encrypted. Whoever may use the host sets them, and nobody can
// ask for their values: those are found out when a container starts, or an image
// is built. It knows nothing of containers and images.
package secret

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/named"
	"github.com/gx-dev/gx/engine/store"
)

// KeyFile is the name of the file with the key, in the host's state.
const KeyFile = "secrets.key"

const schema = `
CREATE TABLE secrets (
	secret INTEGER PRIMARY KEY REFERENCES named (key) ON DELETE CASCADE,
	sealed BLOB NOT NULL,   -- by Vault: JSON, values by names
	updated REAL NOT NULL   -- seconds since 1970
) STRICT;
`

// Config is what a Store is made of.
type Config struct {
	Dir          string // of the key
	DB           *store.DB
	Clock        clock.Clock
	Environments named.Environments
	NewID        func(prefix string) string
}

// Store keeps the secrets of a host. It is safe for concurrent use.
type Store struct {
	// Vault encrypts by the same key what others keep, such as the values of a
	// deployment's own secrets (app.Withheld).
	Vault        *Vault
	directory    *named.Directory
	db           *store.DB
	clock        clock.Clock
	environments named.Environments
	newID        func(string) string
}

// Open opens the secrets of a host.
func Open(ctx context.Context, c Config) (*Store, error) {
	directory, err := named.Open(ctx, named.Config{DB: c.DB, Clock: c.Clock, Environments: c.Environments, Kind: "secret", Prefix: "st", NewID: c.NewID})
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "secrets", schema); err != nil {
		return nil, err
	}
	return &Store{
		directory: directory, Vault: NewVault(filepath.Join(c.Dir, KeyFile)), db: c.DB, clock: c.Clock, environments: c.Environments, newID: c.NewID,
	}, nil
}

// Described is a secret without its values.
type Described struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Keys    []string `json:"keys"`       // names of its variables
	Created float64  `json:"created_at"` // seconds since 1970
	Updated float64  `json:"updated_at"`
}

// Set makes a secret. With overwrite it takes the place of one of that name, if
// there is one, which keeps its id.
func (s *Store) Set(ctx context.Context, environment, name string, values map[string]string, overwrite bool) (Described, error) {
	return s.write(ctx, environment, name, func(exists bool, _ func() (map[string]string, error)) (map[string]string, error) {
		if exists && !overwrite {
			return nil, ask.Exists("there is a secret %q already: `gx secret create %s ... --force` sets other values", name, name)
		}
		return values, nil
	})
}

// Update sets some variables of a secret that there is, and keeps the others.
func (s *Store) Update(ctx context.Context, environment, name string, values map[string]string) (Described, error) {
	return s.write(ctx, environment, name, func(exists bool, old func() (map[string]string, error)) (map[string]string, error) {
		if !exists {
			return nil, absent(environment, name)
		}
		merged, err := old()
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, values)
		return merged, nil
	})
}

// write gives a secret the values that choose wants, in one commit. old decrypts
// those that it has.
func (s *Store) write(ctx context.Context, environment, name string, choose func(exists bool, old func() (map[string]string, error)) (map[string]string, error)) (d Described, err error) {
	env, err := s.environment(ctx, environment, name)
	if err != nil {
		return d, err
	}
	now := store.Seconds(s.clock.Now())
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		r, err := scan(tx.QueryRow(byName, env, name))
		exists := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		values, err := choose(exists, func() (map[string]string, error) { return s.open(r) })
		if err != nil {
			return err
		}
		if err := app.CheckValues(values); err != nil {
			return ask.Refused("secret %q: %v", name, err)
		}
		if !exists {
			r = row{id: s.newID("st"), name: name, created: now}
			if err := tx.QueryRow(insert, r.id, env, name, now).Scan(&r.key); err != nil {
				return err
			}
		}
		r.updated = now
		data, err := json.Marshal(values)
		if err != nil {
			return err
		}
		if r.sealed, err = s.Vault.Seal(r.label(), data); err != nil {
			return err
		}
		d = r.described(values)
		_, err = tx.Exec(upsert, r.key, r.sealed, now)
		return err
	})
	if err != nil && ask.Kind(err) == ask.KindInternal {
		err = fmt.Errorf("setting secret %q: %w", name, err)
	}
	return d, err
}

// Find describes a secret.
func (s *Store) Find(ctx context.Context, environment, name string) (Described, error) {
	r, err := s.find(ctx, environment, name)
	if err != nil {
		return Described{}, err
	}
	values, err := s.open(r)
	return r.described(values), err
}

// List describes the secrets of an environment, the newest first. Of one that
// cannot be decrypted the keys are missing.
func (s *Store) List(ctx context.Context, q named.Query) ([]Described, error) {
	objects, err := s.directory.List(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]Described, 0, len(objects))
	for _, o := range objects {
		r, err := scan(s.db.Read().QueryRowContext(ctx, byKey, o.Key))
		if errors.Is(err, sql.ErrNoRows) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("listing the secrets: %w", err)
		}
		values, _ := s.open(r)
		list = append(list, r.described(values))
	}
	return list, nil
}

// Delete deletes a secret.
func (s *Store) Delete(ctx context.Context, environment, name string) error {
	r, err := s.find(ctx, environment, name)
	if err != nil {
		return err
	}
	return s.directory.Delete(ctx, named.Object{Key: r.key, ID: r.id, Name: name})
}

// Resolve is a list of secrets with the values that they have now. in is the
// environment of those that name none. Its errors are of package ask where the
// user can do something, and show no value.
func (s *Store) Resolve(ctx context.Context, in string, secrets []app.Secret) ([]app.Secret, error) {
	resolved := slices.Clone(secrets)
	for i := range resolved {
		one := &resolved[i]
		if one.Name == "" {
			if err := app.CheckValues(one.Values); err != nil {
				return nil, ask.Refused("%v", err)
			}
			continue
		}
		environment := cmp.Or(one.Environment, in)
		r, err := s.find(ctx, environment, one.Name)
		if err != nil {
			return nil, err
		}
		if one.Values, err = s.open(r); err != nil {
			return nil, err
		}
		if err := lacks(*one); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

// lacks is the error for a secret without the variables that it must have.
func lacks(s app.Secret) error {
	var missing []string
	for _, name := range s.Required {
		if _, ok := s.Values[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	has := "nothing"
	if len(s.Values) > 0 {
		has = strings.Join(slices.Sorted(maps.Keys(s.Values)), ", ")
	}
	return ask.Refused("secret %q lacks %s, which required_keys= names; it has %s: set them by Secret.from_name(%q).update({...}), or all anew by `gx secret create %s --force ...`",
		s.Name, strings.Join(missing, ", "), has, s.Name, s.Name)
}

// row is a secret in the database.
type row struct {
	key              int64
	id, name         string
	created, updated float64
	sealed           []byte
}

const (
	columns = `SELECT n.key, n.id, n.name, n.created, s.updated, s.sealed FROM named n JOIN secrets s ON s.secret = n.key `
	byName  = columns + `WHERE n.kind = 'secret' AND n.environment = ? AND n.name = ?`
	byKey   = columns + `WHERE n.key = ?`
	insert  = `INSERT INTO named (id, kind, environment, name, created) VALUES (?, 'secret', ?, ?, ?) RETURNING key`
	upsert  = `INSERT INTO secrets (secret, sealed, updated) VALUES (?, ?, ?) ON CONFLICT (secret) DO UPDATE SET sealed = excluded.sealed, updated = excluded.updated`
)

func scan(found *sql.Row) (r row, err error) {
	return r, found.Scan(&r.key, &r.id, &r.name, &r.created, &r.updated, &r.sealed)
}

// label is what a secret's values are sealed as.
func (r row) label() string { return "secret " + r.id }

func (r row) described(values map[string]string) Described {
	return Described{ID: r.id, Name: r.name, Keys: append([]string{}, slices.Sorted(maps.Keys(values))...), Created: r.created, Updated: r.updated}
}

// environment finds the environment of a secret's name, and checks the name.
func (s *Store) environment(ctx context.Context, environment, name string) (int64, error) {
	if err := app.CheckName("secret", name); err != nil {
		return 0, ask.Refused("%v", err)
	}
	return s.environments.ID(ctx, environment)
}

func (s *Store) find(ctx context.Context, environment, name string) (row, error) {
	env, err := s.environment(ctx, environment, name)
	if err != nil {
		return row{}, err
	}
	r, err := scan(s.db.Read().QueryRowContext(ctx, byName, env, name))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, absent(environment, name)
	case err != nil:
		return r, fmt.Errorf("looking for secret %q: %w", name, err)
	}
	return r, nil
}

func absent(environment, name string) error {
	in, flag := "", ""
	if environment != "" {
		in, flag = fmt.Sprintf(" in environment %q", environment), " --env "+environment
	}
	return ask.NotFound("there is no secret %q%s: make it by `gx secret create %s KEY=VALUE%s`", name, in, name, flag)
}

// open decrypts the values of a secret.
func (s *Store) open(r row) (map[string]string, error) {
	data, err := s.Vault.Open(r.label(), r.sealed)
	if err != nil {
		return nil, ask.Refused("secret %q cannot be read: %v, or set it anew by `gx secret create %s --force ...`", r.name, err, r.name)
	}
	values := map[string]string{}
	if err := json.Unmarshal(data, &values); err != nil { // whose text may show a value
		return nil, ask.Refused("secret %q cannot be read: what was decrypted makes no sense: set it anew by `gx secret create %s --force ...`", r.name, r.name)
	}
	return values, nil
}
