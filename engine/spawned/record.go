package spawned

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/wire"
)

// Meta is what a call is of.
type Meta struct {
	ID          string
	Environment string
	App         string // its name
	Function    string // its name in the app
	Module      string
	Open        wire.OpenBody // as the call was opened; Function has no meaning
	Scheduled   bool
	Created     time.Time
}

// Payload is the bytes of an input: in memory, or in a file.
type Payload struct {
	Body []byte
	File interface {
		ReadAt(p []byte, off int64) (int, error)
	} // nil = Body
	Size int64 // of File
}

func (p Payload) size() int64 {
	if p.File != nil {
		return p.Size
	}
	return int64(len(p.Body))
}

// Record is one call that is being kept.
type Record struct {
	ledger *Ledger
	meta   Meta
	// number is that of the call's row; 0 = it has none. The first change that is
	// pushed writes it, those behind it read it, and so does who was told that one
	// was written.
	number int64

	mu     sync.Mutex // held while changes are pushed, so that they are in order
	begun  bool       // the row has been pushed
	first  *change    // the first input, which is not pushed yet: most calls have no other
	inputs int64
	bytes  int64 // of the inputs
	gone   bool
}

// New makes the record of a call that is being opened.
func (l *Ledger) New(meta Meta) *Record { return &Record{ledger: l, meta: meta} }

// Meta is what the call is of.
func (r *Record) Meta() Meta { return r.meta }

func (r *Record) key(index uint32) int64 { return r.number<<32 | int64(index) }

// Came keeps an input. A large one is on the disk when it returns. The error is
// ErrFull if there is no room for it.
func (r *Record) Came(index uint32, p Payload) error {
	l := r.ledger
	size := p.size() + rowSize
	if err := l.reserve(size); err != nil {
		return err
	}
	body, err := l.place(r.meta.ID, index, inFile, p)
	if err != nil {
		l.count(-size, -size)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inputs++
	r.bytes += size
	c := change{size: int64(len(body)), apply: func(b *batch) error {
		if r.number == 0 {
			return fmt.Errorf("input %d of %s: %w", index, r.meta.ID, errNoRow)
		}
		return b.exec(insertInput, r.key(index), p.size(), body)
	}}
	if !r.begun && r.first == nil {
		r.first = &c
		return nil
	}
	r.begin()
	l.push(c, true)
	return nil
}

// Statements of the ledger.
const (
	insertCall = `INSERT INTO spawned (id, environment, app, function, module, open, scheduled, created, inputs, bytes, finished)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`
	insertInput = `INSERT INTO spawned_inputs (key, size, payload) VALUES (?, ?, ?)`
	// Whether a call is done is for its row to say, which counts the answers that
	// are kept: one that could not be written is missing there.
	completeCall = `UPDATE spawned SET inputs = ?1, bytes = bytes + ?2, finished = iif(answered = ?1, ?3, NULL) WHERE number = ?4 RETURNING finished IS NOT NULL, bytes`
	updateCall   = `UPDATE spawned SET answered = answered + ?1, failed = failed + ?2, bytes = bytes + ?3, finished = iif(answered + ?1 = inputs, ?4, NULL) WHERE number = ?5 RETURNING finished IS NOT NULL, bytes`
	countInputs  = `SELECT count(*) FROM spawned_inputs WHERE key BETWEEN ? AND ?`
	selectSize   = `SELECT size FROM spawned_inputs WHERE key = ? AND kind IS NULL`
	updateInput  = `UPDATE spawned_inputs SET kind = ?, size = ?, payload = ? WHERE key = ?`
	deleteInputs = `DELETE FROM spawned_inputs WHERE key BETWEEN ? AND ?`
)

// begin pushes the call's row, and its first input. mu is held.
func (r *Record) begin() {
	if r.begun {
		return
	}
	r.begun = true
	first := r.first
	r.first = nil
	c := change{apply: func(b *batch) error {
		if err := r.insert(b, nil, 0, nil); err != nil || first == nil {
			return err
		}
		return first.apply(b)
	}, then: r.inserted}
	if first != nil {
		c.size = first.size
	}
	r.ledger.push(c, true)
}

// inserted is told what became of the call's row. The number of one that was not
// written is another call's.
func (r *Record) inserted(err error) {
	if err != nil {
		r.number = 0
	}
}

// insert writes the call's row; inputs nil = more may come, finished nil = it is
// not done.
func (r *Record) insert(b *batch, inputs any, bytes int64, finished any) error {
	m := &r.meta
	r.number = 0
	open, err := r.ledger.encode(m)
	if err != nil {
		return err
	}
	return b.query(insertCall, []any{m.ID, m.Environment, m.App, m.Function, m.Module, open, m.Scheduled, store.Seconds(m.Created), inputs, bytes, finished}, &r.number)
}

// encode is how a call was opened, for its row: JSON, or sealed where its options
// have values of secrets (app.Secret).
func (l *Ledger) encode(m *Meta) ([]byte, error) {
	open, err := json.Marshal(m.Open)
	if err != nil || !bytes.Contains(m.Open.Options, []byte(`"secrets"`)) {
		return open, err
	}
	if l.cfg.Vault == nil {
		return nil, errors.New("the call's options have secrets, and nothing is there to encrypt them")
	}
	return l.cfg.Vault.Seal("spawned call "+m.ID, open)
}

// decode is the opposite of encode.
func (l *Ledger) decode(id string, open []byte) (body wire.OpenBody, err error) {
	if len(open) > 0 && open[0] != '{' && l.cfg.Vault != nil {
		if open, err = l.cfg.Vault.Open("spawned call "+id, open); err != nil {
			// Who does the call refuses such options; the others go on.
			l.cfg.Log.Error("the options of a spawned call cannot be read", "call", id, "error", err)
			return wire.OpenBody{Kind: "spawn", Options: json.RawMessage(`"unreadable"`)}, nil
		}
	}
	return body, json.Unmarshal(open, &body)
}

// Complete says that all inputs came, and has then told when they are kept. One
// that could not be written is the error.
func (r *Record) Complete(then func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, whole := r.first, !r.begun // with its only input, or without any
	r.first, r.begun = nil, true
	n, bytes := r.inputs, r.bytes
	var over bool
	var counted int64
	c := change{apply: func(b *batch) error {
		over = false
		if !whole {
			if err := r.whole(b, n); err != nil {
				return err
			}
			return b.query(completeCall, []any{n, bytes, r.ledger.now(), r.number}, &over, &counted)
		}
		var finished any
		if n == 0 {
			finished = r.ledger.now()
		}
		if err := r.insert(b, n, bytes, finished); err != nil || first == nil {
			return err
		}
		return first.apply(b)
	}, then: func(err error) {
		if whole {
			r.inserted(err)
		}
		if err == nil && over { // its answers were counted before
			r.ledger.count(0, -counted)
		}
		then(err)
	}}
	if first != nil {
		c.size = first.size
	}
	r.ledger.push(c, true)
}

// whole is an error unless all inputs of the call are written.
func (r *Record) whole(b *batch, inputs int64) error {
	if r.number == 0 {
		return fmt.Errorf("%s: %w", r.meta.ID, errNoRow)
	}
	var there int64
	if err := b.query(countInputs, []any{r.key(0), r.key(1<<32 - 1)}, &there); err != nil {
		return err
	}
	if there != inputs {
		return fmt.Errorf("%d of %d inputs of the call %s could not be written", inputs-there, inputs, r.meta.ID)
	}
	return nil
}

// Spawn keeps a call of one small input, with what also writes in the same
// transaction. The error is ErrExists if there is a call of this id.
func (l *Ledger) Spawn(ctx context.Context, meta Meta, body []byte, also func(*sql.Tx) error) (*Record, error) {
	size := int64(len(body)) + rowSize
	r := &Record{ledger: l, meta: meta, begun: true, inputs: 1, bytes: size}
	if err := l.reserve(size); err != nil {
		return nil, err
	}
	err := l.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
		var there bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM spawned WHERE id = ?)`, meta.ID).Scan(&there); err != nil {
			return err
		}
		if there {
			return ErrExists
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		b := &batch{tx: tx, prepared: l.statements}
		if err := r.insert(b, 1, size, nil); err != nil {
			return err
		}
		return b.exec(insertInput, r.key(0), len(body), body)
	})
	if err != nil {
		l.count(-size, -size)
		return nil, err
	}
	return r, nil
}

// reserve makes room for bytes of a call that has not ended.
func (l *Ledger) reserve(size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting+size > l.cfg.Budget {
		return fmt.Errorf("%w: calls that have not ended take %d MiB of %d MiB", ErrFull, l.waiting>>20, l.cfg.Budget>>20)
	}
	l.bytes += size
	l.waiting += size
	return nil
}

// Forget removes a call that was refused. It never waits.
func (r *Record) Forget() {
	l := r.ledger
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	r.gone = true
	l.count(-r.bytes, -r.bytes)
	if !r.begun {
		r.begun, r.first = true, nil
		l.removeAll(r.meta.ID)
		return
	}
	l.push(change{apply: func(b *batch) error {
		if r.number == 0 {
			return nil
		}
		if err := b.exec(deleteInputs, r.key(0), r.key(1<<32-1)); err != nil {
			return err
		}
		return b.exec(`DELETE FROM spawned WHERE number = ?`, r.number)
	}, then: func(error) { l.removeAll(r.meta.ID) }}, false)
}
