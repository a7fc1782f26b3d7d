package spawned_test

import (
	"database/sql"
	"testing"

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
