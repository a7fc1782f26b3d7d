// Package store is the host's one database: what must survive the host's end,
// and is small. It knows transactions and the schema's versions, and nothing of
// what its parts keep in it.
//
// The database is SQLite with a write-ahead log. A commit is in the file when
// Update returns, so that the end of the process at any moment loses nothing
// that was acknowledged; the log is flushed to the disk at checkpoints, so that
// the machine's loss of power may cost the latest commits, and corrupts nothing
// (synchronous=NORMAL, https://www.sqlite.org/pragma.html#pragma_synchronous).
// Sync flushes it for those whose commits must not be lost even then.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	// readers is how many queries may run at once.
	readers = 4
	// maxGroup is how many updates one commit may have.
	maxGroup = 1000
)

// ErrClosed is the error of updates after Close.
var ErrClosed = errors.New("the host's database is closed")

// DB is an open database. It is safe for concurrent use.
type DB struct {
	path  string
	read  *sql.DB
	write *sql.DB
	// Around each update that shares a commit.
	savepoint, release *sql.Stmt

	mu      sync.Mutex
	writing bool      // somebody is the writer
	waiting []*update // for the next commit
	closing bool
	idle    sync.Cond // nobody is the writer
}

// Open opens the database at a path, or makes it. Only the user may read it.
func Open(path string) (*DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the host's database: %w", err)
	}
	_ = f.Close()
	d := &DB{path: path}
	d.idle.L = &d.mu
	if d.write, err = connect(path, 1); err != nil {
		return nil, err
	}
	if d.read, err = connect(path, readers, "query_only(1)"); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	for statement, text := range map[**sql.Stmt]string{&d.savepoint: "SAVEPOINT one", &d.release: "RELEASE one"} {
		if *statement, err = d.write.Prepare(text); err != nil { //nolint:noctx // nothing is waited for
			return nil, errors.Join(fmt.Errorf("opening the host's database: %w", err), d.read.Close(), d.write.Close())
		}
	}
	return d, nil
}

func connect(path string, connections int, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the host's database: %w", err)
	}
	query := url.Values{"_pragma": append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "temp_store(MEMORY)",
	}, pragmas...), "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening the host's database: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the host's database %s: %w", abs, err), db.Close())
	}
	return db, nil
}

// Close waits for the updates that have begun, refuses those that have not, and
// closes the database.
func (d *DB) Close() error {
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		return nil
	}
	d.closing = true
	for d.writing {
		d.idle.Wait()
	}
	d.mu.Unlock()
	return errors.Join(d.read.Close(), d.write.Close())
}

// Sync has what was committed survive the machine's loss of power.
func (d *DB) Sync() error {
	// A checkpoint, which empties the log, flushes it by itself.
	log, err := os.OpenFile(d.path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(log.Sync(), log.Close())
	}
	if err != nil {
		return fmt.Errorf("flushing the host's database to the disk: %w", err)
	}
	return nil
}

// Read is for queries, which see what has been committed. It takes no writes.
func (d *DB) Read() *sql.DB { return d.read }

// Prepare prepares a statement for updates, which use it by tx.Stmt: parsing
// costs more than most statements. Close it. It must not be called within an
// update.
func (d *DB) Prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	return d.write.PrepareContext(ctx, query)
}

// Seconds is a time as tables keep it: seconds since 1970, to the microsecond.
func Seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// Time is the opposite of Seconds.
func Time(seconds float64) time.Time { return time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC() }

// Migrate brings the tables of one part of the host to their newest version:
// steps are the SQL that led there, the oldest first. Steps are only ever
// added; a database that has more of them comes from a newer host, and is
// refused.
func (d *DB) Migrate(ctx context.Context, part string, steps ...string) error {
	err := d.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY, version INTEGER NOT NULL)`); err != nil {
			return err
		}
		var version int
		err := tx.QueryRowContext(ctx, `SELECT version FROM parts WHERE name = ?`, part).Scan(&version)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("it has version %d and this host knows %d: the host is older than the one that wrote it", version, len(steps))
		}
		for i, step := range steps[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("step %d: %w", version+i+1, err)
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO parts (name, version) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version`, part, len(steps))
		return err
	})
	if err != nil {
		return fmt.Errorf("preparing the database for %s: %w", part, err)
	}
	return nil
}
