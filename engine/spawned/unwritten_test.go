package spawned_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/wire"
)

// fail has the database refuse writes of a kind, as a full disk does, until the
// returned function is called.
func (b *bench) fail(what string) (mend func()) {
	b.t.Helper()
	run := func(statement string) {
		require.NoError(b.t, b.db.Update(b.t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(statement)
			return err
		}))
	}
	run(`CREATE TRIGGER full BEFORE ` + what + ` BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	return func() { run(`DROP TRIGGER full`) }
}

// TestAnswerThatCannotBeWritten has one of two answers meet a full disk: the call
// is not done, and the next host finds the input without its answer.
func TestAnswerThatCannotBeWritten(t *testing.T) {
	for name, last := range map[string]bool{"first": false, "second": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			m := meta("fc-1")
			m.Scheduled = true
			r := b.New(m)
			require.NoError(t, r.Came(0, spawned.Payload{Body: []byte("0")}))
			require.NoError(t, r.Came(1, spawned.Payload{Body: []byte("1")}))
			b.wait(r.Complete)
			give := func(index uint32, full bool) {
				done := make(chan error, 1)
				if full {
					defer b.fail(`UPDATE OF payload ON spawned_inputs`)()
				}
				r.Answered([]wire.Frame{answer(index, []byte("answer"))}, func(err error) { done <- err })
				if full {
					require.ErrorContains(t, <-done, "the disk is full")
				} else {
					require.NoError(t, <-done)
				}
			}
			give(0, !last)
			give(1, last)
			b.reopen()
			list, err := b.Unfinished(t.Context())
			require.NoError(t, err)
			require.Len(t, list, 1, "it is not done")
			require.Empty(t, b.ended)
			require.EqualValues(t, 1, list[0].Done)
			b.wait(func(then func(error)) {
				unanswered := uint32(0)
				if last {
					unanswered = 1
				}
				list[0].Answered([]wire.Frame{answer(unanswered, []byte("late"))}, then)
			})
			c, err := b.Find(t.Context(), "fc-1")
			require.NoError(t, err)
			require.False(t, c.Finished.IsZero())
			require.EqualValues(t, 2, c.Done)
			require.Len(t, b.ended, 1)
		})
	}
}

// TestInputThatCannotBeWritten has an input, or the call's own row, meet a full
// disk: the caller hears that the call is not kept, and no other call is mixed
// up with it.
func TestInputThatCannotBeWritten(t *testing.T) {
	for name, what := range map[string]string{
		"an input":     `INSERT ON spawned_inputs WHEN NEW.key & 4294967295 = 1`,
		"its row":      `INSERT ON spawned WHEN NEW.id = 'fc-1'`,
		"first of all": `INSERT ON spawned_inputs WHEN NEW.key & 4294967295 = 0 AND NEW.size = 4`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			mend := b.fail(what)
			r := b.New(meta("fc-1"))
			for i := range uint32(3) {
				require.NoError(t, r.Came(i, spawned.Payload{Body: []byte("lost")}))
			}
			other := b.New(meta("fc-2"))
			require.NoError(t, other.Came(0, spawned.Payload{Body: []byte("kept by itself")}))
			b.wait(other.Complete)
			failed := make(chan error, 1)
			r.Complete(func(err error) { failed <- err })
			require.Error(t, <-failed)
			r.Forget()
			mend()
			b.reopen()
			list, err := b.Unfinished(t.Context())
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.Equal(t, "fc-2", list[0].Meta().ID)
			f, err := list[0].Input(0)
			require.Equal(t, "kept by itself", payload(t, f, err))
			b.wait(func(then func(error)) { list[0].Answered([]wire.Frame{answer(0, nil)}, then) })
			err = b.db.Read().QueryRowContext(t.Context(), `SELECT 1 FROM spawned_inputs WHERE key >> 32 NOT IN (SELECT number FROM spawned)`).Scan(new(int))
			require.ErrorIs(t, err, sql.ErrNoRows, "inputs of no call are left")
		})
	}
}

// TestAnswerIsWrittenLater has the disk be full for a moment: the answer is kept
// then, and what a schedule waits for has ended.
func TestAnswerIsWrittenLater(t *testing.T) {
	b := newBench(t)
	m := meta("fc-1")
	m.Scheduled = true
	r, err := b.Spawn(t.Context(), m, []byte("input"), nil)
	require.NoError(t, err)
	mend := b.fail(`UPDATE OF payload ON spawned_inputs`)
	body := []byte("answer")
	failed := make(chan error, 1)
	r.Answered([]wire.Frame{answer(0, body)}, func(err error) { failed <- err })
	require.ErrorContains(t, <-failed, "the disk is full")
	copy(body, "xxxxxx") // it is somebody else's by now
	b.clock.Advance(time.Second)
	b.flush(t)
	require.Empty(t, b.ended)
	mend()
	b.clock.Advance(time.Second)
	b.flush(t)
	require.Len(t, b.ended, 1)
	require.Empty(t, b.ended[0].Failure)
	c, err := b.Find(t.Context(), "fc-1")
	require.NoError(t, err)
	require.False(t, c.Finished.IsZero())
	f, err := c.Answer(0)
	require.Equal(t, "answer", payload(t, f, err))
	require.Zero(t, b.clock.Timers())
}

// TestLargeAnswerWithoutRoom has no room for the file of an answer: the call is
// over all the same, and tells why there is no value.
func TestLargeAnswerWithoutRoom(t *testing.T) {
	b := newBench(t)
	r, err := b.Spawn(t.Context(), meta("fc-1"), []byte("input"), nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "spawned", "fc-1"), nil, 0o600), "in the place of its folder")
	failed := make(chan error, 1)
	r.Answered([]wire.Frame{answer(0, bytes.Repeat([]byte("large"), 100_000))}, func(err error) { failed <- err })
	require.Error(t, <-failed)
	c, err := b.Find(t.Context(), "fc-1")
	require.NoError(t, err)
	require.False(t, c.Finished.IsZero())
	require.EqualValues(t, 1, c.Failed)
	f, err := c.Answer(0)
	require.NoError(t, err)
	require.Contains(t, spawned.Failure(f), "could not be kept")
}

// flush waits until what was pushed is written, or was tried.
func (b *bench) flush(t *testing.T) {
	t.Helper()
	b.wait(func(then func(error)) {
		r := b.New(meta("fc-flush"))
		r.Complete(then)
	})
	require.NoError(t, b.db.Update(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM spawned WHERE id = 'fc-flush'`)
		return err
	}))
}
