// Package spawned keeps spawned calls where the end of the host does not reach
// them: what was asked, each input until it has its answer, and the answers for
// a while. It knows database rows, files and bytes; which calls are to be kept,
// and who does what they ask for, it does not.
//
// # What is where
//
// A call is a row, and each of its inputs is one. A payload of up to inlineMax
// bytes is in the row; a larger one is a file, DIR/CALL/INDEX.in or .out, which
// is on the disk before the row is written. Rows are written by one goroutine,
// as many as wait with one commit; see package store for what a commit
// survives.
//
// # What a kill at any moment leaves
//
// A caller is told a call's id when all of its rows are committed, so a call
// that somebody knows the id of is there. A call without its last row was never
// acknowledged, and is forgotten by Open. An input that has no answer was not
// answered to anybody, because who waits for an answer is told once it is
// committed; it is done again, so what it does may be done twice, but its answer
// is there once. Files without a row are removed by Open.
package spawned

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

// Limits of what is kept.
const (
	inlineMax  = 64 << 10            // bytes of a payload in the database
	rowSize    = 256                 // bytes that an input is counted with, beside its payload
	maxPending = 64 << 20            // bytes that wait to be written, before who brings more waits too
	maxGroup   = 500                 // changes in one commit
	remember   = 30 * 24 * time.Hour // that a call's results were dropped
)

const schema = `
CREATE TABLE spawned (
	number      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	id          TEXT NOT NULL UNIQUE,
	environment TEXT NOT NULL,
	app         TEXT NOT NULL,
	function    TEXT NOT NULL,
	module      TEXT NOT NULL,
	open        BLOB NOT NULL,               -- wire.OpenBody as JSON
	scheduled   INTEGER NOT NULL,            -- a tick of a schedule made it
	created     REAL NOT NULL,               -- seconds since 1970, as all times
	inputs      INTEGER,                     -- NULL = more may come
	answered    INTEGER NOT NULL DEFAULT 0,
	failed      INTEGER NOT NULL DEFAULT 0,
	hosts       INTEGER NOT NULL DEFAULT 0,  -- that have ended while it was not done
	finished    REAL,
	dropped     INTEGER NOT NULL DEFAULT 0,  -- its answers are not kept any more
	bytes       INTEGER NOT NULL DEFAULT 0   -- that it is counted with
) STRICT;
CREATE INDEX spawned_finished ON spawned (finished);
CREATE TABLE spawned_inputs (
	key     INTEGER PRIMARY KEY, -- number of the call << 32 | index in it
	kind    INTEGER,             -- wire.Type of the answer; NULL = it has none
	size    INTEGER NOT NULL,    -- bytes of the payload, then of the answer
	payload BLOB                 -- the same; NULL = in a file
) STRICT;
`

// Errors that callers tell apart.
var (
	ErrFull   = errors.New("the host keeps as many bytes of spawned calls as it may")
	ErrExists = errors.New("there is a spawned call of this id already")
	errClosed = errors.New("the host is ending")
	errNoRow  = errors.New("the call itself could not be written")
)

// Config is what a Ledger is made of.
type Config struct {
	DB     *store.DB
	Dir    string // of its files; nobody else's
	Clock  clock.Clock
	Budget int64         // bytes of inputs and answers together
	Keep   time.Duration // how long answers are kept after the call's end
	Log    *slog.Logger
	// Vault encrypts how a call was opened, where that has values of secrets.
	Vault Vault
	// Ended is told, within the transaction that says so, that a call which a
	// schedule made has ended.
	Ended func(tx *sql.Tx, e Ended) error
}

// Ended is how a scheduled call has ended.
type Ended struct {
	ID      string
	At      time.Time
	Failure string // what the input failed of; "" = it did not
}

// Vault encrypts what must not be kept in the clear; label names what it is.
type Vault interface {
	Seal(label string, data []byte) ([]byte, error)
	Open(label string, sealed []byte) ([]byte, error)
}

// Ledger keeps spawned calls. It is safe for concurrent use.
type Ledger struct {
	cfg        Config
	statements map[string]*sql.Stmt
	writer     sync.WaitGroup

	mu      sync.Mutex
	room    sync.Cond // pending got shorter
	pending []change
	held    int64         // bytes in pending
	wake    chan struct{} // room for one
	closed  bool
	bytes   int64 // of all calls
	waiting int64 // of those, of calls that have not ended
}

// change is one thing to write.
type change struct {
	apply func(*batch) error
	then  func(error) // may be nil
	size  int64
}

// Open opens the ledger, and forgets what was never acknowledged.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	l := &Ledger{cfg: cfg, statements: map[string]*sql.Stmt{}, wake: make(chan struct{}, 1)}
	l.room.L = &l.mu
	if err := cfg.DB.Migrate(ctx, "spawned calls", schema); err != nil {
		return nil, err
	}
	err := cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec(`DELETE FROM spawned_inputs WHERE key >> 32 IN (SELECT number FROM spawned WHERE inputs IS NULL)`); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM spawned WHERE inputs IS NULL`); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE spawned SET hosts = hosts + 1 WHERE finished IS NULL`); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT coalesce(sum(bytes), 0), coalesce(sum(CASE WHEN finished IS NULL THEN bytes END), 0) FROM spawned`).Scan(&l.bytes, &l.waiting)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the spawned calls: %w", err)
	}
	if err := l.sweep(ctx); err != nil {
		return nil, err
	}
	for _, query := range []string{insertCall, insertInput, completeCall, updateCall, countInputs, selectSize, updateInput} {
		if l.statements[query], err = cfg.DB.Prepare(ctx, query); err != nil {
			l.release()
			return nil, fmt.Errorf("preparing for spawned calls: %w", err)
		}
	}
	l.writer.Go(l.write)
	return l, nil
}

func (l *Ledger) release() {
	for _, s := range l.statements {
		_ = s.Close()
	}
}

// sweep removes the folders of calls that are not there.
func (l *Ledger) sweep(ctx context.Context) error {
	if err := os.MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the folder for spawned calls: %w", err)
	}
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return fmt.Errorf("reading the folder of spawned calls: %w", err)
	}
	for _, e := range entries {
		var there bool
		err := l.cfg.DB.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM spawned WHERE id = ? AND NOT dropped)`, e.Name()).Scan(&there)
		if err == nil && !there {
			err = os.RemoveAll(filepath.Join(l.cfg.Dir, e.Name()))
		}
		if err != nil {
			return fmt.Errorf("looking at the files of spawned call %s: %w", e.Name(), err)
		}
	}
	return nil
}

// Close writes what waits and ends the ledger.
func (l *Ledger) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.knock()
	l.writer.Wait()
	l.release()
}

// Usage is how many bytes the calls are counted with.
func (l *Ledger) Usage() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

func (l *Ledger) now() float64 { return store.Seconds(l.cfg.Clock.Now()) }

// push has a change written, after those that were pushed before. With wait it
// waits while too much is pending; then, which runs in the writer, must not.
func (l *Ledger) push(c change, wait bool) {
	l.mu.Lock()
	for wait && l.held > maxPending && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		if c.then != nil {
			c.then(errClosed)
		}
		return
	}
	l.pending = append(l.pending, c)
	l.held += c.size
	l.mu.Unlock()
	l.knock()
}

func (l *Ledger) knock() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// count changes what the calls are counted with.
func (l *Ledger) count(all, waiting int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes += all
	l.waiting += waiting
}

// write is the writer.
func (l *Ledger) write() {
	for range l.wake {
		for {
			l.mu.Lock()
			group := l.pending[:min(len(l.pending), maxGroup)]
			if len(group) == 0 {
				l.pending = nil
				closed := l.closed
				l.mu.Unlock()
				if closed {
					return
				}
				break
			}
			l.pending = l.pending[len(group):]
			for _, c := range group {
				l.held -= c.size
			}
			l.room.Broadcast()
			l.mu.Unlock()
			l.commit(group)
			clear(group)
		}
	}
}

// commit writes a group, or if that fails each of it by itself.
func (l *Ledger) commit(group []change) {
	err := l.apply(group)
	if err != nil && len(group) > 1 {
		for i := range group {
			l.commit(group[i : i+1])
		}
		return
	}
	if err != nil {
		l.cfg.Log.Error("a spawned call cannot be kept", "error", err)
	}
	for _, c := range group {
		if c.then != nil {
			c.then(err)
		}
	}
}

func (l *Ledger) apply(group []change) error {
	return l.cfg.DB.Update(context.Background(), func(tx *sql.Tx) error {
		b := &batch{tx: tx, prepared: l.statements}
		for _, c := range group {
			if err := c.apply(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// batch is a transaction with the ledger's statements.
type batch struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

func (b *batch) exec(query string, args ...any) (err error) {
	if s := b.prepared[query]; s != nil {
		_, err = b.tx.Stmt(s).ExecContext(context.Background(), args...)
	} else {
		_, err = b.tx.Exec(query, args...)
	}
	return err
}

// query reads one row.
func (b *batch) query(query string, args []any, into ...any) error {
	if s := b.prepared[query]; s != nil {
		return b.tx.Stmt(s).QueryRowContext(context.Background(), args...).Scan(into...)
	}
	return b.tx.QueryRow(query, args...).Scan(into...)
}
