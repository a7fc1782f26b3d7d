//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/store"
)

// testVolumesKilled kills a host at random moments while containers commit, and
// a program puts files and restores versions, and looks each time whether the
// next host has every version whole. GX_TEST_KILLS is how often (3).
func testVolumesKilled(t *testing.T, l *lab) {
	own := *l
	dir := t.TempDir()
	own.runtime = filepath.Join(dir, "run")
	for _, name := range []string{"write.py", "look.py"} {
		text, err := os.ReadFile(filepath.Join("testdata/killed", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	acks, err := os.OpenFile(filepath.Join(dir, "acks"), os.O_CREATE, 0o600)
	require.NoError(t, err)
	acks.Close()
	// The state is the lab's, whose image is made: its own host makes room.
	l.output(t, l.command("host", "stop", "--force"))
	t.Cleanup(func() { l.output(t, own.command("host", "stop", "--force")) })
	for _, name := range []string{"commits", "puts"} {
		l.output(t, own.command("volume", "delete", name, "--yes", "--allow-missing"))
	}
	for i := range kills(t) {
		own.killWriting(t, dir, i%4 == 3)
		cmd := own.command("sdk", "python", "look.py")
		cmd.Dir = dir
		t.Logf("kill %d: %s", i+1, l.output(t, cmd))
	}
	own.unused(t)
}

// kills is how often a host is killed.
func kills(t *testing.T) int {
	text := os.Getenv("GX_TEST_KILLS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// killWriting runs write.py and kills the host: early, or at some moment after
// all kinds of writing have begun.
func (l *lab) killWriting(t *testing.T, dir string, early bool) {
	acks := filepath.Join(dir, "acks")
	before := size(t, acks)
	run := l.command("run", "write.py")
	run.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	defer log.Close()
	run.Stdout, run.Stderr = log, log
	require.NoError(t, run.Start())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := func(what string) {
		text, _ := os.ReadFile(log.Name())
		require.NoError(t, ctx.Err(), "%s within 2 minutes:\n%s", what, text)
		time.Sleep(20 * time.Millisecond)
	}
	for !early && size(t, acks) == before {
		told("nothing was written")
	}
	time.Sleep(rand.N(3 * time.Second)) // the random moment
	pid := 0
	for ; pid == 0; told("no host was started") {
		pid = l.hostPid()
	}
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	_ = run.Wait() // it has lost its host
	for {
		if err := unix.Kill(pid, 0); err != nil {
			return
		}
		told("the host did not end")
	}
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// hostPid is the process of the host, 0 if none answers.
func (l *lab) hostPid() int {
	out, err := l.command("host", "status", "--json").Output()
	var status struct {
		PID int `json:"pid"`
	}
	if err != nil || json.Unmarshal(out, &status) != nil {
		return 0
	}
	return status.PID
}

// unused looks whether anything is on the disk that is in no version.
func (l *lab) unused(t *testing.T) {
	l.output(t, l.command("host", "stop", "--force"))
	l.output(t, l.command("host", "start"))
	l.output(t, l.command("host", "stop", "--force"))
	db, err := store.Open(filepath.Join(l.state, "host.db"))
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Read().QueryContext(t.Context(), `SELECT DISTINCT value FROM volume_versions, json_each(layers) ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	var want, got []string
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		want = append(want, id)
	}
	require.NoError(t, rows.Err())
	entries, err := os.ReadDir(filepath.Join(l.state, "volumes", "layers"))
	require.NoError(t, err)
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(got)
	require.Equal(t, want, got, "the layers on the disk are those of versions")
}
