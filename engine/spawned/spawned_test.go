package spawned_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/wire"
)

type bench struct {
	t      *testing.T
	dir    string
	budget int64
	clock  *clock.Fake
	db     *store.DB
	ended  []spawned.Ended
	*spawned.Ledger
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), budget: 64 << 20, clock: clock.NewFake(time.Unix(1e9, 0))}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	b.db, err = store.Open(filepath.Join(b.dir, "db"))
	require.NoError(b.t, err)
	b.Ledger, err = spawned.Open(b.t.Context(), spawned.Config{
		DB: b.db, Dir: filepath.Join(b.dir, "spawned"), Clock: b.clock, Budget: b.budget, Keep: 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
		Ended: func(_ *sql.Tx, e spawned.Ended) error { b.ended = append(b.ended, e); return nil },
	})
	require.NoError(b.t, err)
}

func (b *bench) close() {
	if b.Ledger != nil {
		b.Close()
		require.NoError(b.t, b.db.Close())
		b.Ledger = nil
	}
}

func (b *bench) reopen() {
	b.close()
	b.open()
}

func meta(id string) spawned.Meta {
	return spawned.Meta{
		ID: id, Environment: "main", App: "app", Function: "f", Module: "m", Created: time.Unix(1e9, 0).UTC(),
		Open: wire.OpenBody{Method: "go", Kind: "spawn", Params: []byte("params"), Options: []byte(`{"cpu":1}`)},
	}
}

// wait runs what tells its end later.
func (b *bench) wait(do func(then func(error))) {
	b.t.Helper()
	done := make(chan error, 1)
	do(func(err error) { done <- err })
	require.NoError(b.t, <-done)
}

func answer(index uint32, body []byte) wire.Frame {
	return wire.Frame{Header: wire.Header{Type: wire.Result, Index: index}, Body: body}
}

func file(t *testing.T, body []byte) *os.File {
	f, err := wire.NewFile()
	require.NoError(t, err)
	_, err = f.WriteAt(body, 0)
	require.NoError(t, err)
	return f
}

func payload(t *testing.T, f wire.Frame, err error) string {
	t.Helper()
	require.NoError(t, err)
	body, err := f.ReadPayload(1 << 30)
	require.NoError(t, err)
	return string(body)
}

// TestCall follows one call with inputs of all sizes over two ends of the host.
func TestCall(t *testing.T) {
	b := newBench(t)
	large, middle := bytes.Repeat([]byte("large "), 100_000), bytes.Repeat([]byte("middle "), 20_000)
	r := b.New(meta("fc-1"))
	require.NoError(t, r.Came(0, spawned.Payload{Body: []byte("small")}))
	f := file(t, large)
	require.NoError(t, r.Came(1, spawned.Payload{File: f, Size: int64(len(large))}))
	require.NoError(t, f.Close())
	require.NoError(t, r.Came(2, spawned.Payload{Body: middle}))
	require.NoError(t, r.Came(3, spawned.Payload{}))
	_, err := b.Find(t.Context(), "fc-1")
	require.ErrorIs(t, err, spawned.ErrUnknown, "it is not acknowledged")
	b.wait(r.Complete)
	b.reopen()

	list, err := b.Unfinished(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	c := list[0]
	require.Equal(t, meta("fc-1"), c.Meta())
	require.EqualValues(t, 4, c.Inputs)
	require.Equal(t, 1, c.Hosts)
	for i, want := range []string{"small", string(large), string(middle), ""} {
		f, err := c.Input(uint32(i))
		require.Equal(t, want, payload(t, f, err))
		_, err = c.Answer(uint32(i))
		require.ErrorIs(t, err, sql.ErrNoRows)
	}
	f = file(t, large)
	b.wait(func(then func(error)) {
		c.Answered([]wire.Frame{answer(0, []byte("r0")), {Header: wire.Header{Type: wire.Result, Index: 2}, File: f, FileSize: int64(len(large))}}, then)
	})
	require.NoError(t, f.Close())
	b.clock.Advance(time.Hour)
	b.reopen()

	list, err = b.Unfinished(t.Context())
	require.NoError(t, err)
	c = list[0]
	require.Equal(t, 2, c.Hosts)
	kinds, err := c.Indexes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{int(wire.Result), 0, int(wire.Result), 0}, kinds)
	fail, _ := wire.JSON(wire.Fail, 0, 1, wire.FailBody{Kind: wire.FailLost, Message: "it died"})
	b.wait(func(then func(error)) { c.Answered([]wire.Frame{fail, answer(3, nil)}, then) })
	b.reopen()

	list, err = b.Unfinished(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	c, err = b.Find(t.Context(), "fc-1")
	require.NoError(t, err)
	require.EqualValues(t, 4, c.Done)
	require.EqualValues(t, 1, c.Failed)
	require.Equal(t, b.clock.Now().UTC(), c.Finished)
	for i, want := range []string{"r0", string(fail.Body), string(large), ""} {
		f, err := c.Answer(uint32(i))
		require.Equal(t, want, payload(t, f, err))
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "spawned", "*", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1, "inputs that were answered are gone")

	b.clock.Advance(25 * time.Hour)
	require.NoError(t, b.Collect(t.Context()))
	_, err = b.Find(t.Context(), "fc-1")
	require.ErrorIs(t, err, spawned.ErrDropped)
	require.Zero(t, b.Usage())
	b.clock.Advance(60 * 24 * time.Hour)
	require.NoError(t, b.Collect(t.Context()))
	_, err = b.Find(t.Context(), "fc-1")
	require.ErrorIs(t, err, spawned.ErrUnknown)
	entries, err := os.ReadDir(filepath.Join(b.dir, "spawned"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

// TestNotAcknowledged begins calls whose ids nobody has been told.
func TestNotAcknowledged(t *testing.T) {
	b := newBench(t)
	large := bytes.Repeat([]byte("x"), 1<<20)
	r := b.New(meta("fc-1"))
	require.NoError(t, r.Came(0, spawned.Payload{Body: large}))
	refused := b.New(meta("fc-2"))
	require.NoError(t, refused.Came(0, spawned.Payload{Body: large}))
	refused.Forget()
	refused.Forget()
	b.reopen()
	require.Zero(t, b.Usage())
	entries, err := os.ReadDir(filepath.Join(b.dir, "spawned"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestSpawn(t *testing.T) {
	b := newBench(t)
	m := meta("fc-1")
	m.Scheduled = true
	mistake := errors.New("mistake")
	_, err := b.Spawn(t.Context(), m, []byte("in"), func(*sql.Tx) error { return mistake })
	require.ErrorIs(t, err, mistake)
	require.Zero(t, b.Usage())
	r, err := b.Spawn(t.Context(), m, []byte("in"), nil)
	require.NoError(t, err)
	_, err = b.Spawn(t.Context(), m, []byte("in"), func(*sql.Tx) error { t.Error("it is there"); return nil })
	require.ErrorIs(t, err, spawned.ErrExists)
	f, err := r.Input(0)
	require.Equal(t, "in", payload(t, f, err))
	body, err := wire.EncodeError(wire.ErrorBody{Type: "ValueError", Message: "no"}, nil)
	require.NoError(t, err)
	b.wait(func(then func(error)) {
		r.Answered([]wire.Frame{{Header: wire.Header{Type: wire.Error}, Body: body}}, then)
	})
	require.Equal(t, []spawned.Ended{{ID: "fc-1", At: b.clock.Now(), Failure: "ValueError: no"}}, b.ended)
}

// TestLimits fills the ledger with calls that have not ended, and then with answers.
func TestLimits(t *testing.T) {
	b := newBench(t)
	b.close()
	b.budget = 1 << 20
	b.open()
	body := bytes.Repeat([]byte("x"), 100<<10)
	var records []*spawned.Record
	for i := 0; ; i++ {
		r := b.New(meta("fc-" + string(rune('a'+i))))
		if err := r.Came(0, spawned.Payload{Body: body}); err != nil {
			require.ErrorIs(t, err, spawned.ErrFull)
			break
		}
		b.wait(r.Complete)
		records = append(records, r)
	}
	require.Len(t, records, 10)
	for i, r := range records {
		b.clock.Advance(time.Hour)
		b.wait(func(then func(error)) { r.Answered([]wire.Frame{answer(0, bytes.Repeat(body, 2))}, then) })
		_ = i
	}
	b.close()
	b.open()
	require.LessOrEqual(t, b.Usage(), int64(1<<20))
	_, err := b.Find(t.Context(), "fc-a")
	require.ErrorIs(t, err, spawned.ErrDropped, "the first goes first")
	_, err = b.Find(t.Context(), "fc-j")
	require.NoError(t, err)
}

// TestAtOnce has many calls at once, each from its own goroutine.
func TestAtOnce(t *testing.T) {
	b := newBench(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			r := b.New(meta("fc-" + string(rune('A'+i))))
			for k := range uint32(5) {
				if err := r.Came(k, spawned.Payload{Body: []byte{byte(k)}}); err != nil {
					t.Error(err)
				}
			}
			kept := make(chan error, 6)
			go r.Answered([]wire.Frame{answer(0, nil), answer(1, nil)}, func(err error) { kept <- err })
			go r.Complete(func(err error) { kept <- err })
			go r.Answered([]wire.Frame{answer(2, nil), answer(3, nil), answer(4, nil)}, func(err error) { kept <- err })
			for range 3 {
				if err := <-kept; err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	list, err := b.Unfinished(context.Background())
	require.NoError(t, err)
	require.Empty(t, list)
	require.EqualValues(t, 200*5*256, b.Usage())
}

// vault seals by turning bytes around.
type vault struct{ lost bool }

func (v *vault) Seal(label string, data []byte) ([]byte, error) {
	data = append([]byte(label+"\n"), data...)
	slices.Reverse(data)
	return data, nil
}

func (v *vault) Open(label string, sealed []byte) ([]byte, error) {
	sealed = slices.Clone(sealed)
	slices.Reverse(sealed)
	data, ok := bytes.CutPrefix(sealed, []byte(label+"\n"))
	if !ok || v.lost {
		return nil, errors.New("sealed as something else")
	}
	return data, nil
}

func TestSecretsOfOptionsAreSealed(t *testing.T) {
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	v := &vault{}
	l, err := spawned.Open(t.Context(), spawned.Config{DB: db, Dir: t.TempDir(), Clock: clock.NewFake(time.Unix(1e9, 0)), Budget: 1 << 20, Keep: time.Hour, Log: slog.New(slog.DiscardHandler), Vault: v})
	require.NoError(t, err)
	defer l.Close()
	m := meta("fc-1")
	m.Open.Options = []byte(`{"secrets":[{"values":{"A":"planted"}}]}`)
	_, err = l.Spawn(t.Context(), m, []byte("x"), nil)
	require.NoError(t, err)
	var kept []byte
	require.NoError(t, db.Read().QueryRow(`SELECT open FROM spawned`).Scan(&kept))
	require.NotContains(t, string(kept), "planted")
	c, err := l.Find(t.Context(), "fc-1")
	require.NoError(t, err)
	require.Equal(t, m.Open, c.Meta().Open)
	v.lost = true
	c, err = l.Find(t.Context(), "fc-1")
	require.NoError(t, err)
	require.Equal(t, `"unreadable"`, string(c.Meta().Open.Options))
}
