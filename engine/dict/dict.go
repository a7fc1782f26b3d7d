// Package dict keeps dictionaries that functions share: opaque keys and values,
// in the host's database. A change is committed before it is answered, so a
// host that is killed loses none that was. An entry that nobody has read or
// written for a while is gone.
package dict

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/named"
	"github.com/gx-dev/gx/engine/store"
)

// Limits.
const (
	MaxKey   = 64 << 10 // bytes of one key
	MaxValue = 60 << 20 // bytes of one value
	MaxBatch = 10_000   // entries of one update
	pageSize = 8 << 20  // bytes of one page of entries, unless the first alone is larger
	pageRows = 1000
)

// DefaultTTL is how long an entry is kept after its last use.
const DefaultTTL = 7 * 24 * time.Hour

// grains is in how many steps the time to live is counted: a use is written
// only if it prolongs an entry's life by a step, so that reading writes rarely.
const grains = 168

// sweepBatch is how many entries one step of the sweep deletes.
const sweepBatch = 1000

const schema = `
CREATE TABLE dict_entries (
	entry   INTEGER PRIMARY KEY,
	dict    INTEGER NOT NULL REFERENCES named (key) ON DELETE CASCADE,
	key     BLOB NOT NULL,
	value   BLOB NOT NULL,
	expires INTEGER NOT NULL, -- milliseconds since 1970
	UNIQUE (dict, key)
) STRICT;
CREATE INDEX dict_entries_expiry ON dict_entries (dict, expires);
`

// Config is what a Service is made of.
type Config struct {
	DB           *store.DB
	Clock        clock.Clock
	Environments named.Environments
	NewID        func(prefix string) string
	TTL          time.Duration // 0 = DefaultTTL; negative = entries stay
	Log          *slog.Logger
}

// Service answers what is asked of dicts. It implements ask.Service.
type Service struct {
	*named.Directory
	db    *store.DB
	clock clock.Clock
	ttl   time.Duration
	grain time.Duration
	log   *slog.Logger

	// What is done most, prepared: parsing costs as much as the doing.
	value, presence *sql.Stmt
	put, putIfNone  *sql.Stmt

	tending sync.WaitGroup // sweeps
	life    context.Context
	end     context.CancelFunc
	timer   clock.Timer
}

// Open opens the dicts of a host. Close it before the database.
func Open(ctx context.Context, c Config) (*Service, error) {
	directory, err := named.Open(ctx, named.Config{DB: c.DB, Clock: c.Clock, Environments: c.Environments, Kind: "dict", Prefix: "di", NewID: c.NewID})
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "dicts", schema); err != nil {
		return nil, err
	}
	if err := directory.Sweep(ctx); err != nil {
		return nil, err
	}
	s := &Service{Directory: directory, db: c.DB, clock: c.Clock, ttl: c.TTL, log: c.Log}
	if s.ttl == 0 {
		s.ttl = DefaultTTL
	}
	s.grain = max(s.ttl/grains, time.Millisecond)
	for statement, column := range map[**sql.Stmt]string{&s.value: `value`, &s.presence: `x''`} {
		*statement, err = s.db.Read().PrepareContext(ctx, `SELECT entry, `+column+`, expires FROM dict_entries WHERE dict = ? AND key = ? AND expires > ?`)
		if err != nil {
			return nil, fmt.Errorf("preparing to read dicts: %w", err)
		}
	}
	const put = `INSERT INTO dict_entries (dict, key, value, expires) SELECT key, ?2, ?3, ?4 FROM named WHERE key = ?1
		ON CONFLICT (dict, key) DO UPDATE SET value = excluded.value, expires = excluded.expires`
	for statement, condition := range map[**sql.Stmt]string{&s.put: ``, &s.putIfNone: ` WHERE expires <= ?5`} {
		if *statement, err = s.db.Prepare(ctx, put+condition); err != nil {
			return nil, fmt.Errorf("preparing to write dicts: %w", err)
		}
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.ttl > 0 {
		s.timer = s.clock.AfterFunc(s.grain, s.sweep)
	}
	return s, nil
}

// Close ends what the service does by itself.
func (s *Service) Close() {
	s.end()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.tending.Wait()
	_ = s.value.Close()
	_ = s.presence.Close()
	_ = s.put.Close()
	_ = s.putIfNone.Close()
}

// forever is the end of what does not expire.
const forever = 1<<63 - 1

// now and the end of an entry that is used now: a whole number of grains, at
// least the time to live from now.
func (s *Service) times() (now, expires int64) {
	now = s.clock.Now().UnixMilli()
	if s.ttl < 0 {
		return now, forever
	}
	grain := s.grain.Milliseconds()
	return now, (now + s.ttl.Milliseconds() + grain - 1) / grain * grain
}

// sweep deletes what has expired, a part at a time so that others get to write.
func (s *Service) sweep() {
	s.tending.Go(func() {
		now, _ := s.times()
		for s.life.Err() == nil {
			var deleted int64
			err := s.db.Update(s.life, func(tx *sql.Tx) error {
				r, err := tx.Exec(`DELETE FROM dict_entries WHERE entry IN (
					SELECT entry FROM named CROSS JOIN dict_entries ON dict = named.key AND expires <= ? WHERE kind = 'dict' LIMIT ?)`, now, sweepBatch)
				if err == nil {
					deleted, err = r.RowsAffected()
				}
				return err
			})
			if err != nil && s.life.Err() == nil {
				s.log.Warn("deleting expired entries of dicts", "error", err)
			}
			if err != nil || deleted < sweepBatch {
				break
			}
		}
		if s.life.Err() == nil {
			s.timer.Reset(s.grain)
		}
	})
}

// Entry is a key with its value.
type Entry struct {
	Key, Value []byte
}

// check refuses what is too large.
func check(entries []Entry) error {
	if len(entries) > MaxBatch {
		return ask.TooLarge("one update of a dict has at most %d entries, this has %d", MaxBatch, len(entries))
	}
	for _, e := range entries {
		if err := checkKey(e.Key); err != nil {
			return err
		}
		if len(e.Value) > MaxValue {
			return ask.TooLarge("a value of a dict has at most %d bytes when pickled, this has %d: large data belongs into a volume", MaxValue, len(e.Value))
		}
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) > MaxKey {
		return ask.TooLarge("a key of a dict has at most %d bytes when pickled, this has %d", MaxKey, len(key))
	}
	return nil
}

// Put sets entries, all or none. With skip, those whose key is there stay as
// they are. It returns how many were set.
func (s *Service) Put(ctx context.Context, id string, entries []Entry, skip bool) (set int, err error) {
	if err := check(entries); err != nil {
		return 0, err
	}
	o, err := s.ByID(ctx, id)
	if err != nil {
		return 0, err
	}
	now, expires := s.times()
	statement := s.put
	if skip {
		statement = s.putIfNone
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		set = 0
		for _, e := range entries {
			args := []any{o.Key, bytes(e.Key), bytes(e.Value), expires}
			if skip {
				args = append(args, now)
			}
			r, err := tx.Stmt(statement).ExecContext(context.WithoutCancel(ctx), args...)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			set += int(n)
		}
		if set == 0 && len(entries) > 0 { // all were there, or the dict is not
			return s.exists(tx, o)
		}
		return nil
	})
	return set, s.failed("writing", o, err)
}

// bytes are never NULL.
func bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// exists is nil if a dict is there.
func (s *Service) exists(tx *sql.Tx, o named.Object) error {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM named WHERE key = ?`, o.Key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return s.Deleted(o.ID)
	}
	return err
}

func (s *Service) failed(doing string, o named.Object, err error) error {
	if err == nil || ask.Kind(err) != ask.KindInternal {
		return err
	}
	return fmt.Errorf("%s dict %s: %w", doing, o.ID, err)
}

// Value is what a key has; false = there is no such key. With value false only
// whether it is there is looked up.
func (s *Service) Value(ctx context.Context, id string, key []byte, value bool) ([]byte, bool, error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	o, err := s.ByID(ctx, id)
	if err != nil {
		return nil, false, err
	}
	statement := s.presence
	if value {
		statement = s.value
	}
	now, later := s.times()
	var v []byte
	var entry, expires int64
	err = statement.QueryRowContext(ctx, o.Key, bytes(key), now).Scan(&entry, &v, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil && expires < later {
		err = s.db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE dict_entries SET expires = ? WHERE entry = ? AND expires < ?`, later, entry, later)
			return err
		})
	}
	if err != nil {
		return nil, false, s.failed("reading", o, err)
	}
	return v, true, nil
}

// Pop deletes a key and returns its value; false = there is no such key.
func (s *Service) Pop(ctx context.Context, id string, key []byte) (value []byte, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	o, err := s.ByID(ctx, id)
	if err != nil {
		return nil, false, err
	}
	now, _ := s.times()
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		var expires int64
		err := tx.QueryRow(`DELETE FROM dict_entries WHERE dict = ? AND key = ? RETURNING value, expires`, o.Key, bytes(key)).Scan(&value, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found = err == nil && expires > now
		return err
	})
	if err != nil || !found {
		return nil, false, s.failed("writing", o, err)
	}
	return value, true, nil
}

// Len is how many entries there are.
func (s *Service) Len(ctx context.Context, id string) (n int, err error) {
	o, err := s.ByID(ctx, id)
	if err != nil {
		return 0, err
	}
	now, _ := s.times()
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM dict_entries WHERE dict = ? AND expires > ?`, o.Key, now).Scan(&n)
	return n, s.failed("reading", o, err)
}

// Clear deletes all entries.
func (s *Service) Clear(ctx context.Context, id string) error {
	o, err := s.ByID(ctx, id)
	if err != nil {
		return err
	}
	return s.failed("clearing", o, s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM dict_entries WHERE dict = ?`, o.Key)
		return err
	}))
}

// Page is a part of a dict.
type Page struct {
	Entries []Entry
	More    bool // there are entries behind the last
}

// Page reads entries in the order of their keys' bytes: those behind a key, or
// from the beginning if after is nil. A dict that changes meanwhile may have
// its changes in later pages. Values are left out if keys are all that is wanted.
func (s *Service) Page(ctx context.Context, id string, after []byte, values bool) (page Page, err error) {
	o, err := s.ByID(ctx, id)
	if err != nil {
		return page, err
	}
	column := `x''`
	if values {
		column = `value`
	}
	now, _ := s.times()
	where := ``
	args := []any{o.Key, now}
	if after != nil {
		where, args = ` AND key > ?`, append(args, after)
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT key, `+column+` FROM dict_entries INDEXED BY sqlite_autoindex_dict_entries_1
		WHERE dict = ? AND expires > ?`+where+` ORDER BY key`, args...)
	if err != nil {
		return page, s.failed("reading", o, err)
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		var e Entry
		if err := rows.Scan(&e.Key, &e.Value); err != nil {
			return page, s.failed("reading", o, err)
		}
		size += len(e.Key) + len(e.Value)
		if n := len(page.Entries); n > 0 && (size > pageSize || n == pageRows) {
			page.More = true
			break
		}
		page.Entries = append(page.Entries, e)
	}
	return page, s.failed("reading", o, rows.Err())
}
