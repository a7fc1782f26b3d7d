package deployment

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

const schema = `
CREATE TABLE deployed_apps (
	key         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	id          TEXT NOT NULL UNIQUE,
	environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	name        TEXT NOT NULL,
	functions   TEXT NOT NULL,    -- ids by name, JSON
	current     INTEGER NOT NULL, -- number of a version
	stopped     INTEGER NOT NULL DEFAULT 0,
	created     REAL NOT NULL,    -- seconds since 1970, as all times here
	UNIQUE (environment, name)
) STRICT;
CREATE TABLE deployed_versions (
	app      INTEGER NOT NULL REFERENCES deployed_apps (key) ON DELETE CASCADE,
	number   INTEGER NOT NULL,
	created  REAL NOT NULL,
	who      TEXT NOT NULL,
	tag      TEXT NOT NULL,
	strategy TEXT NOT NULL,
	origin   TEXT NOT NULL,
	repeats  INTEGER NOT NULL, -- 0 = none
	source   TEXT NOT NULL,
	sdk      TEXT NOT NULL,
	contents BLOB,             -- see pack; NULL = not kept
	PRIMARY KEY (app, number)
) STRICT;
CREATE TABLE deployed_actions (
	key     INTEGER PRIMARY KEY AUTOINCREMENT,
	app     INTEGER NOT NULL REFERENCES deployed_apps (key) ON DELETE CASCADE,
	time    REAL NOT NULL,
	what    TEXT NOT NULL,
	version INTEGER NOT NULL,
	before  INTEGER NOT NULL,
	who     TEXT NOT NULL,
	note    TEXT NOT NULL
) STRICT;
CREATE INDEX deployed_actions_by_app ON deployed_actions (app);
`

// Store is the deployed apps of a host. It is safe for concurrent use.
type Store struct {
	db    *store.DB
	clock clock.Clock
	vault Vault
}

// Open opens the store in the host's database, which must have environments. The
// vault is for the values of secrets; nil = versions have none.
func Open(ctx context.Context, db *store.DB, c clock.Clock, vault Vault) (*Store, error) {
	if err := db.Migrate(ctx, "deployments", schema); err != nil {
		return nil, err
	}
	return &Store{db: db, clock: c, vault: vault}, nil
}

// apps is the query of App.
const apps = `SELECT a.key, a.id, e.name, a.name, a.functions, a.current, a.stopped, a.created
	FROM deployed_apps a JOIN environments e ON e.id = a.environment `

func scanApp(row interface{ Scan(...any) error }) (a App, err error) {
	var functions string
	var created float64
	if err := row.Scan(&a.Key, &a.ID, &a.Environment, &a.Name, &functions, &a.Current, &a.Stopped, &created); err != nil {
		return a, err
	}
	a.Created = store.Time(created)
	return a, json.Unmarshal([]byte(functions), &a.Functions)
}

// Apps lists the deployed apps, stopped ones too, in the order in which they
// were first deployed.
func (s *Store) Apps(ctx context.Context) ([]App, error) {
	rows, err := s.db.Read().QueryContext(ctx, apps+`ORDER BY a.key`)
	if err != nil {
		return nil, fmt.Errorf("listing the deployed apps: %w", err)
	}
	defer rows.Close()
	var list []App
	for rows.Next() {
		a, err := scanApp(rows)
		if err != nil {
			return nil, fmt.Errorf("listing the deployed apps: %w", err)
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// CheckTag says what is wrong with a version's tag.
func CheckTag(tag string) error {
	if len(tag) > maxTag {
		return ask.Refused("a version's tag has at most %d bytes, this has %d", maxTag, len(tag))
	}
	for _, c := range tag {
		if c < ' ' || c == 0x7f {
			return ask.Refused("the tag %q has a control character", tag)
		}
	}
	return nil
}

// Add makes a version the app's current one, and the app itself if there is
// none of its name: environment is the id of its environment, and Key 0 then.
// The version's number is the next one; it is returned with the app as it is
// now. When Add returns, the end of the process changes nothing any more.
func (s *Store) Add(ctx context.Context, environment int64, a App, v Version, c Contents) (App, Version, error) {
	number, err := s.next(ctx, a.Key)
	if err != nil {
		return a, v, err
	}
	contents, err := s.pack(sealedAs(a.ID, number), c) // outside of the transaction: it takes its time
	if err != nil {
		return a, v, err
	}
	functions, err := json.Marshal(a.Functions)
	if err != nil {
		return a, v, fmt.Errorf("recording a deployment: %w", err)
	}
	now := s.clock.Now()
	v.Created, v.Kept = now, true
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		before := 0
		if a.Key == 0 {
			a.Created = now
			res, err := tx.Exec(`INSERT INTO deployed_apps (id, environment, name, functions, current, created) VALUES (?, ?, ?, ?, 0, ?)`,
				a.ID, environment, a.Name, string(functions), store.Seconds(now))
			if err != nil {
				return err
			}
			if a.Key, err = res.LastInsertId(); err != nil {
				return err
			}
		} else if err := tx.QueryRow(`SELECT CASE WHEN stopped THEN 0 ELSE current END FROM deployed_apps WHERE key = ?`, a.Key).Scan(&before); err != nil {
			return err
		}
		if err := tx.QueryRow(nextNumber, a.Key).Scan(&v.Number); err != nil {
			return err
		}
		if v.Number != number {
			return fmt.Errorf("version %d was added at the same moment", number)
		}
		if _, err := tx.Exec(`INSERT INTO deployed_versions (app, number, created, who, tag, strategy, origin, repeats, source, sdk, contents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.Key, v.Number, store.Seconds(now), v.Who, v.Tag, v.Strategy, v.Origin, v.Of, v.Source, v.SDK, contents); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE deployed_apps SET current = ?, stopped = 0, functions = ? WHERE key = ?`, v.Number, string(functions), a.Key); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM deployed_versions WHERE app = ? AND number <= ?`, a.Key, v.Number-maxVersions); err != nil {
			return err
		}
		note := ""
		if v.Of > 0 {
			note = fmt.Sprintf("as version %d", v.Of)
		}
		return record(tx, a.Key, Action{Time: now, What: v.Origin, Version: v.Number, Before: before, Who: v.Who, Note: note})
	})
	if err != nil {
		return a, v, fmt.Errorf("recording a version of app %s: %w", a.Name, err)
	}
	a.Current, a.Stopped = v.Number, false
	return a, v, nil
}

const nextNumber = `SELECT coalesce(max(number), 0) + 1 FROM deployed_versions WHERE app = ?`

// next is the number of the app's next version.
func (s *Store) next(ctx context.Context, key int64) (number int, err error) {
	if err := s.db.Read().QueryRowContext(ctx, nextNumber, key).Scan(&number); err != nil {
		return 0, fmt.Errorf("looking for an app's newest version: %w", err)
	}
	return number, nil
}

// record adds an entry to an app's history.
func record(tx *sql.Tx, app int64, a Action) error {
	if _, err := tx.Exec(`INSERT INTO deployed_actions (app, time, what, version, before, who, note) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		app, store.Seconds(a.Time), a.What, a.Version, a.Before, a.Who, a.Note); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM deployed_actions WHERE app = ? AND key <= (SELECT key FROM deployed_actions WHERE app = ? ORDER BY key DESC LIMIT 1 OFFSET ?)`, app, app, maxActions)
	return err
}

// Stop notes that the app runs no more, until another version is added. It may
// be called again, which changes nothing.
func (s *Store) Stop(ctx context.Context, key int64, who string) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		var before int
		err := tx.QueryRow(`UPDATE deployed_apps SET stopped = 1 WHERE key = ? AND NOT stopped RETURNING current`, key).Scan(&before)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return record(tx, key, Action{Time: s.clock.Now(), What: "stop", Before: before, Who: who})
	})
	if err != nil {
		return fmt.Errorf("recording that an app was stopped: %w", err)
	}
	return nil
}

// Delete forgets an app, with its versions and its history.
func Delete(tx *sql.Tx, key int64) error {
	_, err := tx.Exec(`DELETE FROM deployed_apps WHERE key = ?`, key)
	return err
}

// Versions lists an app's versions, the newest first.
func (s *Store) Versions(ctx context.Context, key int64) ([]Version, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT number, created, who, tag, strategy, origin, repeats, source, sdk, contents IS NOT NULL
		FROM deployed_versions WHERE app = ? ORDER BY number DESC`, key)
	if err != nil {
		return nil, fmt.Errorf("listing an app's versions: %w", err)
	}
	defer rows.Close()
	var list []Version
	for rows.Next() {
		var v Version
		var created float64
		if err := rows.Scan(&v.Number, &created, &v.Who, &v.Tag, &v.Strategy, &v.Origin, &v.Of, &v.Source, &v.SDK, &v.Kept); err != nil {
			return nil, fmt.Errorf("listing an app's versions: %w", err)
		}
		v.Created = store.Time(created)
		list = append(list, v)
	}
	return list, rows.Err()
}

// History lists what was done with an app, the newest first.
func (s *Store) History(ctx context.Context, key int64) ([]Action, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT time, what, version, before, who, note FROM deployed_actions WHERE app = ? ORDER BY key DESC`, key)
	if err != nil {
		return nil, fmt.Errorf("reading an app's history: %w", err)
	}
	defer rows.Close()
	var list []Action
	for rows.Next() {
		var a Action
		var at float64
		if err := rows.Scan(&at, &a.What, &a.Version, &a.Before, &a.Who, &a.Note); err != nil {
			return nil, fmt.Errorf("reading an app's history: %w", err)
		}
		a.Time = store.Time(at)
		list = append(list, a)
	}
	return list, rows.Err()
}

// Contents is what a version is made of. The error is of package ask where
// there is no such version, or it is not kept.
func (s *Store) Contents(ctx context.Context, key int64, number int) (c Contents, err error) {
	var packed []byte
	var id string
	err = s.db.Read().QueryRowContext(ctx, `SELECT v.contents, a.id FROM deployed_versions v JOIN deployed_apps a ON a.key = v.app WHERE v.app = ? AND v.number = ?`, key, number).Scan(&packed, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, ask.NotFound("there is no version %d", number)
	case err != nil:
		return c, fmt.Errorf("reading version %d: %w", number, err)
	case packed == nil:
		return c, ask.NotFound("version %d is not kept any more", number)
	}
	return s.unpack(sealedAs(id, number), packed)
}

// Trim lets go of versions that need not be kept, and returns their numbers.
func (s *Store) Trim(ctx context.Context, key int64, r Retention) (dropped []int, err error) {
	keep := r.Versions
	if keep <= 0 {
		keep = DefaultKeep
	}
	oldest := 0.0
	if r.Age > 0 {
		oldest = store.Seconds(s.clock.Now().Add(-r.Age))
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		dropped = nil
		rows, err := tx.Query(`UPDATE deployed_versions SET contents = NULL
			WHERE app = ?1 AND contents IS NOT NULL AND number != (SELECT current FROM deployed_apps WHERE key = ?1) AND (created < ?2 OR number NOT IN (
				SELECT number FROM deployed_versions WHERE app = ?1 AND contents IS NOT NULL ORDER BY number DESC LIMIT ?3))
			RETURNING number`, key, oldest, keep)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				return err
			}
			dropped = append(dropped, n)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("dropping old versions: %w", err)
	}
	return dropped, nil
}
