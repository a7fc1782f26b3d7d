package spawned_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/wire"
)

// BenchmarkCall is what a call of one small input costs, one after the other:
// "spawn" until its id may be told, "call" until its answer may be.
func BenchmarkCall(b *testing.B) {
	db, err := store.Open(filepath.Join(b.TempDir(), "db"))
	require.NoError(b, err)
	defer db.Close()
	l, err := spawned.Open(b.Context(), spawned.Config{DB: db, Dir: filepath.Join(b.TempDir(), "spawned"), Clock: clock.Real{}, Budget: 4 << 30, Keep: time.Hour, Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer l.Close()
	body := make([]byte, 100)
	n := 0
	spawn := func() *spawned.Record {
		n++
		r := l.New(meta(fmt.Sprint("fc-", n)))
		kept := make(chan error, 1)
		err := r.Came(0, spawned.Payload{Body: body})
		r.Complete(func(err error) { kept <- err })
		if err == nil {
			err = <-kept
		}
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	b.Run("spawn", func(b *testing.B) {
		for b.Loop() {
			spawn()
		}
	})
	b.Run("call", func(b *testing.B) {
		for b.Loop() {
			kept := make(chan error, 1)
			spawn().Answered([]wire.Frame{answer(0, body)}, func(err error) { kept <- err })
			if err := <-kept; err != nil {
				b.Fatal(err)
			}
		}
	})
}
