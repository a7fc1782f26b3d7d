package ui

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
)

// golden compares with a file in testdata; GX_UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if os.Getenv("GX_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "GX_UPDATE_GOLDEN=1 go test writes it")
	require.Equal(t, string(want), got)
}

// screen is a UI with a clock that stands still and outputs that are kept.
type screen struct {
	*UI
	out, err bytes.Buffer
	now      time.Time
}

func newScreen(env map[string]string, width int) *screen {
	s := &screen{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	o := Options{Stdout: &s.out, Stderr: &s.err, Env: func(k string) string { return env[k] }, Now: func() time.Time { return s.now }}
	if width > 0 {
		o.Size = func() (int, int) { return width, 12 }
	}
	s.UI = New(o)
	return s
}

// feed is a build in which the first step is cached and the second runs.
func feed(b *Build) {
	for i, name := range []string{"debian_slim 3.11", "pip_install numpy==1.26.4 pandas==2.2.2", "run_commands\n  echo a\n  echo b"} {
		b.Event(build.Event{Kind: build.EventStep, Step: i, Name: name, Total: 3})
	}
	b.Event(build.Event{Kind: build.EventDone, Step: 0, Cached: true})
	b.Event(build.Event{Kind: build.EventStart, Step: 1, Reason: "the packages changed"})
	b.Event(build.Event{Kind: build.EventLog, Step: 1, Data: "Collecting numpy\n\x1b[31mDownloading\x1b[0m 10%\rDownloading 55%\n\n"})
}

func TestPlainBuild(t *testing.T) {
	s := newScreen(nil, 0)
	p := s.Progress()
	b := p.Build("square")
	feed(b)
	b.Event(build.Event{Kind: build.EventDone, Step: 1, Took: 3400 * time.Millisecond})
	b.Event(build.Event{Kind: build.EventStart, Step: 2})
	b.Event(build.Event{Kind: build.EventFailed, Step: 2, Took: time.Second, Error: "exit status 1"})
	unchanged := p.Build("cube")
	unchanged.Event(build.Event{Kind: build.EventStep, Step: 0, Name: "debian_slim 3.11"})
	unchanged.Event(build.Event{Kind: build.EventDone, Step: 0, Cached: true})
	p.Close()
	golden(t, "build_plain", s.err.String())
	require.Empty(t, s.out.String())
}

func TestLiveFrame(t *testing.T) {
	for _, tc := range []struct {
		name  string
		width int
		env   map[string]string
	}{
		{"wide", 100, map[string]string{"NO_COLOR": "1"}},
		{"narrow", 40, map[string]string{"NO_COLOR": "1"}},
		{"colour", 100, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScreen(tc.env, tc.width)
			p := &Progress{u: s.UI, begun: s.now}
			feed(p.Build("square"))
			p.Upload(1_500_000, 20_000_000)
			s.now = s.now.Add(2300 * time.Millisecond)
			lines := p.frame(tc.width, 12, s.now)
			golden(t, "build_live_"+tc.name, strings.Join(lines, "\n")+"\n")
			require.Len(t, p.frame(tc.width, 4, s.now), 3, "it never scrolls the terminal")
		})
	}
}

// A terminal sees the region removed before anything else is printed, and
// drawn again below.
func TestLiveRegionKeepsClearOfOutput(t *testing.T) {
	s := newScreen(map[string]string{"NO_COLOR": "1"}, 80)
	p := &Progress{u: s.UI, begun: s.now}
	s.progress = p
	feed(p.Build("square"))
	s.now = s.now.Add(time.Second)
	s.Flush()
	drawn := s.err.String()
	require.Contains(t, drawn, "pip_install")
	s.err.Reset()

	s.Warn("careful")
	const up5 = "\r\x1b[5A\x1b[J"
	require.True(t, strings.HasPrefix(s.err.String(), up5+"warning: careful\n"), "%q", s.err.String())
	require.True(t, strings.HasSuffix(s.err.String(), drawn))

	s.size = func() (int, int) { return 20, 12 }
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotContains(t, p.screen.eraser(p.width()), "[5A", "a narrower terminal has wrapped the lines")
}

// The status line stays below everything, gives way to progress, and never
// takes more than its row.
func TestStatusLine(t *testing.T) {
	s := newScreen(map[string]string{"NO_COLOR": "1"}, 30)
	st := s.Status()
	st.Set("version 3", "2 containers", "0.5 requests/s")
	require.Equal(t, "version 3 · 2 containers\n", s.err.String())
	s.err.Reset()
	s.Warn("careful")
	const up = "\r\x1b[A\x1b[J"
	require.Equal(t, up+"warning: careful\nversion 3 · 2 containers\n", s.err.String())
	s.err.Reset()
	p := s.Progress()
	require.Equal(t, up, s.err.String())
	st.Set("version 4")
	require.Equal(t, up, s.err.String())
	p.Close()
	require.Equal(t, up+"version 4\n", s.err.String())
	s.err.Reset()
	st.Close()
	s.Warn("on its own")
	require.Equal(t, up+"warning: on its own\n", s.err.String())

	plain := newScreen(nil, 0)
	none := plain.Status()
	none.Set("version 1")
	none.Close()
	require.Empty(t, plain.err.String())
}

func TestWriterPassesLinesOn(t *testing.T) {
	s := newScreen(nil, 0)
	w := s.Writer(false)
	_, err := w.Write([]byte("one\ntw"))
	require.NoError(t, err)
	require.Equal(t, "one\n", s.out.String())
	_, err = w.Write([]byte("o\nthree"))
	require.NoError(t, err)
	w.Flush()
	w.Flush()
	require.Equal(t, "one\ntwo\nthree\n", s.out.String())
	_, err = s.Writer(true).Write([]byte("no\n"))
	require.NoError(t, err)
	require.Equal(t, "no\n", s.err.String())
}

func TestFailedLogIsWhole(t *testing.T) {
	s := newScreen(nil, 0)
	b := s.Progress().Build("f")
	feed(b)
	b.Event(build.Event{Kind: build.EventFailed, Step: 1})
	require.Equal(t, "Collecting numpy\nDownloading 55%", b.FailedLog())
}

func TestLogTailIsBounded(t *testing.T) {
	var l logTail
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range 40 {
		l.add(line)
	}
	l.add("the end\n")
	require.LessOrEqual(t, l.text.Len(), 2*keepLog)
	require.True(t, strings.HasSuffix(l.String(), "the end"))
	require.Contains(t, l.String(), "left out")
}

func TestProblem(t *testing.T) {
	s := newScreen(nil, 0)
	s.Problem(Problem{
		What: "ModuleNotFoundError: No module named 'cv2'", Detail: "Traceback (most recent call last):\n  ...\n",
		File: "app.py", Line: 12, Source: "    import cv2", Do: "add it:\n.pip_install(\"opencv-python-headless\")",
	})
	golden(t, "problem", s.err.String())
}

func TestFindings(t *testing.T) {
	s := newScreen(nil, 0)
	s.Findings([]Finding{{Level: "ok", Name: "disk", Found: "50 GB free"}, {Level: "failed", Name: "python", Found: "none", Mend: "apt-get install python3"}})
	require.Equal(t, "✓ disk    50 GB free\n✗ python  none\n          → apt-get install python3\n", s.out.String())
}

func TestLogLines(t *testing.T) {
	s := newScreen(nil, 0)
	line := func(container, stream, text string, partial bool) {
		s.Log(api.LogLine{Container: container, Stream: stream, Text: text, Partial: partial}, LogStyle{})
	}
	line("a", "stdout", "half", true)
	line("b", "stdout", "whole", false)
	line("a", "stdout", " of a line", false)
	line("a", "stderr", "warning", false)
	line("a", "stdout", "50%", true)
	line("a", "stdout", " done", false)
	s.Flush()
	require.Equal(t, "half\nwhole\n of a line\n50% done\n", s.out.String())
	require.Equal(t, "warning\n", s.err.String())
}

func TestLogStyle(t *testing.T) {
	s := newScreen(nil, 0)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	s.Log(api.LogLine{Function: "f", Container: "co-1", Stream: "stdout", Time: at, Text: "hello"}, LogStyle{Timestamps: true, Names: true})
	s.Flush()
	require.Equal(t, "2026-01-02 03:04:05.006 f co-1  hello\n", s.out.String())
}

func TestQuiet(t *testing.T) {
	s := newScreen(nil, 0)
	s.SetQuiet(true)
	s.Notice("no")
	s.Done("no", "")
	s.Warn("yes")
	p := s.Progress()
	feed(p.Build("f"))
	p.Close()
	require.Equal(t, "warning: yes\n", s.err.String())
}

func TestTable(t *testing.T) {
	s := newScreen(nil, 0)
	s.Table([]string{"ID", "NAME"}, [][]string{{"ap-123456", "é"}, {"ap-1", "hello"}})
	require.Equal(t, "ID         NAME\nap-123456  é\nap-1       hello\n", s.out.String())
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_500_000: "1.5 MB", 999_960: "1.0 MB", 20e9: "20.0 GB"} {
		require.Equal(t, want, Bytes(n))
	}
	for d, want := range map[time.Duration]string{
		12 * time.Millisecond: "12 ms", 3400 * time.Millisecond: "3.4 s", 42 * time.Second: "42 s",
		125 * time.Second: "2 min 5 s", 3 * time.Hour: "3 h 0 min", 72 * time.Hour: "3 days", -1: "0 ms",
	} {
		require.Equal(t, want, Duration(d))
	}
	for cost, want := range map[float64]string{0: "$0", 1e-9: "under $0.000001", 0.000028: "$0.000028", 1.5: "$1.50"} {
		require.Equal(t, want, Dollars(cost))
	}
}
