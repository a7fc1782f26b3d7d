package spawned

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync"
	"time"

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
	// number is that of the call's row. The first change that is pushed writes it,
	// those behind it read it, and so does who was told that one was written.
	number int64

	mu       sync.Mutex // held while changes are pushed, so that they are in order
	begun    bool       // the row has been pushed
	complete bool
	inputs   int64
	answered int64
	bytes    int64  // of the inputs
	failure  string // the first
	gone     bool
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
	first := !r.begun
	r.begun = true
	r.inputs++
	r.bytes += size
	l.push(change{size: int64(len(body)), apply: func(b *batch) error {
		if first {
			if err := r.insert(b.tx, nil, 0); err != nil {
				return err
			}
		}
		return b.exec(insertInput, r.key(index), p.size(), body)
	}}, true)
	return nil
}

const insertInput = `INSERT INTO spawned_inputs (key, size, payload) VALUES (?, ?, ?)`

// insert writes the call's row; inputs nil = more may come.
func (r *Record) insert(tx *sql.Tx, inputs any, bytes int64) error {
	m := &r.meta
	open, err := json.Marshal(m.Open)
	if err != nil {
		return err
	}
	return tx.QueryRow(`INSERT INTO spawned (id, environment, app, function, module, open, scheduled, created, inputs, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`,
		m.ID, m.Environment, m.App, m.Function, m.Module, open, m.Scheduled, seconds(m.Created), inputs, bytes).Scan(&r.number)
}

// Complete says that all inputs came, and has then told when they are kept.
func (r *Record) Complete(then func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, over := !r.begun, r.answered == r.inputs
	r.begun, r.complete = true, true
	n, bytes := r.inputs, r.bytes
	var ended int64
	r.ledger.push(change{apply: func(b *batch) (err error) {
		if first { // it has no input
			if err := r.insert(b.tx, nil, 0); err != nil {
				return err
			}
		}
		ended, err = r.update(b, n, 0, 0, bytes, over)
		return err
	}, then: func(err error) {
		if err == nil && over {
			r.ledger.count(0, -ended)
		}
		then(err)
	}}, true)
}

// update changes the call's row: inputs -1 = it has as many as it had. It
// returns what the call is counted with then.
func (r *Record) update(b *batch, inputs, answered, failed, bytes int64, over bool) (counted int64, err error) {
	l := r.ledger
	now := l.cfg.Clock.Now()
	var finished any
	if over {
		finished = seconds(now)
	}
	err = b.query(`UPDATE spawned SET inputs = CASE WHEN ? >= 0 THEN ? ELSE inputs END, answered = answered + ?, failed = failed + ?, bytes = bytes + ?, finished = ? WHERE number = ? RETURNING bytes`,
		&counted, inputs, inputs, answered, failed, bytes, finished, r.number)
	if err == nil && over && r.meta.Scheduled && l.cfg.Ended != nil {
		err = l.cfg.Ended(b.tx, Ended{ID: r.meta.ID, At: now, Failure: r.failure})
	}
	return counted, err
}

// Spawn keeps a call of one small input, with what also writes in the same
// transaction. The error is ErrExists if there is a call of this id.
func (l *Ledger) Spawn(ctx context.Context, meta Meta, body []byte, also func(*sql.Tx) error) (*Record, error) {
	size := int64(len(body)) + rowSize
	r := &Record{ledger: l, meta: meta, begun: true, complete: true, inputs: 1, bytes: size}
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
		if err := r.insert(tx, 1, size); err != nil {
			return err
		}
		_, err := tx.Exec(insertInput, r.key(0), len(body), body)
		return err
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

// Answered keeps answers in place of the inputs, and has then told when they
// are kept. What frames hold must be there until then.
func (r *Record) Answered(frames []wire.Frame, then func(error)) {
	l := r.ledger
	bodies := make([][]byte, len(frames))
	var size, failed int64
	failure := ""
	for i, f := range frames {
		var err error
		if bodies[i], err = l.place(r.meta.ID, f.Index, outFile, payloadOf(f)); err != nil {
			l.cfg.Log.Error("the answer of a spawned call cannot be kept", "call", r.meta.ID, "error", err)
			then(err)
			return
		}
		size += payloadOf(f).size()
		if f.Type != wire.Result {
			failed++
			if failure == "" {
				failure = Failure(f)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == "" {
		r.failure = failure
	}
	r.answered += int64(len(frames))
	over := r.complete && r.answered == r.inputs
	var freed, ended int64
	l.push(change{size: size, apply: func(b *batch) (err error) {
		freed = 0
		for i, f := range frames {
			var before int64
			if err := b.query(`SELECT size FROM spawned_inputs WHERE key = ? AND kind IS NULL`, &before, r.key(f.Index)); err != nil {
				return fmt.Errorf("input %d of %s, which was answered: %w", f.Index, r.meta.ID, err)
			}
			freed += before
			if err := b.exec(`UPDATE spawned_inputs SET kind = ?, size = ?, payload = ? WHERE key = ?`, int(f.Type), payloadOf(f).size(), bodies[i], r.key(f.Index)); err != nil {
				return err
			}
		}
		ended, err = r.update(b, -1, int64(len(frames)), failed, size-freed, over)
		return err
	}, then: func(err error) {
		if err == nil {
			l.count(size-freed, size-freed)
			if over {
				l.count(0, -ended)
			}
			for _, f := range frames {
				l.remove(r.meta.ID, f.Index, inFile)
			}
		}
		then(err)
		l.evict()
	}}, true)
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
	l.push(change{apply: func(b *batch) error {
		if err := b.exec(deleteInputs, r.key(0), r.key(1<<32-1)); err != nil {
			return err
		}
		return b.exec(`DELETE FROM spawned WHERE number = ?`, r.number)
	}, then: func(error) { l.removeAll(r.meta.ID) }}, false)
}

const deleteInputs = `DELETE FROM spawned_inputs WHERE key BETWEEN ? AND ?`

// Answer reads an answer that is kept; sql.ErrNoRows = there is none.
func (r *Record) Answer(index uint32) (wire.Frame, error) { return r.read(index, outFile) }

// Input reads an input that has no answer.
func (r *Record) Input(index uint32) (wire.Frame, error) { return r.read(index, inFile) }

func (r *Record) read(index uint32, what string) (f wire.Frame, err error) {
	l := r.ledger
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading input %d of spawned call %s, or its answer: %w", index, r.meta.ID, err)
		}
	}()
	kind, size, body := 0, int64(0), []byte(nil)
	err = l.cfg.DB.Read().QueryRow(`SELECT coalesce(kind, 0), size, payload FROM spawned_inputs WHERE key = ?`, r.key(index)).Scan(&kind, &size, &body)
	if err == nil && (what == outFile) != (kind != 0) {
		err = sql.ErrNoRows
	}
	if err != nil {
		return f, err
	}
	if kind == 0 {
		kind = int(wire.Input)
	}
	return l.fetch(r.meta.ID, index, what, wire.Type(kind), size, body)
}

// Failure is what an answer says went wrong; "" = nothing.
func Failure(f wire.Frame) string {
	switch f.Type {
	case wire.Error:
		if e, _, err := wire.DecodeError(f.Body); err == nil {
			if e.Message == "" {
				return e.Type
			}
			return e.Type + ": " + e.Message
		}
		return "it raised an exception"
	case wire.Fail:
		var body wire.FailBody
		if err := f.Decode(&body); err == nil && body.Message != "" {
			return body.Message
		}
		return "it failed"
	}
	return ""
}
