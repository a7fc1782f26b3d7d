// Package billing keeps what apps have used and what that costs, by the hour,
// also after they have ended. It is told totals and writes down what they have
// grown by. It knows nothing of meters and containers.
package billing

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

const (
	// postEvery is how often running apps are posted: what a host that is
	// killed has not yet written down is less than this much. An hour is a
	// multiple of it, so that nothing that is posted belongs to two hours.
	postEvery = time.Minute
	// keep is how long it is kept.
	keep = 400 * 24 * time.Hour
)

const schema = `
CREATE TABLE billing (
	hour        INTEGER NOT NULL, -- its beginning, seconds since 1970
	environment TEXT NOT NULL,    -- by name: a bill outlives its environment
	app         TEXT NOT NULL,    -- id
	app_name    TEXT NOT NULL,
	function    TEXT NOT NULL,
	gpu         TEXT NOT NULL,    -- name of the card; '' = none
	gpus        INTEGER NOT NULL,
	emulated    INTEGER NOT NULL,
	containers  INTEGER NOT NULL, -- that began
	inputs      INTEGER NOT NULL,
	failed      INTEGER NOT NULL,
	seconds     REAL NOT NULL,    -- of containers
	cost        REAL NOT NULL,    -- US dollars
	PRIMARY KEY (hour, app, function, gpu, gpus)
) STRICT, WITHOUT ROWID;
`

// Bill is what an app has used since it was started.
type Bill struct {
	Environment string // name
	App         string // id
	Name        string
	Usage       []api.Usage // by function and kind of card
}

// Config is what a Book is made of.
type Config struct {
	DB    *store.DB
	Clock clock.Clock
	// Running is the bills of the apps that run now.
	Running func() []Bill
	Log     *slog.Logger
}

// Book keeps the bills. It is safe for concurrent use.
type Book struct {
	cfg Config

	mu     sync.Mutex
	posted map[string]map[item]api.Usage // by app: what was written down of it
}

// item is what a line of a bill is about.
type item struct {
	function, gpu string
	gpus          int
}

// Open opens the book in the host's database.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	if err := cfg.DB.Migrate(ctx, "billing", schema); err != nil {
		return nil, err
	}
	return &Book{cfg: cfg, posted: map[string]map[item]api.Usage{}}, nil
}

// Tend posts what runs every minute, until ctx ends.
func (b *Book) Tend(ctx context.Context) {
	due := make(chan struct{}, 1)
	timer := b.cfg.Clock.AfterFunc(b.untilNext(), func() {
		select {
		case due <- struct{}{}:
		default:
		}
	})
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
			if err := b.PostRunning(ctx); err != nil && ctx.Err() == nil {
				b.cfg.Log.Error("what apps cost is not written down", "error", err)
			}
			timer.Reset(b.untilNext())
		}
	}
}

// untilNext is how long it is until the next full minute.
func (b *Book) untilNext() time.Duration {
	now := b.cfg.Clock.Now()
	return now.Truncate(postEvery).Add(postEvery).Sub(now)
}

// PostRunning writes down what the running apps have used until now, and
// forgets what is too old.
func (b *Book) PostRunning(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.post(ctx, b.cfg.Running())
}

// Close writes down an app's last bill. Nothing more will be posted of it.
func (b *Book) Close(ctx context.Context, last Bill) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.post(ctx, []Bill{last})
	delete(b.posted, last.App)
	return err
}

// post writes down by how much bills have grown. mu is held.
func (b *Book) post(ctx context.Context, bills []Bill) error {
	now := b.cfg.Clock.Now()
	// Posts are a minute apart at most, and one falls on the end of each hour:
	// what has grown since the last one did so in one hour, but for the moment
	// that a busy host is late.
	hour := now.Add(-postEvery / 2).Truncate(time.Hour).Unix()
	if len(bills) == 0 {
		return nil
	}
	grown := make([][]api.Usage, len(bills))
	for i, bill := range bills {
		before := b.posted[bill.App]
		for _, u := range bill.Usage {
			if g := growth(before[item{u.Function, u.GPU, u.GPUs}], u); g.Containers > 0 || g.Inputs > 0 || g.Seconds > 0 {
				grown[i] = append(grown[i], g)
			}
		}
	}
	err := b.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		for i, bill := range bills {
			for _, u := range grown[i] {
				if err := add(ctx, tx, hour, bill, u); err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM billing WHERE hour < ?`, now.Add(-keep).Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("writing down what apps have used: %w", err)
	}
	for _, bill := range bills {
		after := map[item]api.Usage{}
		for _, u := range bill.Usage {
			after[item{u.Function, u.GPU, u.GPUs}] = u
		}
		b.posted[bill.App] = after
	}
	return nil
}

func add(ctx context.Context, tx *sql.Tx, hour int64, bill Bill, u api.Usage) error {
	_, err := tx.ExecContext(ctx, `
INSERT INTO billing (hour, environment, app, app_name, function, gpu, gpus, emulated, containers, inputs, failed, seconds, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (hour, app, function, gpu, gpus) DO UPDATE SET
	containers = containers + excluded.containers, inputs = inputs + excluded.inputs, failed = failed + excluded.failed,
	seconds = seconds + excluded.seconds, cost = cost + excluded.cost`,
		hour, bill.Environment, bill.App, bill.Name, u.Function, u.GPU, u.GPUs, u.Emulated, u.Containers, u.Inputs, u.Failed, u.Seconds, u.Cost)
	return err
}

// growth is what came since before.
func growth(before, after api.Usage) api.Usage {
	g := after
	g.Containers = max(0, after.Containers-before.Containers)
	g.Inputs = max(0, after.Inputs-before.Inputs)
	g.Failed = max(0, after.Failed-before.Failed)
	g.Seconds = max(0, after.Seconds-before.Seconds)
	g.Cost = max(0, after.Cost-before.Cost)
	return g
}
