package ui

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWaterfall(t *testing.T) {
	var out bytes.Buffer
	u := New(Options{Stdout: &out, Stderr: io.Discard, Env: func(string) string { return "" }})
	u.Waterfall([]Bar{
		{Name: "queue", Start: 0, Took: 1},
		{Name: "turn", Start: 1, Took: 0.0001}, // nothing of the whole
		{Name: "import", Start: 1, Took: 2},
		{Name: "run", Start: 3, Took: 0.005, Note: "attempt 1: raised"}, // little, but noted
		{Name: "run", Start: 3.005, Took: 0.995},
	})
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	require.Len(t, lines, 4)
	const bars = 80 - 6 - 6 - 17 - 8
	for i, c := range []struct {
		head         string
		from, length int
		note         string
	}{
		{"  queue    1.0 s  ", 0, 11, ""}, {"  import   2.0 s  ", 10, 22, ""}, {"  run     5.0 ms  ", 32, 1, "attempt 1: raised"}, {"  run     995 ms  ", 32, 11, ""},
	} {
		line, ok := strings.CutPrefix(lines[i], c.head)
		require.True(t, ok, "%q begins with %q", lines[i], c.head)
		require.True(t, strings.HasSuffix(line, c.note), line)
		bar := []rune(strings.TrimRight(strings.TrimSuffix(line, c.note), " "))
		require.Equal(t, strings.Repeat(" ", c.from)+strings.Repeat("━", c.length), string(bar))
		require.LessOrEqual(t, len(bar), bars)
	}
	out.Reset()
	u.Waterfall(nil)
	u.Waterfall([]Bar{{Name: "run"}})
	require.Equal(t, "  run  0 µs  ━\n", out.String())
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""}, {"one two three", 8, "one two\nthree"}, {"averyverylongword b", 5, "averyverylongword\nb"}, {"ä ö ü", 3, "ä ö\nü"},
	} {
		require.Equal(t, c.want, wrap(c.text, c.width))
	}
}

func TestPrecise(t *testing.T) {
	for s, want := range map[float64]string{0: "0 µs", 0.00005: "50 µs", 0.0025: "2.5 ms", 0.25: "250 ms", 2.5: "2.5 s"} {
		require.Equal(t, want, precise(s))
	}
}
