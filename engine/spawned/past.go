package spawned

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gx-dev/gx/engine/store"
)

// Errors of Find.
var (
	ErrUnknown = errors.New("no such spawned call is kept")
	ErrDropped = errors.New("the results of the spawned call are not kept any more")
)

// Call is a call as it is kept.
type Call struct {
	*Record
	Inputs   int64
	Done     int64 // inputs that have answers
	Failed   int64
	Hosts    int       // that have ended while it was not done
	Finished time.Time // zero = it is not done
}

const columns = `number, id, environment, app, function, module, open, scheduled, created, inputs, answered, failed, hosts, coalesce(finished, 0), bytes, dropped`

func (l *Ledger) scan(row interface{ Scan(...any) error }) (c Call, dropped bool, err error) {
	r := &Record{ledger: l, begun: true}
	m := &r.meta
	var open []byte
	var created, finished float64
	if err := row.Scan(&r.number, &m.ID, &m.Environment, &m.App, &m.Function, &m.Module, &open, &m.Scheduled, &created,
		&r.inputs, &c.Done, &c.Failed, &c.Hosts, &finished, &r.bytes, &dropped); err != nil {
		return c, false, err
	}
	if m.Open, err = l.decode(m.ID, open); err != nil {
		return c, false, fmt.Errorf("what spawned call %s asks for: %w", m.ID, err)
	}
	m.Created = store.Time(created)
	if finished > 0 {
		c.Finished = store.Time(finished)
	}
	c.Record, c.Inputs = r, r.inputs
	return c, dropped, nil
}

// Find finds a call by its id. The error is ErrUnknown, or ErrDropped.
func (l *Ledger) Find(ctx context.Context, id string) (Call, error) {
	c, dropped, err := l.scan(l.cfg.DB.Read().QueryRowContext(ctx, `SELECT `+columns+` FROM spawned WHERE id = ? AND inputs IS NOT NULL`, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, ErrUnknown
	case err != nil:
		return c, fmt.Errorf("looking for spawned call %s: %w", id, err)
	case dropped:
		return c, ErrDropped
	}
	return c, nil
}

// Unfinished lists the calls that are not done, the oldest first.
func (l *Ledger) Unfinished(ctx context.Context) ([]Call, error) {
	rows, err := l.cfg.DB.Read().QueryContext(ctx, `SELECT `+columns+` FROM spawned WHERE finished IS NULL AND inputs IS NOT NULL ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("listing the spawned calls: %w", err)
	}
	defer rows.Close()
	var list []Call
	for rows.Next() {
		c, _, err := l.scan(rows)
		if err != nil {
			return nil, fmt.Errorf("listing the spawned calls: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Indexes lists a call's inputs: kinds of answers by index, 0 = it has none.
func (r *Record) Indexes(ctx context.Context) ([]int, error) {
	rows, err := r.ledger.cfg.DB.Read().QueryContext(ctx, `SELECT key & 4294967295, coalesce(kind, 0) FROM spawned_inputs WHERE key BETWEEN ? AND ?`, r.key(0), r.key(1<<32-1))
	if err != nil {
		return nil, fmt.Errorf("listing the inputs of spawned call %s: %w", r.meta.ID, err)
	}
	defer rows.Close()
	kinds := make([]int, r.inputs)
	for rows.Next() {
		var index int64
		var kind int
		if err := rows.Scan(&index, &kind); err != nil {
			return nil, fmt.Errorf("listing the inputs of spawned call %s: %w", r.meta.ID, err)
		}
		if index < int64(len(kinds)) {
			kinds[index] = kind
		}
	}
	return kinds, rows.Err()
}

// Collect drops the answers of calls that have ended long ago.
func (l *Ledger) Collect(ctx context.Context) error {
	now := l.cfg.Clock.Now()
	for {
		n, err := l.drop(ctx, store.Seconds(now.Add(-l.cfg.Keep)), -1)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return l.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM spawned WHERE dropped AND finished < ?`, store.Seconds(now.Add(-remember)))
		return err
	})
}

// settled is how long after its end a call's answers are kept in any case.
const settled = time.Minute

// evict drops the answers of the calls that ended first, if there is too much.
func (l *Ledger) evict() {
	for over := l.Usage() - l.cfg.Budget; over > 0; over = l.Usage() - l.cfg.Budget {
		n, err := l.drop(context.Background(), store.Seconds(l.cfg.Clock.Now().Add(-settled)), over)
		if err != nil {
			l.cfg.Log.Error("results of spawned calls cannot be removed", "error", err)
		}
		if n == 0 {
			return
		}
	}
}

// drop drops answers of some calls that ended before a time: of the first, until
// so many bytes are free; -1 = of all. It returns of how many.
func (l *Ledger) drop(ctx context.Context, before float64, bytes int64) (n int, err error) {
	var ids []string
	var freed int64
	err = l.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		ids, freed = nil, 0
		rows, err := tx.QueryContext(ctx, `SELECT number, id, bytes FROM spawned WHERE finished < ? AND NOT dropped ORDER BY finished LIMIT 100`, before)
		if err != nil {
			return err
		}
		var numbers []int64
		for rows.Next() && (bytes < 0 || freed < bytes) {
			var number, size int64
			var id string
			if err := rows.Scan(&number, &id, &size); err != nil {
				return err
			}
			numbers, ids, freed = append(numbers, number), append(ids, id), freed+size
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, number := range numbers {
			if _, err := tx.Exec(deleteInputs, number<<32, number<<32|(1<<32-1)); err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE spawned SET dropped = 1, bytes = 0 WHERE number = ?`, number); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("dropping results of spawned calls: %w", err)
	}
	l.count(-freed, 0)
	for _, id := range ids {
		l.removeAll(id)
	}
	return len(ids), nil
}
