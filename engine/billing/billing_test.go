package billing_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/billing"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

// lab is a book in a database that can be opened again.
type lab struct {
	*billing.Book
	clock   *clock.Fake
	db      *store.DB
	running []billing.Bill
}

// noon is the beginning of an hour and not of a day.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, path string, now time.Time) *lab {
	t.Helper()
	db, err := store.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	l := &lab{clock: clock.NewFake(now), db: db}
	l.Book, err = billing.Open(t.Context(), billing.Config{DB: db, Clock: l.clock, Running: func() []billing.Bill { return l.running }, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return l
}

func used(function, card string, seconds float64) api.Usage {
	u := api.Usage{Function: function, Containers: 1, Inputs: int64(seconds), Seconds: seconds, GPU: card, Cost: seconds / 100}
	if card != "" {
		u.GPUs, u.Emulated = 1, true
	}
	return u
}

func (l *lab) sum(t *testing.T, r billing.Report) []api.BilledUsage {
	t.Helper()
	rows, err := l.Sum(t.Context(), r)
	require.NoError(t, err)
	return rows
}

// TestHours has an app run over the end of an hour: each hour has its own.
func TestHours(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "db"), noon.Add(59*time.Minute))
	bill := func(seconds float64) billing.Bill {
		return billing.Bill{Environment: "main", App: "ap-1", Name: "one", Began: noon.Add(59 * time.Minute), Usage: []api.Usage{used("f", "T4", seconds), used("g", "", 1)}}
	}
	l.running = []billing.Bill{bill(30)}
	l.clock.Advance(time.Minute)
	require.NoError(t, l.PostRunning(t.Context())) // at 13:00: what is posted was used before
	l.running = []billing.Bill{bill(90)}
	l.clock.Advance(time.Minute)
	require.NoError(t, l.Close(t.Context(), bill(100)))
	l.running = nil

	rows := l.sum(t, billing.Report{Step: "h", By: []string{"function", "gpu"}})
	require.Len(t, rows, 3)
	require.Equal(t, api.BilledUsage{
		Start: noon.Add(time.Hour), Environment: "main", App: "ap-1", AppName: "one", Function: "f", GPU: "T4", GPUs: 1, Emulated: true,
		Inputs: 70, Seconds: 70, Cost: 0.7,
	}, rows[0])
	require.Equal(t, noon, rows[1].Start)
	require.InDelta(t, 30, rows[1].Seconds, 1e-9)
	require.Equal(t, int64(1), rows[1].Containers)
	require.Equal(t, "g", rows[2].Function)

	total := l.sum(t, billing.Report{})
	require.Len(t, total, 1)
	require.InDelta(t, 101, total[0].Seconds, 1e-9)
	require.Equal(t, int64(2), total[0].Containers)
	require.Empty(t, total[0].AppName)
}

// TestSurvives opens the book again, as a host that was killed does: the same
// app goes on, with a bill that begins at nothing.
func TestSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	l := open(t, path, noon.Add(time.Minute))
	l.running = []billing.Bill{{Environment: "main", App: "ap-1", Name: "one", Usage: []api.Usage{used("f", "", 50)}}}
	require.NoError(t, l.PostRunning(t.Context()))
	require.NoError(t, l.db.Close())

	l = open(t, path, noon.Add(2*time.Minute))
	l.running = []billing.Bill{{Environment: "main", App: "ap-1", Name: "one", Usage: []api.Usage{used("f", "", 5)}}}
	require.InDelta(t, 55, l.sum(t, billing.Report{By: []string{"app"}})[0].Seconds, 1e-9)
}

func TestTend(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "db"), noon.Add(30*time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	posted := make(chan struct{})
	running := []billing.Bill{{Environment: "main", App: "ap-1", Name: "one", Usage: []api.Usage{used("f", "", 50)}}}
	l.Book, _ = billing.Open(ctx, billing.Config{DB: l.db, Clock: l.clock, Log: slog.New(slog.DiscardHandler), Running: func() []billing.Bill {
		posted <- struct{}{}
		return running
	}})
	go func() { l.Tend(ctx); close(done) }()
	for l.clock.Timers() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.clock.Advance(30 * time.Second) // to the full minute
	<-posted
	cancel()
	<-done
}

func TestReports(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "db"), noon)
	post := func(env, id, name string, u ...api.Usage) {
		require.NoError(t, l.Close(t.Context(), billing.Bill{Environment: env, App: id, Name: name, Usage: u}))
	}
	post("main", "ap-1", "one", used("f", "T4", 10), used("g", "H100", 20))
	l.clock.Advance(24 * time.Hour)
	post("dev", "ap-2", "two", used("f", "T4", 40))

	byCard := l.sum(t, billing.Report{By: []string{"gpu"}})
	require.Len(t, byCard, 2)
	require.Equal(t, "T4", byCard[0].GPU)
	require.InDelta(t, 50, byCard[0].Seconds, 1e-9)
	byDay := l.sum(t, billing.Report{Step: "d"})
	require.Len(t, byDay, 2)
	require.Equal(t, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), byDay[0].Start)
	require.Len(t, l.sum(t, billing.Report{Environment: "dev", By: []string{"app"}}), 1)
	require.Len(t, l.sum(t, billing.Report{Start: noon.Add(time.Hour), By: []string{"app"}}), 1)
	require.Len(t, l.sum(t, billing.Report{End: noon.Add(time.Hour), By: []string{"function"}}), 2)
	require.Empty(t, l.sum(t, billing.Report{Environment: "other"}))

	for _, bad := range []string{`{"step":"y"}`, `{"by":["cost); DROP TABLE billing"]}`, `{"start":-1}`, `{"start":1e300}`, `{"start":2,"end":1}`, `{"by":"app"}`} {
		_, err := l.Operations()["billing.report"](t.Context(), ask.Query{Op: "billing.report", Params: json.RawMessage(bad)})
		require.Equal(t, ask.KindRefused, ask.Kind(err), "%s: %v", bad, err)
	}
}

// TestOld forgets what is older than its time.
func TestOld(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "db"), noon)
	require.NoError(t, l.Close(t.Context(), billing.Bill{App: "ap-1", Usage: []api.Usage{used("f", "", 1)}}))
	l.clock.Advance(401 * 24 * time.Hour)
	require.NoError(t, l.Close(t.Context(), billing.Bill{App: "ap-2", Usage: []api.Usage{used("f", "", 1)}}))
	require.Len(t, l.sum(t, billing.Report{By: []string{"app"}}), 1)
}

// TestSplit posts at all sides of an hour's end: each hour has what was used in it.
func TestSplit(t *testing.T) {
	for name, c := range map[string]struct {
		began, posted, ended time.Duration // from the hour's end; posted 0 = not
		before, after        float64
	}{
		"posted in time":        {began: -30 * time.Second, posted: 1, ended: 10 * time.Second, before: 30, after: 10},
		"posted late":           {began: -30 * time.Second, posted: 20 * time.Second, ended: 25 * time.Second, before: 30, after: 25},
		"posted not at all":     {began: -5 * time.Second, ended: 15 * time.Second, before: 5, after: 15},
		"after the hour's end":  {began: time.Second, ended: 21 * time.Second, after: 20},
		"before the hour's end": {began: -50 * time.Second, ended: -time.Second, before: 49},
		"to the hour's end":     {began: -40 * time.Second, ended: 0, before: 40},
		"the host was away":     {began: -90 * time.Minute, posted: 30 * time.Minute, ended: 31 * time.Minute, before: 3600, after: 31 * 60},
	} {
		t.Run(name, func(t *testing.T) {
			end := noon.Add(time.Hour)
			l := open(t, filepath.Join(t.TempDir(), "db"), end.Add(c.began))
			bill := func() billing.Bill {
				return billing.Bill{Environment: "main", App: "ap-1", Began: end.Add(c.began), Usage: []api.Usage{used("f", "", l.clock.Now().Sub(end.Add(c.began)).Seconds())}}
			}
			if c.posted != 0 {
				l.clock.Jump(c.posted - c.began)
				l.running = []billing.Bill{bill()}
				require.NoError(t, l.PostRunning(t.Context()))
				l.running = nil
			}
			l.clock.Jump(end.Add(c.ended).Sub(l.clock.Now()))
			require.NoError(t, l.Close(t.Context(), bill()))
			var before, after, all float64
			var containers int64
			for _, row := range l.sum(t, billing.Report{Step: "h"}) {
				switch {
				case row.Start.Equal(noon):
					before = row.Seconds
				case row.Start.Equal(end):
					after = row.Seconds
				}
				all += row.Seconds
				containers += row.Containers
			}
			require.InDelta(t, c.before, before, 1e-6)
			require.InDelta(t, c.after, after, 1e-6)
			require.InDelta(t, (c.ended - c.began).Seconds(), all, 1e-6, "none is lost")
			require.EqualValues(t, 1, containers)
		})
	}
}

// TestLastBillIsNotLost has the disk be full as an app ends, twice.
func TestLastBillIsNotLost(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "db"), noon)
	bill := func(seconds float64) billing.Bill {
		return billing.Bill{Environment: "main", App: "ap-1", Usage: []api.Usage{used("f", "", seconds)}}
	}
	run := func(statement string) {
		t.Helper()
		require.NoError(t, l.db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(statement)
			return err
		}))
	}
	l.running = []billing.Bill{bill(10)}
	require.NoError(t, l.PostRunning(t.Context()))
	l.running = nil
	run(`CREATE TRIGGER full BEFORE INSERT ON billing BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	require.Error(t, l.Close(t.Context(), bill(30)))
	require.Error(t, l.Close(t.Context(), bill(5)), "it was started again, and ended")
	l.running = []billing.Bill{bill(2)}
	require.Error(t, l.PostRunning(t.Context()))
	run(`DROP TRIGGER full`)
	require.InDelta(t, 30+5+2, l.sum(t, billing.Report{By: []string{"app"}})[0].Seconds, 1e-9)
}
