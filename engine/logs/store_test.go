package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
)

// TestCollectByLastLine has an app that was deployed long ago, and has printed
// until now, outlast one that was begun later.
func TestCollectByLastLine(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c})
	say := func(l *Log) {
		_, err := l.Append([]api.LogLine{line(strings.Repeat("x", 1000))})
		require.NoError(t, err)
		l.End()
		c.Advance(time.Minute)
	}
	say(create(t, s, "ap-old", "deployed"))
	say(create(t, s, "ap-new", "run"))
	again, err := s.Resume(Info{ID: "ap-old", Name: "deployed", Created: c.Now()})
	require.NoError(t, err)
	say(again)
	running := create(t, s, "ap-runs", "runs")
	_, err = running.Append([]api.LogLine{line(strings.Repeat("x", 5000))})
	require.NoError(t, err)
	_, err = s.Collect(2500)
	require.NoError(t, err)
	left, err := s.List()
	require.NoError(t, err)
	require.Len(t, left, 2, "%v: those that run do not count", left)
	require.Equal(t, "ap-runs", left[0].ID)
	require.Equal(t, "ap-old", left[1].ID)
}

// TestTorn has a machine lose power as logs are begun.
func TestTorn(t *testing.T) {
	for name, whose := range map[string]string{"empty": "", "half": `{"id":"ap-1","na`, "missing": "-"} {
		for _, lines := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := open(t, Options{})
				l := create(t, s, "ap-1", "app")
				if lines {
					_, err := l.Append([]api.LogLine{line("kept")})
					require.NoError(t, err)
				}
				l.End()
				path := filepath.Join(s.dir, "ap-1", infoFile)
				require.NoError(t, os.Remove(path))
				if whose != "-" {
					require.NoError(t, os.WriteFile(path, []byte(whose), 0o600))
				}
				s, err := Open(s.dir, s.opt)
				require.NoError(t, err)
				found, err := s.Find("ap-1")
				if !lines {
					require.ErrorIs(t, err, ErrNotFound)
					require.NoDirExists(t, filepath.Join(s.dir, "ap-1"))
					return
				}
				require.NoError(t, err)
				require.Equal(t, "kept", texts(t, found, Query{}))
				again, err := s.Resume(Info{ID: "ap-1", Name: "app", Environment: "dev"})
				require.NoError(t, err)
				again.End()
				found, err = s.Find("dev/app")
				require.NoError(t, err, "its name is known again")
				require.Equal(t, "kept", texts(t, found, Query{}))
			})
		}
	}
}
