package schedule_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/schedule"
	"github.com/gx-dev/gx/engine/store"
)

// bench is a host's schedules, whose calls a test ends.
type bench struct {
	t     *testing.T
	dir   string
	clock *clock.Fake
	db    *store.DB
	*schedule.Runner

	calls map[string]string // by id: what they were spawned for
	fired []string          // function and time
	open  []string          // calls that have not ended
	slow  bool              // calls do not end by themselves
	fails error
	ids   int
}

func newBench(t *testing.T, now string) *bench {
	moment, err := time.Parse(time.DateTime, now)
	require.NoError(t, err)
	b := &bench{t: t, dir: t.TempDir(), clock: clock.NewFake(moment), calls: map[string]string{}}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) start() {
	b.t.Helper()
	ctx := b.t.Context()
	var err error
	b.db, err = store.Open(filepath.Join(b.dir, "db"))
	require.NoError(b.t, err)
	environments, err := environment.Open(ctx, b.db, b.clock)
	require.NoError(b.t, err)
	b.Runner, err = schedule.Open(ctx, schedule.Config{
		DB: b.db, Clock: b.clock, Environments: environments, Log: slog.New(slog.DiscardHandler), Spawn: b.spawn,
		NewID: func(prefix string) string { b.ids++; return fmt.Sprintf("%s-hand%d", prefix, b.ids) },
		Alive: func(_ context.Context, call string) (bool, error) {
			for _, open := range b.open {
				if open == call {
					return true, nil
				}
			}
			return false, nil
		},
	})
	require.NoError(b.t, err)
	require.NoError(b.t, b.Start(ctx))
}

func (b *bench) stop() {
	b.Close()
	require.NoError(b.t, b.db.Close())
}

func (b *bench) spawn(ctx context.Context, name schedule.Name, call string, claim func(*sql.Tx) error) error {
	if b.fails != nil {
		return b.fails
	}
	if b.calls[call] != "" {
		return errors.New("there is a call of this id already")
	}
	if err := b.db.Update(ctx, claim); err != nil {
		return err
	}
	b.calls[call] = name.Function
	b.fired = append(b.fired, name.Function+" "+b.clock.Now().UTC().Format("01-02 15:04:05"))
	b.open = append(b.open, call)
	if !b.slow {
		b.end("")
	}
	return nil
}

// end ends all calls.
func (b *bench) end(failure string) {
	b.t.Helper()
	for _, call := range b.open {
		require.NoError(b.t, b.db.Update(b.t.Context(), func(tx *sql.Tx) error {
			return schedule.Ended(tx, call, b.clock.Now(), failure)
		}))
	}
	b.open = nil
}

func (b *bench) set(specs map[string]app.Schedule) {
	b.t.Helper()
	require.NoError(b.t, b.Set(b.t.Context(), "main", "app", specs))
}

func (b *bench) take() string {
	text := strings.Join(b.fired, ", ")
	b.fired = nil
	return text
}

func name(function string) schedule.Name {
	return schedule.Name{Environment: "main", App: "app", Function: function}
}

// outcomes are what is recorded of a function, the newest first.
func (b *bench) outcomes(function string) string {
	b.t.Helper()
	runs, err := b.Runs(b.t.Context(), name(function), 100)
	require.NoError(b.t, err)
	var texts []string
	for _, r := range runs {
		text := fmt.Sprintf("%s %s", r.Planned.Format("15:04:05"), r.Outcome)
		if r.Ticks > 1 {
			text += fmt.Sprintf(" x%d", r.Ticks)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func hours(n int) app.Schedule { return app.Schedule{Period: &app.Period{Hours: n}} }

// TestYear turns the clock by a year, with two ends of the host in it.
func TestYear(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:30")
	b.set(map[string]app.Schedule{
		"nightly": {Cron: "30 2 * * *", Timezone: "Europe/Berlin"},
		"weekly":  {Cron: "0 8 * * mon"},
		"monthly": {Period: &app.Period{Months: 1}},
		"period":  hours(6),
	})
	begin := b.clock.Now()
	for day := range 365 {
		switch day {
		case 100:
			b.stop()
			b.clock.Advance(24 * time.Hour)
			b.start()
		case 200: // the host is gone for a moment only
			b.stop()
			b.start()
			b.clock.Advance(24 * time.Hour)
		default:
			b.clock.Advance(24 * time.Hour)
		}
	}
	require.Equal(t, 365*24*time.Hour, b.clock.Now().Sub(begin))
	count := map[string]int{}
	for _, f := range b.fired {
		function, _, _ := strings.Cut(f, " ")
		count[function]++
	}
	require.Equal(t, map[string]int{"nightly": 365 - 1, "weekly": 52, "monthly": 12, "period": 365*4 - 4}, count)
	require.Len(t, b.calls, len(b.fired), "each tick has a call of its own")
	list, err := b.List(t.Context(), "main", 5)
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.Equal(t, "monthly", list[0].Function)
	require.Len(t, list[1].Next, 5)
}

func TestMissed(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.set(map[string]app.Schedule{"f": hours(1), "g": {Cron: "0 12 * * *"}})
	b.clock.Advance(time.Hour)
	require.Equal(t, "f 01-01 01:00:00", b.take())
	b.stop()
	b.clock.Advance(5*time.Hour + 30*time.Minute)
	b.start()
	require.Empty(t, b.take(), "it is not made up for")
	require.Equal(t, "02:00:00 missed x5, 01:00:00 ok", b.outcomes("f"))
	b.clock.Advance(time.Hour)
	require.Equal(t, "f 01-01 07:00:00", b.take())
	info, err := b.Info(t.Context(), name("f"), 2)
	require.NoError(t, err)
	require.Equal(t, 5, info.Missed)
	require.Equal(t, schedule.OK, info.Last.Outcome)
	require.Empty(t, b.outcomes("g"))
	runs, err := b.Runs(t.Context(), name("f"), 2)
	require.NoError(t, err)
	require.Equal(t, "the host was down", runs[1].Failure)
	require.Equal(t, "06:00:00", runs[1].Last.Format(time.TimeOnly))
}

// TestSuspended jumps, as the clock of a machine that slept does.
func TestSuspended(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.set(map[string]app.Schedule{"f": hours(1), "s": {Period: &app.Period{Seconds: 20}}})
	b.clock.Advance(time.Minute)
	require.Equal(t, "s 01-01 00:00:20, s 01-01 00:00:40, s 01-01 00:01:00", b.take())
	b.clock.Jump(59*time.Minute + 10*time.Second) // 01:00:10
	b.clock.Advance(20 * time.Second)
	require.Equal(t, "s 01-01 01:00:10, f 01-01 01:00:10, s 01-01 01:00:20", b.take(), "f is late, but not too late; of s the last is fired")
	require.Equal(t, "01:00:20 ok, 01:00:00 ok, 00:01:20 missed x176", b.outcomes("s")[:len("01:00:20 ok, 01:00:00 ok, 00:01:20 missed x176")])
	b.clock.Jump(61*time.Minute + 30*time.Second) // 02:02
	b.clock.Advance(20 * time.Second)
	require.Equal(t, "s 01-01 02:02:00, s 01-01 02:02:20", b.take())
	require.Equal(t, "02:00:00 missed, 01:00:00 ok", b.outcomes("f"))
}

func TestOverlap(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.slow = true
	b.set(map[string]app.Schedule{"f": hours(1)})
	b.clock.Advance(3 * time.Hour)
	require.Equal(t, "f 01-01 01:00:00", b.take())
	require.Equal(t, "03:00:00 skipped, 02:00:00 skipped, 01:00:00 running", b.outcomes("f"))
	b.end("ValueError: no")
	b.clock.Advance(time.Hour)
	require.Equal(t, "f 01-01 04:00:00", b.take())
	require.Equal(t, "04:00:00 running, 03:00:00 skipped, 02:00:00 skipped, 01:00:00 failed", b.outcomes("f"))

	// A host that ends does not end the run; one whose call is lost is over.
	b.stop()
	b.start()
	b.clock.Advance(time.Hour)
	require.Equal(t, "05:00:00 skipped, 04:00:00 running", b.outcomes("f")[:len("05:00:00 skipped, 04:00:00 running")])
	b.stop()
	b.open = nil
	b.start()
	b.clock.Advance(time.Hour)
	require.Equal(t, "f 01-01 06:00:00", b.take())
	call, err := b.Fire(t.Context(), name("f"))
	require.NoError(t, err, "what is asked for is not skipped")
	require.Equal(t, "fc-hand1", call)
	b.end("")
	require.Equal(t, "06:00:00 ok, 06:00:00 ok", b.outcomes("f")[:len("06:00:00 ok, 06:00:00 ok")])
}

func TestPause(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.set(map[string]app.Schedule{"f": hours(1)})
	require.NoError(t, b.Pause(t.Context(), name("f")))
	b.clock.Advance(2 * time.Hour)
	info, err := b.Info(t.Context(), name("f"), 5)
	require.NoError(t, err)
	require.Empty(t, info.Next)
	require.Equal(t, "2026-01-01 00:00:00", info.Paused.Format(time.DateTime))
	b.stop()
	b.clock.Advance(2 * time.Hour)
	b.start()
	b.set(map[string]app.Schedule{"f": hours(1)})
	require.Empty(t, b.outcomes("f"), "of a paused schedule nothing is missed")
	_, err = b.Fire(t.Context(), name("f"))
	require.NoError(t, err)
	require.Equal(t, "f 01-01 04:00:00", b.take())
	b.clock.Advance(30 * time.Minute)
	require.NoError(t, b.Resume(t.Context(), name("f")))
	require.NoError(t, b.Resume(t.Context(), name("f")))
	b.clock.Advance(time.Hour)
	require.Equal(t, "f 01-01 05:00:00", b.take())
}

// TestDeployments sets the schedules as deployments do.
func TestDeployments(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.set(map[string]app.Schedule{"f": hours(4), "g": hours(1)})
	b.clock.Advance(90 * time.Minute)
	require.Equal(t, "g 01-01 01:00:00", b.take())
	b.set(map[string]app.Schedule{"f": hours(4), "g": hours(2), "h": hours(1)}) // f is not shifted
	b.clock.Advance(150 * time.Minute)
	require.Equal(t, "h 01-01 02:30:00, g 01-01 03:30:00, h 01-01 03:30:00, f 01-01 04:00:00", b.take())
	b.set(map[string]app.Schedule{"f": hours(4)})
	b.clock.Advance(4 * time.Hour)
	require.Equal(t, "f 01-01 08:00:00", b.take())
	_, err := b.Fire(t.Context(), name("h"))
	require.Equal(t, ask.KindRefused, ask.Kind(err))
	_, err = b.Fire(t.Context(), name("unknown"))
	require.ErrorContains(t, err, "f have one")
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	b.set(nil)
	b.clock.Advance(8 * time.Hour)
	require.Empty(t, b.take())
	require.NotEmpty(t, b.outcomes("f"), "what it did is remembered")
	b.set(map[string]app.Schedule{"f": hours(4)})
	b.clock.Advance(4 * time.Hour)
	require.Equal(t, "f 01-01 20:00:00", b.take(), "it counts from the deployment")
	require.Error(t, b.Set(t.Context(), "main", "app", map[string]app.Schedule{"f": {Cron: "x"}}))
	require.Error(t, b.Set(t.Context(), "nowhere", "app", nil))
	full := errors.New("the disk is full")
	require.ErrorIs(t, b.Forget(t.Context(), "main", "app", func(*sql.Tx) error { return full }), full)
	require.NotEmpty(t, b.outcomes("f"), "both are forgotten, or none")
	require.NoError(t, b.Forget(t.Context(), "main", "app", func(*sql.Tx) error { return nil }))
	b.clock.Advance(4 * time.Hour)
	require.Empty(t, b.take())
	list, err := b.List(t.Context(), "", 1)
	require.NoError(t, err)
	require.Empty(t, list)
}

// TestOnce loses the records of a tick, and has one whose call is refused.
func TestOnce(t *testing.T) {
	b := newBench(t, "2026-01-01 00:00:00")
	b.set(map[string]app.Schedule{"f": hours(1)})
	b.clock.Advance(time.Hour)
	require.Len(t, b.calls, 1)
	require.NoError(t, b.db.Update(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM schedule_runs`)
		return err
	}))
	// Another host, with a clock that was set back.
	b.stop()
	b.clock = clock.NewFake(b.clock.Now().Add(-30 * time.Minute))
	b.start()
	b.clock.Advance(time.Hour)
	require.Len(t, b.calls, 1)
	b.fails = errors.New("the disk is full")
	b.clock.Advance(30 * time.Minute)
	b.fails = nil
	require.Equal(t, "02:00:00 failed", b.outcomes("f"))
	b.clock.Advance(time.Hour)
	require.Equal(t, "03:00:00 ok, 02:00:00 failed", b.outcomes("f"))
}

// TestTickAtDeployment has ticks be due when the schedules of another version are
// set, and nobody has come to fire them: they are those of the version before,
// each once.
func TestTickAtDeployment(t *testing.T) {
	for what, next := range map[string]app.Schedule{
		"the same": hours(1), "other": hours(2), "as often by the clock": {Cron: "0 * * * *"}, "none": {},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t, "2026-01-01 00:00:00")
			b.set(map[string]app.Schedule{"f": hours(1)})
			b.clock.Jump(time.Hour) // to the very moment
			specs := map[string]app.Schedule{"f": next}
			if next == (app.Schedule{}) {
				delete(specs, "f")
			}
			b.set(specs)
			require.Equal(t, "f 01-01 01:00:00", b.take())
			b.clock.Advance(time.Minute)
			require.Empty(t, b.take())
			require.Equal(t, "01:00:00 ok", b.outcomes("f"))
		})
	}
}

// TestClockSetBack has the clock be wrong by a year: what was fired by it is not
// fired again, and it does not silence the schedule for a year.
func TestClockSetBack(t *testing.T) {
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprintf("host ended %v", ended), func(t *testing.T) {
			b := newBench(t, "2026-01-01 00:00:00")
			b.set(map[string]app.Schedule{"f": {Cron: "0 * * * *"}, "g": hours(1)})
			b.clock.Advance(2 * time.Hour)
			b.take()
			b.clock.Jump(365 * 24 * time.Hour)
			b.clock.Advance(time.Hour)
			require.Equal(t, "f 01-01 02:00:00, g 01-01 02:00:00, f 01-01 03:00:00, g 01-01 03:00:00", b.take())
			if ended {
				b.stop()
			}
			b.clock.Jump(-365*24*time.Hour - 2*time.Hour) // 01:00
			if ended {
				b.start()
			}
			b.clock.Advance(2*time.Hour + 10*time.Minute)
			require.Empty(t, b.take(), "02:00 was fired, and 03:00 missed")
			b.clock.Advance(time.Hour)
			require.Equal(t, "f 01-01 04:00:00, g 01-01 04:00:00", b.take())
			if ended {
				b.stop()
				b.start()
			}
			b.clock.Advance(time.Hour)
			require.Equal(t, "f 01-01 05:00:00, g 01-01 05:00:00", b.take())
		})
	}
}
