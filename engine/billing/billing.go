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
	// killed has not yet written down is less than this much.
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
	Began       time.Time   // when the app was started
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
	posted map[string]posted // by app
	last   []Bill            // last bills of apps, which could not be written down yet
}

// posted is what was written down of an app.
type posted struct {
	until time.Time
	usage map[item]api.Usage
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
	return &Book{cfg: cfg, posted: map[string]posted{}}, nil
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
	if err := b.settle(ctx); err != nil {
		return err
	}
	return b.post(ctx, b.cfg.Running())
}

// Close writes down an app's last bill, or has it written down with the next
// ones if that cannot be done now. Nothing more will be posted of it, until it is
// started again, with a bill that begins at nothing.
func (b *Book) Close(ctx context.Context, last Bill) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = append(b.last, last)
	return b.settle(ctx)
}

// settle writes down last bills. mu is held.
func (b *Book) settle(ctx context.Context) error {
	for len(b.last) > 0 {
		if err := b.post(ctx, b.last[:1]); err != nil {
			return err
		}
		delete(b.posted, b.last[0].App)
		b.last = b.last[1:]
	}
	return nil
}

// post writes down by how much bills have grown. mu is held.
func (b *Book) post(ctx context.Context, bills []Bill) error {
	now := b.cfg.Clock.Now()
	if len(bills) == 0 {
		return nil
	}
	grown := make([][]api.Usage, len(bills))
	for i, bill := range bills {
		before := b.posted[bill.App].usage
		for _, u := range bill.Usage {
			if g := growth(before[item{u.Function, u.GPU, u.GPUs}], u); g.Containers > 0 || g.Inputs > 0 || g.Seconds > 0 {
				grown[i] = append(grown[i], g)
			}
		}
	}
	err := b.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		for i, bill := range bills {
			parts := split(b.since(bill), now)
			for _, u := range grown[i] {
				for _, p := range parts {
					if err := add(ctx, tx, p.hour.Unix(), bill, p.of(u)); err != nil {
						return err
					}
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
		b.posted[bill.App] = posted{until: now, usage: after}
	}
	return nil
}

// since is when a bill was posted last.
func (b *Book) since(bill Bill) time.Time {
	if p := b.posted[bill.App]; !p.until.IsZero() {
		return p.until
	}
	return bill.Began
}

// part is what of a time belongs to one hour.
type part struct {
	hour  time.Time
	share float64
	most  bool // no other part is larger
}

// split divides the time between two moments by hours. Posts are a minute apart
// at most, and one falls on the end of each hour: there are two parts where a
// busy host is late, or where an app began and ended between two posts.
func split(from, to time.Time) []part {
	hour := from.Truncate(time.Hour)
	if from.IsZero() || !from.Before(to) || to.Sub(from) > keep {
		return []part{{hour: to.Add(-1).Truncate(time.Hour), share: 1, most: true}} // it was used before
	}
	var parts []part
	most := 0
	for ; hour.Before(to); hour = hour.Add(time.Hour) {
		begin, end := hour, hour.Add(time.Hour)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		parts = append(parts, part{hour: hour, share: float64(end.Sub(begin)) / float64(to.Sub(from))})
		if parts[len(parts)-1].share > parts[most].share {
			most = len(parts) - 1
		}
	}
	parts[most].most = true
	return parts
}

// of is the part of what was used: as much of the seconds as it has of the time;
// what is counted is in one.
func (p part) of(u api.Usage) api.Usage {
	u.Seconds *= p.share
	u.Cost *= p.share
	if !p.most {
		u.Containers, u.Inputs, u.Failed = 0, 0, 0
	}
	return u
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
