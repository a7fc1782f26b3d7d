//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/store"
)

// testDeployedKilled kills a host at random moments while a deployed app's
// schedules fire, calls are spawned, containers print, and versions are deployed:
// the app comes back each time, each call that was acknowledged gets its result,
// and no tick has two calls. GX_TEST_KILLS is how often (3).
func testDeployedKilled(t *testing.T, l *lab) {
	own := *l
	dir := t.TempDir()
	own.runtime = filepath.Join(dir, "run")
	for _, name := range []string{"jobs.py", "spawn.py", "spawned.py"} {
		text, err := os.ReadFile(filepath.Join("testdata/killed", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	// The state is the lab's, whose image is made: its own host makes room.
	l.output(t, l.command("host", "stop", "--force"))
	in := func(args ...string) *exec.Cmd {
		cmd := own.command(args...)
		cmd.Dir = dir
		return cmd
	}
	began := time.Now()
	l.output(t, in("deploy", "jobs.py"))
	t.Cleanup(func() {
		l.output(t, in("app", "stop", "killed-jobs", "--now"))
		l.output(t, in("host", "stop", "--force"))
	})
	for i := range kills(t) {
		own.killSpawning(t, in, dir, i)
		said := l.output(t, in("sdk", "python", "spawned.py"))
		t.Logf("kill %d: %s", i+1, said)
		require.NoError(t, os.Rename(filepath.Join(dir, "acks"), filepath.Join(dir, fmt.Sprint("acks", i))))
		require.Contains(t, l.output(t, in("app", "list")), "deployed")
		own.onceEach(t, in, began)
	}
	l.output(t, in("host", "stop", "--force"))
	db, err := store.Open(filepath.Join(l.state, "host.db"))
	require.NoError(t, err)
	defer db.Close()
	var verdict string
	require.NoError(t, db.Read().QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict))
	require.Equal(t, "ok", verdict)
	var ticks, doubled, lost, unclaimed int
	const mine = `FROM schedule_runs WHERE call IS NOT NULL AND schedule IN (SELECT key FROM schedules WHERE app = 'killed-jobs')`
	require.NoError(t, db.Read().QueryRowContext(t.Context(), `SELECT count(*), count(*) - count(DISTINCT call), count(CASE WHEN call NOT IN (SELECT id FROM spawned) THEN 1 END) `+mine).Scan(&ticks, &doubled, &lost))
	require.Zero(t, doubled, "two ticks have the same call")
	require.Zero(t, lost, "a tick was claimed, and has no call")
	require.NoError(t, db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM spawned WHERE scheduled AND app = 'killed-jobs' AND id NOT IN (SELECT call `+mine+`)
		AND created > (SELECT max(0, min(planned)) / 1e6 `+mine+`)`).Scan(&unclaimed))
	if ticks < 1000 { // else the first ones are not remembered any more
		require.Zero(t, unclaimed, "a call was made that no tick has claimed")
	}
	t.Logf("%d ticks", ticks)
}

// killSpawning spawns calls, and kills the host at some moment; now and then
// while a version is deployed.
func (l *lab) killSpawning(t *testing.T, in func(...string) *exec.Cmd, dir string, round int) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pid := l.hostPid()
	require.NotZero(t, pid)
	var programs []*exec.Cmd
	start := func(args ...string) {
		cmd := in(args...)
		require.NoError(t, cmd.Start())
		programs = append(programs, cmd)
	}
	acks := filepath.Join(dir, "acks")
	require.NoError(t, os.WriteFile(acks, nil, 0o600))
	start("sdk", "python", "spawn.py", fmt.Sprint(round*1000))
	for deadline := time.Now().Add(rand.N(5 * time.Second)); size(t, acks) == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if round%4 == 3 {
		start("deploy", "jobs.py", "--tag", fmt.Sprint("round", round))
	}
	time.Sleep(rand.N(1500 * time.Millisecond)) // the random moment
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	for _, p := range programs {
		_ = p.Wait() // it has lost its host, or is done
	}
	for unix.Kill(pid, 0) == nil {
		require.NoError(t, ctx.Err(), "the host did not end")
		time.Sleep(10 * time.Millisecond)
	}
}

// onceEach looks at what is recorded of the schedules since a time: the state may
// be that of an earlier run of the test.
func (l *lab) onceEach(t *testing.T, in func(...string) *exec.Cmd, began time.Time) {
	for _, function := range []string{"tick", "minute"} {
		var runs []struct {
			Planned time.Time `json:"planned"`
			Last    time.Time `json:"last"`
			Call    string    `json:"call"`
			Outcome string    `json:"outcome"`
			Failure string    `json:"failure"`
			Hand    bool      `json:"hand"`
		}
		require.NoError(t, json.Unmarshal([]byte(l.output(t, in("schedule", "history", "killed-jobs", function, "--json", "--tail", "1000"))), &runs))
		planned, calls := map[time.Time]bool{}, map[string]bool{}
		for i, r := range runs {
			require.False(t, planned[r.Planned], "%s was decided twice for %v", function, r.Planned)
			require.False(t, r.Call != "" && calls[r.Call], "two ticks of %s have the call %s", function, r.Call)
			planned[r.Planned], calls[r.Call] = true, true
			if i > 0 {
				before := runs[i-1].Planned // newest first
				require.True(t, r.Planned.Before(before) && (r.Last.IsZero() || r.Last.Before(before)), "the ticks of %s are not in order: %v, %v", function, before, r)
			}
			require.False(t, r.Outcome == "failed" && r.Planned.After(began), "%s: %s", function, r.Failure)
		}
	}
	// Lines of a run that was cut off may be there twice, its call not.
	require.Eventually(t, func() bool { // the first one may not have been printed yet
		return strings.Contains(l.output(t, in("logs", "killed-jobs")), "tick fc-")
	}, time.Minute, 100*time.Millisecond, "the log is there")
}
