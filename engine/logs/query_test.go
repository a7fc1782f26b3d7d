package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/logs/where"
)

func condition(t *testing.T, text string) *where.Condition {
	t.Helper()
	c, err := where.Parse(text)
	require.NoError(t, err)
	return c
}

// fill appends lines, one a second, of which every tenth is structured.
func fill(t *testing.T, l *Log, c *clock.Fake, n int) []api.LogLine {
	t.Helper()
	var all []api.LogLine
	for i := range n {
		line := api.LogLine{Function: fmt.Sprintf("f%d", i%3), Container: fmt.Sprintf("co-%d", i%5), Stream: Stdout, Text: fmt.Sprintf("line %d %s", i, strings.Repeat("x", 100))}
		if i%2 == 1 {
			line.Stream = Stderr
		}
		if i%7 == 0 {
			line.Call, line.Input = fmt.Sprintf("fc-%d", i%4), uint32(i)
		}
		if i%10 == 0 {
			line.Text = fmt.Sprintf(`{"event":"request","n":%d}`, i)
		}
		_, err := l.Append([]api.LogLine{line})
		require.NoError(t, err)
		line.Seq, line.App, line.Time = uint64(i+1), l.info.ID, time.Unix(0, c.Now().UnixNano())
		all = append(all, line)
		c.Advance(time.Second)
	}
	return all
}

// TestQueries holds every query to what a loop over all lines gives, in a log
// of many segments and blocks, while it is written to and afterwards.
func TestQueries(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c, SegmentBytes: 200 << 10, AppBytes: 1 << 30})
	l := create(t, s, "ap-1", "hello")
	all := fill(t, l, c, 8_000)
	require.Greater(t, len(l.segments), 5)
	require.Greater(t, len(l.segments[0].blocks), 2)
	at := func(i int) time.Time { return all[i].Time }
	queries := map[string]Query{
		"all":             {},
		"tail":            {Tail: 7},
		"tail of all":     {Tail: 1 << 40},
		"after":           {After: 6_000},
		"after and tail":  {After: 7_998, Tail: 10},
		"since":           {Since: at(5_345)},
		"since between":   {Since: at(5_345).Add(-time.Millisecond)},
		"since the start": {Since: at(0)},
		"since too late":  {Since: c.Now().Add(time.Hour)},
		"until":           {Until: at(5_345)},
		"until too early": {Until: at(0).Add(-time.Second)},
		"range":           {Since: at(100), Until: at(6_000)},
		"tail of a range": {Since: at(100), Until: at(6_000), Tail: 5},
		"tail beyond it":  {Since: at(5_990), Until: at(6_000), Tail: 50},
		"function":        {Filter: Filter{Functions: []string{"f1"}}},
		"functions":       {Filter: Filter{Functions: []string{"f1", "f2", "gone"}}, Tail: 9},
		"container":       {Filter: Filter{Containers: []string{"co-4"}}, Tail: 1000},
		"call":            {Filter: Filter{Calls: []string{"fc-3"}}, Tail: 3},
		"stream":          {Filter: Filter{Streams: []string{Stderr}}, Since: at(7_000)},
		"search":          {Filter: Filter{Search: "line 17"}},
		"where":           {Filter: Filter{Where: []*where.Condition{condition(t, "event=request"), condition(t, "n>=300"), condition(t, "n<500")}}},
		"where, tail":     {Filter: Filter{Where: []*where.Condition{condition(t, "n<500")}}, Tail: 3},
		"nothing fits":    {Filter: Filter{Search: "nowhere"}, Tail: 3},
	}
	check := func(t *testing.T, l *Log) {
		for name, q := range queries {
			var want []api.LogLine
			for _, line := range all {
				rec := record{
					seq: line.Seq, function: []byte(line.Function), container: []byte(line.Container), call: []byte(line.Call), text: []byte(line.Text),
				}
				if line.Stream == Stderr {
					rec.flags = flagStderr
				}
				if line.Seq > q.After && !line.Time.Before(q.Since) && (q.Until.IsZero() || !line.Time.After(q.Until)) && q.Filter.wants(&rec) {
					want = append(want, line)
				}
			}
			if q.Tail > 0 && q.Tail < len(want) {
				want = want[len(want)-q.Tail:]
			}
			var got []api.LogLine
			require.NoError(t, l.Read(t.Context(), q, func(lines []api.LogLine) error {
				got = append(got, lines...)
				return nil
			}))
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
			}
		}
	}
	t.Run("live", func(t *testing.T) { check(t, l) })
	l.End()
	again := func(t *testing.T) *Log {
		store, err := Open(s.dir, s.opt)
		require.NoError(t, err)
		found, err := store.Find("hello")
		require.NoError(t, err)
		return found
	}
	t.Run("ended", func(t *testing.T) { check(t, again(t)) })
	indices, _ := filepath.Glob(filepath.Join(l.dir, "*"+indexSuffix))
	require.Len(t, indices, len(l.segments))
	for i, path := range indices {
		if i%2 == 0 {
			require.NoError(t, os.Remove(path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte("torn"), 0o600))
		}
	}
	t.Run("without indices", func(t *testing.T) { check(t, again(t)) })
	t.Run("holding", func(t *testing.T) {
		found, err := s.Holding(t.Context(), Filter{Containers: []string{"co-3"}})
		require.NoError(t, err)
		require.Equal(t, "ap-1", found.Info().ID)
		_, err = s.Holding(t.Context(), Filter{Containers: []string{"co-9"}})
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestResume(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	dir := t.TempDir()
	info := Info{ID: "ap-1", Name: "hello", Created: c.Now()}
	var want []string
	for round := range 4 {
		s, err := Open(dir, Options{Clock: c, SegmentBytes: 1000})
		require.NoError(t, err)
		l, err := s.Resume(info)
		require.NoError(t, err)
		_, err = s.Resume(info)
		require.ErrorContains(t, err, "already")
		for i := range 30 {
			text := fmt.Sprintf("%d:%d", round, i)
			last, err := l.Append([]api.LogLine{line(text)})
			require.NoError(t, err)
			want = append(want, text)
			require.EqualValues(t, len(want), last)
		}
		require.Equal(t, strings.Join(want, " "), texts(t, l, Query{}))
		path := segmentPath(l.dir, l.last().first)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		switch round {
		case 0: // a host that ends in order
			l.End()
		case 1: // one that is killed in the middle of a line
			require.NoError(t, os.WriteFile(path, append(data, appendRecord(nil, &api.LogLine{Seq: 1, Text: "torn"})[:9]...), 0o600))
		case 2: // a machine without power: the size is there, the content is not
			require.NoError(t, os.WriteFile(path, append(data, make([]byte, 100)...), 0o600))
		}
	}
	s, err := Open(dir, Options{Clock: c})
	require.NoError(t, err)
	l, err := s.Find("hello")
	require.NoError(t, err)
	require.Equal(t, strings.Join(want, " "), texts(t, l, Query{Follow: true}))
}

func TestFollowersSeeWhatComesAfterAResume(t *testing.T) {
	dir := t.TempDir()
	info := Info{ID: "ap-1", Name: "hello"}
	var seen []string
	after := uint64(0)
	for round := range 3 {
		s, err := Open(dir, Options{})
		require.NoError(t, err)
		l, err := s.Resume(info)
		require.NoError(t, err)
		followed := make(chan error, 1)
		go func() {
			followed <- l.Read(t.Context(), Query{After: after, Follow: true}, func(lines []api.LogLine) error {
				for _, line := range lines {
					seen, after = append(seen, line.Text), line.Seq
				}
				return nil
			})
		}()
		for i := range 10 {
			_, err := l.Append([]api.LogLine{line(fmt.Sprint(round, ".", i))})
			require.NoError(t, err)
		}
		if round < 2 {
			l.Suspend()
			require.ErrorIs(t, <-followed, ErrSuspended)
		} else {
			l.End()
			require.NoError(t, <-followed)
		}
	}
	require.Len(t, seen, 30)
	require.Equal(t, "0.0", seen[0])
	require.Equal(t, "2.9", seen[29])
}

func TestNewestThatRunsIsFound(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c})
	for _, id := range []string{"ap-1", "ap-2", "ap-3"} {
		create(t, s, id, "same")
		c.Advance(time.Minute)
	}
	find := func() string {
		l, err := s.Find("same")
		require.NoError(t, err)
		return l.Info().ID
	}
	require.Equal(t, "ap-3", find())
	s.live["ap-3"].End()
	require.Equal(t, "ap-2", find())
	s.live["ap-2"].End()
	s.live["ap-1"].End()
	require.Equal(t, "ap-3", find())
}

func TestTimesNeverGoBack(t *testing.T) {
	s := open(t, Options{})
	l := create(t, s, "ap-1", "")
	late := line("late")
	late.Time = time.Unix(100, 0)
	early := line("early")
	early.Time = time.Unix(50, 0)
	_, err := l.Append([]api.LogLine{late, early})
	require.NoError(t, err)
	require.Equal(t, "late early", texts(t, l, Query{Since: time.Unix(100, 0)}))
}

func TestDamage(t *testing.T) {
	s := open(t, Options{SegmentBytes: 1000})
	l := create(t, s, "ap-1", "")
	for i := range 100 {
		_, err := l.Append([]api.LogLine{line(fmt.Sprintf("n%d", i))})
		require.NoError(t, err)
	}
	l.End()
	second := segmentPath(l.dir, l.segments[1].first)
	data, err := os.ReadFile(second)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(second, data, 0o600))
	require.NoError(t, os.Remove(indexPath(l.dir, l.segments[1].first)))
	again, err := Open(s.dir, Options{})
	require.NoError(t, err)
	found, err := again.Find("ap-1")
	require.NoError(t, err)
	got := texts(t, found, Query{})
	require.Contains(t, got, "are missing here")
	require.True(t, strings.HasPrefix(got, "n0 ") && strings.HasSuffix(got, " n99"), got)
}

func TestLinesOfALiveLogGrowOld(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c, MaxAge: 10 * 24 * time.Hour})
	l := create(t, s, "ap-1", "")
	for day := range 30 {
		_, err := l.Append([]api.LogLine{line(fmt.Sprint(day))})
		require.NoError(t, err)
		c.Advance(24*time.Hour + time.Second)
	}
	freed, err := s.Collect(0)
	require.NoError(t, err)
	require.Positive(t, freed)
	require.Equal(t, "21 22 23 24 25 26 27 28 29", strings.SplitN(texts(t, l, Query{}), "10 days) ", 2)[1])
	require.Equal(t, "29", texts(t, l, Query{Tail: 1}))
}

func TestUntilEndsFollowing(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c})
	l := create(t, s, "ap-1", "")
	_, err := l.Append([]api.LogLine{line("a")})
	require.NoError(t, err)
	came, done := make(chan struct{}), make(chan error)
	go func() {
		done <- l.Read(t.Context(), Query{Follow: true, Until: c.Now().Add(time.Minute)}, func([]api.LogLine) error {
			close(came)
			return nil
		})
	}()
	<-came
	c.Advance(2 * time.Minute)
	require.NoError(t, <-done)
}

func TestAFilterThatFitsNothingCanBeGivenUp(t *testing.T) {
	s := open(t, Options{})
	l := create(t, s, "ap-1", "")
	_, err := l.Append([]api.LogLine{line("a")})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, q := range []Query{{Filter: Filter{Search: "b"}}, {Tail: 1, Filter: Filter{Search: "b"}}} {
		if err := l.Read(ctx, q, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}
