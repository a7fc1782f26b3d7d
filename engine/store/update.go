package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// update is a change that waits for its commit.
type update struct {
	ctx  context.Context
	fn   func(*sql.Tx) error
	done chan error // one value
}

// Update runs fn in a transaction and returns when that is committed, or what
// fn returned, and then nothing of it has happened. There is one writer: fn
// must be quick, must wait for nothing, and must use the tx for what it reads.
// Updates that wait at the same time share a commit, each being undone by
// itself if it fails.
func (d *DB) Update(ctx context.Context, fn func(*sql.Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case d.updates <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closing:
		return ErrClosed
	}
	select {
	case err := <-u.done:
		return err
	case <-d.closing:
	}
	// The writer has taken it, or never will.
	d.writer.Wait()
	select {
	case err := <-u.done:
		return err
	default:
		return ErrClosed
	}
}

// run is the writer.
func (d *DB) run() {
	group := make([]*update, 0, maxGroup)
	for {
		select {
		case u := <-d.updates:
			group = append(group[:0], u)
		case <-d.closing:
			return
		}
	gather:
		for len(group) < maxGroup {
			select {
			case u := <-d.updates:
				group = append(group, u)
			default:
				break gather
			}
		}
		d.commit(group)
		clear(group)
	}
}

// commit runs a group of updates in one transaction. Those after one with which
// the whole transaction was lost are in another.
func (d *DB) commit(group []*update) {
	for len(group) > 0 {
		n := d.commitSome(group)
		group = group[n:]
	}
}

// commitSome is commit for as many as one transaction can take, and returns how
// many.
func (d *DB) commitSome(group []*update) int {
	tx, err := d.write.BeginTx(context.Background(), nil)
	if err != nil {
		tell(group, fmt.Errorf("writing to the host's database: %w", err))
		return len(group)
	}
	results := make([]error, len(group))
	for i, u := range group {
		results[i] = d.apply(tx, u, len(group) > 1)
		if errors.Is(results[i], errLost) {
			_ = tx.Rollback() // there may be none any more
			tell(group[:i+1], results[i])
			return i + 1
		}
	}
	if len(group) == 1 && results[0] != nil {
		_ = tx.Rollback()
	} else if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		tell(group, fmt.Errorf("writing to the host's database: %w", err))
		return len(group)
	}
	for i, u := range group {
		u.done <- results[i]
	}
	return len(group)
}

func tell(group []*update, err error) {
	for _, u := range group {
		u.done <- err
	}
}

// errLost says that a transaction ended before its commit: where a disk is full,
// SQLite may roll back more than the statement that has met it
// (https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction).
var errLost = errors.New("writing to the host's database: what was to be committed was undone")

// apply runs one update, in a savepoint if it is not alone. The error is errLost
// if what others did in the transaction is gone.
func (d *DB) apply(tx *sql.Tx, u *update, shared bool) (err error) {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if shared {
		if _, err := tx.Stmt(d.savepoint).ExecContext(context.Background()); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		defer func() {
			var failed error
			if err != nil {
				_, failed = tx.Exec("ROLLBACK TO one")
			}
			if _, kept := tx.Stmt(d.release).ExecContext(context.Background()); kept != nil {
				failed = errors.Join(failed, kept)
			}
			switch {
			case failed != nil && err != nil:
				err = fmt.Errorf("%w: %w", errLost, err)
			case failed != nil:
				err = fmt.Errorf("%w: %w", errLost, failed)
			}
		}()
	}
	defer func() {
		// The writer serves everybody: one part's mistake must not end it.
		if p := recover(); p != nil {
			err = fmt.Errorf("an update of the host's database panicked: %v", p)
		}
	}()
	return u.fn(tx)
}
