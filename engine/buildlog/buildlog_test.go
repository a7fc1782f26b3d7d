package buildlog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
)

func run(commands ...string) app.Step { return app.Step{Op: app.OpRun, Commands: commands} }

// recorded records a build whose steps print what printed says, where they are not
// cached; those behind a failed one do not come.
func recorded(t *testing.T, s *Store, id string, steps []app.Step, printed []string, failed error) {
	t.Helper()
	r := s.Record(steps, "3.12")
	for i := range steps {
		r.Event(build.Event{Kind: build.EventStep, Image: id, Step: i})
	}
	r.Event(build.Event{Kind: build.EventLog, Image: id, Step: -1, Data: "gx's own\n"})
	for i := range steps {
		switch {
		case i >= len(printed):
			r.Event(build.Event{Kind: build.EventDone, Image: id, Step: i, Cached: true})
			continue
		case printed[i] == "":
			r.Event(build.Event{Kind: build.EventDone, Image: id, Step: i, Cached: true})
			continue
		}
		r.Event(build.Event{Kind: build.EventStart, Image: id, Step: i})
		for line := range strings.Lines(printed[i]) {
			r.Event(build.Event{Kind: build.EventLog, Image: id, Step: i, Data: line})
		}
		if failed != nil && i == len(printed)-1 {
			r.Event(build.Event{Kind: build.EventFailed, Image: id, Step: i, Error: failed.Error()})
			break
		}
		r.Event(build.Event{Kind: build.EventDone, Image: id, Step: i, Took: 2 * time.Second})
	}
	require.NoError(t, r.End())
}

func logs(t *testing.T, s *Store, id string) (list []string) {
	t.Helper()
	steps, err := s.Read(id)
	require.NoError(t, err)
	for _, step := range steps {
		list = append(list, step.Name+": "+step.Log+step.Error)
	}
	return list
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, clock.Real{})
	require.NoError(t, err)
	base := []app.Step{{Op: app.OpDebianSlim}, run("one")}
	recorded(t, s, "im-01", base, []string{"unpacked\n", "first\nsecond\n"}, nil)
	require.Equal(t, []string{"debian_slim: unpacked\n", "run_commands one: first\nsecond\n"}, logs(t, s, "im-01"))
	steps, err := s.Read("im-01")
	require.NoError(t, err)
	require.InDelta(t, 2, steps[1].Took, 0)
	require.WithinDuration(t, time.Now(), steps[1].Time, time.Minute)

	// Another image has the same beginning, which was cached.
	recorded(t, s, "im-02", append(base, run("two")), []string{"", "", "third\n"}, nil)
	require.Equal(t, []string{"debian_slim: unpacked\n", "run_commands one: first\nsecond\n", "run_commands two: third\n"}, logs(t, s, "im-02"))
	// The same step after another one is another step.
	recorded(t, s, "im-03", []app.Step{base[0], run("zero"), base[1]}, []string{"", "nought\n", "after nought\n"}, nil)
	require.Equal(t, []string{"debian_slim: unpacked\n", "run_commands zero: nought\n", "run_commands one: after nought\n"}, logs(t, s, "im-03"))
	require.Equal(t, "run_commands one: first\nsecond\n", logs(t, s, "im-01")[1])

	recorded(t, s, "im-04", append(base, run("bad"), run("never")), []string{"", "", "so far\n"}, errors.New("it ended with 3"))
	require.Equal(t, []string{"run_commands bad: so far\nit ended with 3", "run_commands never: "}, logs(t, s, "im-04")[2:])
	// Built anew, it is what it printed last; and the next host has it.
	recorded(t, s, "im-01", base, []string{"", "again\n"}, nil)
	s, err = Open(dir, clock.Real{})
	require.NoError(t, err)
	require.Equal(t, "run_commands one: again\n", logs(t, s, "im-01")[1])

	for _, id := range []string{"im-05", "", "../x", "im-01/../im-01", "step-" + strings.Repeat("0", 32)} {
		_, err := s.Read(id)
		require.Equal(t, ask.KindNotFound, ask.Kind(err), id)
	}
}

// TestLimits has a step print without end, and many steps print much.
func TestLimits(t *testing.T) {
	s, err := Open(t.TempDir(), clock.Real{})
	require.NoError(t, err)
	line := strings.Repeat("x", 99) + "\n"
	recorded(t, s, "im-01", []app.Step{run("loud")}, []string{strings.Repeat(line, 5*maxStep/len(line)) + "the end\n"}, nil)
	steps, err := s.Read("im-01")
	require.NoError(t, err)
	require.LessOrEqual(t, len(steps[0].Log), maxStep+len("[...]\n"))
	require.Greater(t, len(steps[0].Log), maxStep-2*len(line))
	require.True(t, strings.HasPrefix(steps[0].Log, "[...]\n"+line))
	require.True(t, strings.HasSuffix(steps[0].Log, line+"the end\n"))

	// A line without end, as progress bars are, which is cut within a character.
	recorded(t, s, "im-03", []app.Step{run("bar")}, []string{strings.Repeat("\u20ac", maxStep) + "100 %"}, nil)
	steps, err = s.Read("im-03")
	require.NoError(t, err)
	require.Greater(t, len(steps[0].Log), maxStep/2)
	require.NotContains(t, steps[0].Log, "\ufffd")
	require.True(t, strings.HasSuffix(steps[0].Log, "\u20ac100 %"))

	s.most = 100 << 10
	recorded(t, s, "im-02", []app.Step{run("one")}, []string{strings.Repeat(line, 500)}, nil)
	require.NotEmpty(t, logs(t, s, "im-02")[0])
	_, err = s.Read("im-02")
	require.NoError(t, err)
	steps, err = s.Read("im-01")
	if err == nil {
		require.Empty(t, steps[0].Log, "what was written first has gone")
	}
}
