package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/ask"
)

// state is what is known of a partition's row and items.
type state struct {
	known   bool
	id      int64 // of its row; 0 = it has none
	first   int64 // number of the oldest item
	next    int64 // of the next item; the items are all from first to before next
	expires time.Time
}

func (h state) items() int { return int(h.next - h.first) }

// load reads the state. A partition without a row is empty; its numbers begin
// with the time in microseconds, so that none comes again that it had before.
func load(tx *sql.Tx, at place, now time.Time) (h state, err error) {
	var first sql.NullInt64
	var expires int64
	err = tx.QueryRow(`SELECT id, next, expires, (SELECT min(number) FROM queue_items WHERE partition = id)
		FROM queue_partitions WHERE queue = ? AND name = ?`, at.queue, at.name).Scan(&h.id, &h.next, &expires, &first)
	if errors.Is(err, sql.ErrNoRows) {
		h = state{known: true, first: now.UnixMicro(), next: now.UnixMicro()}
		var one int
		if err = tx.QueryRow(`SELECT 1 FROM named WHERE key = ?`, at.queue).Scan(&one); errors.Is(err, sql.ErrNoRows) {
			err = errGone
		}
		return h, err
	}
	h.known, h.expires, h.first = true, time.UnixMilli(expires), h.next
	if first.Valid {
		h.first = first.Int64
	}
	return h, err
}

// batch is what is done in one update: of those who are in the line, as many as can be served.
type batch struct {
	puts, gets, clears []*request
	now                time.Time

	served map[*request]bool
	added  bool // items that watchers can see
}

func (b *batch) empty() bool { return len(b.puts)+len(b.gets)+len(b.clears) == 0 }

func (b *batch) all() iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for _, line := range [][]*request{b.puts, b.gets, b.clears} {
			for _, r := range line {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// apply does the batch and, once it is committed, notes the partition's new state.
func (b *batch) apply(s *Service, p *partition) error {
	var h state
	err := s.db.Update(s.life, func(tx *sql.Tx) (err error) {
		h, b.served, b.added = p.held, map[*request]bool{}, false
		if !h.known {
			if h, err = load(tx, p.at, b.now); err != nil {
				return err
			}
		}
		return b.run(s, tx, p.at, &h)
	})
	if err != nil {
		p.held = state{} // it is read again
		if ask.Kind(err) == ask.KindInternal {
			err = fmt.Errorf("writing to a queue: %w", err)
		}
		return err
	}
	p.held = h
	return nil
}

func (b *batch) run(s *Service, tx *sql.Tx, at place, h *state) error {
	if err := b.clear(tx, h); err != nil {
		return err
	}
	if err := b.take(s, tx, h); err != nil {
		return err
	}
	fresh, ttl := b.admit(h.items())
	if ttl == 0 {
		return nil // nothing was put
	}
	return b.add(s, tx, at, h, fresh, ttl)
}

// clear deletes the items if the partition has expired, or if that is wanted.
func (b *batch) clear(tx *sql.Tx, h *state) error {
	expired := h.id != 0 && !h.expires.After(b.now)
	all := expired
	for _, r := range b.clears {
		b.served[r] = true
		all = all || !r.expired
	}
	if !all || h.id == 0 {
		return nil
	}
	if !expired {
		_, err := tx.Exec(`DELETE FROM queue_items WHERE partition = ?`, h.id)
		h.first = h.next
		return err
	}
	// Its items go with it.
	_, err := tx.Exec(`DELETE FROM queue_partitions WHERE id = ?`, h.id)
	*h = state{known: true, first: h.next, next: h.next}
	return err
}

// take gives the oldest items to those who get, in the order in which they
// came. An asker who is gone is given none.
func (b *batch) take(s *Service, tx *sql.Tx, h *state) error {
	want := 0
	for _, r := range b.gets {
		want = min(want+r.want, MaxItems)
	}
	if want == 0 || h.items() == 0 {
		return nil
	}
	rows, err := tx.Stmt(s.oldest).QueryContext(s.life, h.id, h.first, want)
	if err != nil {
		return err
	}
	defer rows.Close()
	more := rows.Next()
	number, value := int64(0), []byte(nil)
	last := h.first - 1
	for _, r := range b.gets {
		if r.ctx.Err() != nil {
			continue
		}
		for size := 0; more && len(r.items) < r.want; more = rows.Next() {
			value = nil
			if err := rows.Scan(&number, &value); err != nil {
				return err
			}
			if size += len(value); size > maxAnswer && len(r.items) > 0 {
				break
			}
			r.items, last = append(r.items, value), number
			b.served[r] = true
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if last < h.first {
		if !more && b.present() {
			return errGone // its items went with the queue
		}
		return nil
	}
	h.first = last + 1
	_, err = tx.Stmt(s.delete).ExecContext(s.life, h.id, h.first)
	return err
}

// present reports whether anybody who gets is still there.
func (b *batch) present() bool {
	return slices.ContainsFunc(b.gets, func(r *request) bool { return r.ctx.Err() == nil })
}

// admit lets those who put in, in the order in which they came, while there is
// room beside n items. What they put goes to those who still wait for an item,
// and the rest is returned, with the time to live that the last put has set; 0 =
// nobody was let in.
func (b *batch) admit(n int) (fresh [][]byte, ttl time.Duration) {
	gets := b.gets
	for _, r := range b.puts {
		if r.ctx.Err() != nil {
			continue
		}
		if n+len(fresh)+len(r.items) > MaxItems {
			break // nobody overtakes
		}
		fresh = append(fresh, r.items...)
		ttl = r.ttl
		b.served[r] = true
		for len(gets) > 0 && len(fresh) > 0 && n == 0 {
			g := gets[0]
			gets = gets[1:]
			if b.served[g] || g.ctx.Err() != nil {
				continue
			}
			k, size := 0, 0
			for k < min(g.want, len(fresh)) {
				if size += len(fresh[k]); size > maxAnswer && k > 0 {
					break
				}
				k++
			}
			g.items, fresh = fresh[:k:k], fresh[k:]
			b.served[g] = true
		}
	}
	return fresh, ttl
}

// add writes new items behind the others.
func (b *batch) add(s *Service, tx *sql.Tx, at place, h *state, fresh [][]byte, ttl time.Duration) error {
	h.expires = time.UnixMilli(b.now.Add(ttl).UnixMilli())
	first, next := h.next, h.next+int64(len(fresh))
	if h.id == 0 {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM queue_partitions WHERE queue = ?`, at.queue).Scan(&n); err != nil {
			return err
		}
		if n >= MaxPartitions {
			return ask.Refused("the queue has %d partitions, which is the limit", n)
		}
		err := tx.QueryRow(`INSERT INTO queue_partitions (queue, name, next, expires) SELECT key, ?, ?, ? FROM named WHERE key = ? RETURNING id`,
			at.name, next, h.expires.UnixMilli(), at.queue).Scan(&h.id)
		if errors.Is(err, sql.ErrNoRows) {
			return errGone
		}
		if err != nil {
			return err
		}
	} else {
		r, err := tx.Stmt(s.prolong).ExecContext(s.life, next, h.expires.UnixMilli(), h.id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errGone)
		}
	}
	for i, item := range fresh {
		if _, err := tx.Stmt(s.insert).ExecContext(s.life, h.id, first+int64(i), item); err != nil {
			return err
		}
	}
	h.next = next
	b.added = len(fresh) > 0
	return nil
}
