package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// update is a change that waits for its commit.
type update struct {
	ctx  context.Context
	fn   func(*sql.Tx) error
	done chan outcome // one value
}

// outcome is what a waiting update is told: what came of it, or that it is its
// turn to write.
type outcome struct {
	err  error
	lead bool
}

// Update runs fn in a transaction and returns when that is committed, or what
// fn returned, and then nothing of it has happened. There is one writer: fn
// must be quick, must wait for nothing, and must use the tx for what it reads.
// Updates that wait at the same time share a commit, each being undone by
// itself if it fails.
//
// Whoever comes while nobody writes is the writer: waking another goroutine for
// it, and being woken by it, takes longer than a small commit.
func (d *DB) Update(ctx context.Context, fn func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{ctx: ctx, fn: fn}
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		return ErrClosed
	}
	if !d.writing {
		d.writing = true
		d.mu.Unlock()
		return d.lead(u)
	}
	u.done = make(chan outcome, 1)
	d.waiting = append(d.waiting, u)
	d.mu.Unlock()
	told := <-u.done
	if told.lead {
		return d.lead(u)
	}
	return told.err
}

// lead commits an update together with those that wait, and hands on the
// writing to one of those that have come meanwhile.
func (d *DB) lead(own *update) error {
	group := append(make([]*update, 0, 8), own)
	d.mu.Lock()
	n := min(len(d.waiting), maxGroup-1)
	group = append(group, d.waiting[:n]...)
	d.waiting = append(d.waiting[:0], d.waiting[n:]...)
	d.mu.Unlock()

	results := d.commit(group)
	for i, u := range group[1:] {
		u.done <- outcome{err: results[i+1]}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.writing = false
		d.idle.Broadcast()
		return results[0]
	}
	next := d.waiting[0]
	d.waiting = append(d.waiting[:0], d.waiting[1:]...)
	next.done <- outcome{lead: true}
	return results[0]
}

// commit runs a group of updates in one transaction, and returns what came of
// each. Those after one with which the whole transaction was lost are in another.
func (d *DB) commit(group []*update) []error {
	results := make([]error, 0, len(group))
	for len(results) < len(group) {
		results = append(results, d.commitSome(group[len(results):])...)
	}
	return results
}

// commitSome is commit for as many as one transaction can take.
func (d *DB) commitSome(group []*update) []error {
	tx, err := d.write.BeginTx(context.Background(), nil)
	if err != nil {
		return repeat(fmt.Errorf("writing to the host's database: %w", err), len(group))
	}
	results := make([]error, len(group))
	for i, u := range group {
		results[i] = d.apply(tx, u, len(group) > 1)
		if errors.Is(results[i], errLost) {
			_ = tx.Rollback() // there may be none any more
			return repeat(results[i], i+1)
		}
	}
	if len(group) == 1 && results[0] != nil {
		_ = tx.Rollback()
	} else if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		return repeat(fmt.Errorf("writing to the host's database: %w", full(err)), len(group))
	}
	return results
}

func repeat(err error, n int) []error { return slices.Repeat([]error{err}, n) }

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
	return full(u.fn(tx))
}

// full adds ENOSPC to the chain of an error that means that.
func full(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w (%w)", err, syscall.ENOSPC)
	}
	return err
}
