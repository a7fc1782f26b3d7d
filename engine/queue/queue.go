// Package queue keeps queues that functions share: opaque items, in the host's
// database, in partitions that are first in, first out each by itself. What was
// answered is committed, so a host that is killed loses no item that it has
// taken, and gives none twice that it has given.
//
// Each partition that is in use has a line of those who put and those who get
// (see partition). Whatever waits in a line at one moment is done in one update
// of the database, and updates of several partitions share a commit.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/named"
	"github.com/gx-dev/gx/engine/store"
)

// Limits.
const (
	MaxItem       = 1 << 20 // bytes of one item
	MaxItems      = 5000    // in one partition
	MaxName       = 64      // bytes of a partition's name
	MaxPartitions = 100_000 // of one queue
	MaxTTL        = 7 * 24 * time.Hour
	maxAnswer     = 32 << 20 // bytes of the items of one answer, unless the first alone is larger
)

// DefaultTTL is how long a partition is kept after the last put.
const DefaultTTL = 24 * time.Hour

// sweepEvery is how often partitions are looked for that have expired.
const sweepEvery = time.Minute

const schema = `
CREATE TABLE queue_partitions (
	id      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	queue   INTEGER NOT NULL REFERENCES named (key) ON DELETE CASCADE,
	name    TEXT NOT NULL,     -- '' = that of those who name none
	next    INTEGER NOT NULL,  -- number of the next item
	expires INTEGER NOT NULL,  -- milliseconds since 1970
	UNIQUE (queue, name)
) STRICT;
CREATE INDEX queue_partitions_expiry ON queue_partitions (expires);
CREATE TABLE queue_items (
	partition INTEGER NOT NULL REFERENCES queue_partitions (id) ON DELETE CASCADE,
	number    INTEGER NOT NULL,
	value     BLOB NOT NULL,
	PRIMARY KEY (partition, number)
) STRICT, WITHOUT ROWID;
`

// Config is what a Service is made of.
type Config struct {
	DB           *store.DB
	Clock        clock.Clock
	Environments named.Environments
	NewID        func(prefix string) string
	Log          *slog.Logger
}

// Service answers what is asked of queues. It implements ask.Service.
type Service struct {
	*named.Directory
	db    *store.DB
	clock clock.Clock
	log   *slog.Logger

	// What is done most, prepared: parsing costs as much as the doing.
	insert, prolong, oldest, delete *sql.Stmt

	tending sync.WaitGroup // those who lead a line, sweeps
	life    context.Context
	end     context.CancelFunc
	timer   clock.Timer

	mu         sync.Mutex // guards all lines
	closed     bool
	partitions map[place]*partition // those in use
}

// place is where a partition is.
type place struct {
	queue int64
	name  string
}

// Open opens the queues of a host. Close it before the database.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{db: c.DB, clock: c.Clock, log: c.Log, partitions: map[place]*partition{}}
	var err error
	s.Directory, err = named.Open(ctx, named.Config{DB: c.DB, Clock: c.Clock, Environments: c.Environments, Kind: "queue", Prefix: "qu", NewID: c.NewID, Gone: s.gone})
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "queues", schema); err != nil {
		return nil, err
	}
	if err := s.Sweep(ctx); err != nil {
		return nil, err
	}
	for statement, text := range map[**sql.Stmt]string{
		&s.insert:  `INSERT INTO queue_items (partition, number, value) VALUES (?, ?, ?)`,
		&s.prolong: `UPDATE queue_partitions SET next = ?, expires = ? WHERE id = ?`,
		&s.oldest:  `SELECT number, value FROM queue_items WHERE partition = ? AND number >= ? ORDER BY number LIMIT ?`,
		&s.delete:  `DELETE FROM queue_items WHERE partition = ? AND number < ?`,
	} {
		if *statement, err = s.db.Prepare(ctx, text); err != nil {
			return nil, fmt.Errorf("preparing to write queues: %w", err)
		}
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.timer = s.clock.AfterFunc(sweepEvery, s.sweep)
	return s, nil
}

// Close lets what is being written be written, and refuses the rest.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	for _, p := range s.partitions {
		p.fail(errClosed)
	}
	s.mu.Unlock()
	s.end()
	s.timer.Stop()
	s.tending.Wait()
	for _, statement := range []*sql.Stmt{s.insert, s.prolong, s.oldest, s.delete} {
		_ = statement.Close()
	}
}

var errClosed = errors.New("the host is ending")

// gone ends the waiting for a queue that was deleted.
func (s *Service) gone(queue int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, p := range s.partitions {
		if at.queue == queue {
			p.fail(errGone)
			p.stale = true
			p.release() // what it holds is no reason to know of it any more
		}
	}
}

// errGone is the error of what waits in a queue that is deleted.
var errGone = ask.NotFound("the queue was deleted meanwhile")

// sweep deletes partitions that have expired, each by its own line.
func (s *Service) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.tending.Go(func() {
		if err := s.expire(); err != nil && s.life.Err() == nil {
			s.log.Warn("deleting expired partitions of queues", "error", err)
		}
		if s.life.Err() == nil {
			s.timer.Reset(sweepEvery)
		}
	})
}

func (s *Service) expire() error {
	rows, err := s.db.Read().QueryContext(s.life, `SELECT queue, name FROM queue_partitions WHERE expires <= ?`, s.clock.Now().UnixMilli())
	if err != nil {
		return err
	}
	defer rows.Close()
	var expired []place
	for rows.Next() {
		var at place
		if err := rows.Scan(&at.queue, &at.name); err != nil {
			return err
		}
		expired = append(expired, at)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return s.each(s.life, expired, func() *request { return &request{kind: clearing, expired: true} })
}

// each has the same done in several partitions, many at once so that they share commits.
func (s *Service) each(ctx context.Context, places []place, what func() *request) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(256)
	for _, at := range places {
		group.Go(func() error {
			if err := s.do(ctx, at, what()); !errors.Is(err, errGone) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// Partition names a part of a queue.
type Partition struct {
	Queue string // id
	Name  string // "" = that of those who name none
}

// find is the place of a partition.
func (s *Service) find(ctx context.Context, p Partition) (place, error) {
	if len(p.Name) > MaxName {
		return place{}, ask.Refused("the name of a partition has at most %d bytes, this has %d", MaxName, len(p.Name))
	}
	o, err := s.ByID(ctx, p.Queue)
	return place{o.Key, p.Name}, err
}

// Put adds items to the end of a partition, all or none. While there is no room
// for them it waits, for at most timeout (nil = for as long as ctx lasts; 0 = not
// at all), behind those who came before. The error is ask.Full then. The
// partition expires ttl after its last put.
func (s *Service) Put(ctx context.Context, p Partition, items [][]byte, ttl time.Duration, timeout *time.Duration) error {
	if ttl <= 0 || ttl > MaxTTL {
		return ask.Refused("partition_ttl is more than 0 and at most %d seconds", int(MaxTTL.Seconds()))
	}
	if len(items) > MaxItems {
		return ask.TooLarge("a partition of a queue has at most %d items, and %d are to be put at once", MaxItems, len(items))
	}
	for _, item := range items {
		if len(item) > MaxItem {
			return ask.TooLarge("an item of a queue has at most %d bytes when pickled, this has %d: put the name of a file in a volume instead", MaxItem, len(item))
		}
	}
	at, err := s.find(ctx, p)
	if err != nil || len(items) == 0 {
		return err
	}
	return s.do(ctx, at, &request{kind: putting, items: items, ttl: ttl, timeout: timeout})
}

// Get takes up to n items from the front of a partition. While there is none it
// waits as Put does; the error is ask.Empty then.
func (s *Service) Get(ctx context.Context, p Partition, n int, timeout *time.Duration) ([][]byte, error) {
	if n < 1 {
		return nil, ask.Refused("at least one item has to be asked for, not %d", n)
	}
	at, err := s.find(ctx, p)
	if err != nil {
		return nil, err
	}
	r := &request{kind: getting, want: min(n, MaxItems), timeout: timeout}
	err = s.do(ctx, at, r)
	return r.items, err
}

// Clear deletes the items of a partition, or of all.
func (s *Service) Clear(ctx context.Context, p Partition, all bool) error {
	at, err := s.find(ctx, p)
	if err != nil {
		return err
	}
	if !all {
		return s.do(ctx, at, &request{kind: clearing})
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT name FROM queue_partitions WHERE queue = ?`, at.queue)
	if err != nil {
		return fmt.Errorf("clearing queue %s: %w", p.Queue, err)
	}
	defer rows.Close()
	var places []place
	for rows.Next() {
		at := place{queue: at.queue}
		if err := rows.Scan(&at.name); err != nil {
			return fmt.Errorf("clearing queue %s: %w", p.Queue, err)
		}
		places = append(places, at)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("clearing queue %s: %w", p.Queue, err)
	}
	return s.each(ctx, places, func() *request { return &request{kind: clearing} })
}

// Len is how many items a partition has, or all together.
func (s *Service) Len(ctx context.Context, p Partition, total bool) (n int, err error) {
	at, err := s.find(ctx, p)
	if err != nil {
		return 0, err
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM queue_partitions JOIN queue_items ON partition = id
		WHERE queue = ? AND (? OR name = ?) AND expires > ?`, at.queue, total, at.name, s.clock.Now().UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting queue %s: %w", p.Queue, err)
	}
	return n, nil
}

// State is what a partition has.
type State struct {
	Name    string  `json:"name"`
	Items   int     `json:"items"`
	Expires float64 `json:"expires_at"` // seconds since 1970
}

// Partitions lists the partitions of a queue that have items, by name, up to max.
func (s *Service) Partitions(ctx context.Context, queue string, max int) ([]State, error) {
	at, err := s.find(ctx, Partition{Queue: queue})
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT name, count(*), expires / 1000.0 FROM queue_partitions JOIN queue_items ON partition = id
		WHERE queue = ? AND expires > ? GROUP BY id ORDER BY name LIMIT ?`, at.queue, s.clock.Now().UnixMilli(), max)
	if err != nil {
		return nil, fmt.Errorf("listing the partitions of queue %s: %w", queue, err)
	}
	defer rows.Close()
	list := []State{}
	for rows.Next() {
		var p State
		if err := rows.Scan(&p.Name, &p.Items, &p.Expires); err != nil {
			return nil, fmt.Errorf("listing the partitions of queue %s: %w", queue, err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Items is a part of a partition.
type Items struct {
	Values [][]byte
	Last   int64 // number of the last; what was asked for if there is none
}

// Peek reads items without taking them: up to n of those with a number above
// after, which is 0 at the beginning. While there is none it waits for the next
// put, for at most timeout (nil = as long as ctx lasts), and returns none then.
func (s *Service) Peek(ctx context.Context, p Partition, after int64, n int, timeout *time.Duration) (Items, error) {
	at, err := s.find(ctx, p)
	if err != nil {
		return Items{}, err
	}
	over, stop := s.expiry(timeout)
	defer stop()
	for {
		changed, leave := s.watch(at)
		items, err := s.read(ctx, at, after, n)
		if err != nil || len(items.Values) > 0 {
			leave()
			return items, err
		}
		select {
		case <-changed:
			leave()
			if _, err := s.ByID(ctx, p.Queue); err != nil {
				return Items{}, err
			}
		case <-over:
			leave()
			return items, nil
		case <-ctx.Done():
			leave()
			return items, ctx.Err()
		}
	}
}

// expiry is a channel that is closed when a time has passed, at once for 0 and never for nil.
func (s *Service) expiry(timeout *time.Duration) (over chan struct{}, stop func()) {
	over = make(chan struct{})
	if timeout == nil {
		return over, func() {}
	}
	if *timeout <= 0 {
		close(over)
		return over, func() {}
	}
	timer := s.clock.AfterFunc(*timeout, func() { close(over) })
	return over, func() { timer.Stop() }
}

func (s *Service) read(ctx context.Context, at place, after int64, n int) (Items, error) {
	items := Items{Last: after}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT number, value FROM queue_items
		WHERE partition = (SELECT id FROM queue_partitions WHERE queue = ? AND name = ? AND expires > ?) AND number > ? ORDER BY number LIMIT ?`,
		at.queue, at.name, s.clock.Now().UnixMilli(), after, min(max(n, 1), MaxItems))
	if err != nil {
		return items, fmt.Errorf("reading a queue: %w", err)
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		var value []byte
		var number int64
		if err := rows.Scan(&number, &value); err != nil {
			return items, fmt.Errorf("reading a queue: %w", err)
		}
		if size += len(value); size > maxAnswer && len(items.Values) > 0 {
			break
		}
		items.Values, items.Last = append(items.Values, value), number
	}
	return items, rows.Err()
}

// do has a request done by its partition's line. ctx is the asker's: if it ends
// before the request is done, the request is not done.
func (s *Service) do(ctx context.Context, at place, r *request) error {
	r.ctx, r.told = ctx, make(chan word, 2)
	// Its time begins before anybody can see it wait.
	var over chan struct{}
	if r.timeout != nil && *r.timeout > 0 {
		var stop func()
		over, stop = s.expiry(r.timeout)
		defer stop()
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	p := s.partition(at)
	lead := p.add(r)
	s.mu.Unlock()

	gone := ctx.Done()
	for {
		if lead {
			p.lead()
		}
		var why error
		select {
		case told := <-r.told:
			if !told.lead {
				return told.err
			}
			lead = true
			continue
		case <-over:
			why = r.failed()
		case <-gone:
			why = ctx.Err()
		}
		s.mu.Lock()
		left := p.leave(r)
		s.mu.Unlock()
		if left {
			return why
		}
		lead, over, gone = false, nil, nil // it is being done, which takes no longer than a commit
	}
}

// partition is the line at a place. mu is held.
func (s *Service) partition(at place) *partition {
	p := s.partitions[at]
	if p == nil || p.stale {
		p = &partition{service: s, at: at, changed: make(chan struct{})}
		s.partitions[at] = p
	}
	return p
}

// watch is a channel that is closed at the next put. leave says that it is not
// waited for any more.
func (s *Service) watch(at place) (changed <-chan struct{}, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partition(at)
	p.watchers++
	return p.changed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.watchers--
		p.release()
	}
}
