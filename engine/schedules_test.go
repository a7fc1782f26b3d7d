package engine

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

// deploy deploys functions of a module of testdata.
func (h *host) deployScheduled(functions ...app.Function) {
	h.t.Helper()
	m := app.Manifest{Version: app.ManifestVersion, Name: "jobs", Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}}, Force: -1}},
		Mounts: []app.Mount{{Files: []app.File{h.put("functions.py")}}}}
	for _, f := range functions {
		f.Qualname, f.Module, f.Mounts = f.Name, "functions", []int{0}
		m.Functions = append(m.Functions, f)
	}
	_, err := h.Deploy(context.Background(), api.DeployRequest{Manifest: m, Images: []string{h.image()}})
	require.NoError(h.t, err)
}

func (h *host) runs(function string) []api.ScheduleRun {
	h.t.Helper()
	runs, err := h.ScheduleRuns(context.Background(), "jobs", function, 1000)
	require.NoError(h.t, err)
	return runs
}

// outcomes counts the ticks of a function by what became of them.
func (h *host) outcomes(function string) map[string]int {
	count := map[string]int{}
	for _, r := range h.runs(function) {
		count[r.Outcome] += r.Ticks
	}
	return count
}

func every(seconds float64) *app.Schedule {
	return &app.Schedule{Period: &app.Period{Seconds: seconds}}
}

// TestSchedules has a deployed app's functions called by themselves, over an end
// of the host.
func TestSchedules(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		h.deployScheduled(app.Function{Name: "job", Schedule: every(1)}, app.Function{Name: "badjob", Schedule: every(1)},
			app.Function{Name: "longjob", Schedule: every(1)}, app.Function{Name: "square"})
		wait := func(what string, reached func() bool) {
			t.Helper()
			require.Eventually(t, reached, 3*time.Minute, 50*time.Millisecond, what)
		}
		wait("runs", func() bool {
			return h.outcomes("job")["ok"] >= 2 && h.outcomes("badjob")["failed"] >= 2 && h.outcomes("longjob")["skipped"] >= 2
		})
		runs := h.runs("badjob")
		require.Contains(t, runs[len(runs)-1].Failure, "ValueError: by itself")
		require.Equal(t, 1, h.outcomes("longjob")["running"])
		list, err := h.Schedules(t.Context(), "main", "")
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.Equal(t, `Period(seconds=1)`, list[0].When)
		require.Len(t, list[0].Next, 5)

		_, err = h.PauseSchedule(t.Context(), "jobs", "badjob", true)
		require.NoError(t, err)
		var long string
		for _, r := range h.runs("longjob") {
			if r.Outcome == "running" {
				long = r.Call
			}
		}
		h.restart()
		require.Eventually(t, func() bool { return h.outcomes("job")["missed"]+h.outcomes("job")["ok"] > 2 }, 3*time.Minute, 50*time.Millisecond)
		require.Zero(t, h.outcomes("badjob")["missed"])
		// The run that was cut off is the same call, and goes on.
		require.Equal(t, 1, h.outcomes("longjob")["running"])
		for _, r := range h.runs("longjob") {
			if r.Outcome == "running" {
				require.Equal(t, long, r.Call)
			}
		}
		id, err := h.RunSchedule(t.Context(), "jobs", "badjob")
		require.NoError(t, err)
		wait("a run by hand", func() bool {
			r := h.runs("badjob")[0]
			return r.Call == id && r.Hand && r.Outcome == "failed"
		})
		_, err = h.RunSchedule(t.Context(), "jobs", "square")
		require.ErrorContains(t, err, "has no schedule")
		calls := map[string]bool{}
		for _, function := range []string{"job", "badjob", "longjob"} {
			for _, r := range h.runs(function) {
				if r.Call != "" {
					require.False(t, calls[r.Call], "a tick's call is another's too")
					calls[r.Call] = true
				}
			}
		}
		require.NoError(t, h.StopApp(t.Context(), "jobs", true))
		require.Eventually(t, func() bool { return h.outcomes("longjob")["running"] == 0 }, time.Minute, 20*time.Millisecond)
		list, err = h.Schedules(t.Context(), "main", "jobs")
		require.NoError(t, err)
		require.Equal(t, "stopped", list[0].State)
		require.Empty(t, list[0].Next)
	})
}

// TestScheduleOfSession fires a schedule of an app that is not deployed.
func TestScheduleOfSession(t *testing.T) {
	h := newHost(t, "process")
	r := h.start("functions", app.Function{Name: "job", Schedule: every(1)}, app.Function{Name: "square"})
	list, err := h.Schedules(t.Context(), "main", r.ID())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "by hand", list[0].State)
	id, err := h.RunSchedule(t.Context(), r.ID(), "job")
	require.NoError(t, err)
	c := r.dial()
	c.expect(c.get(id, 0), 7)
	_, err = h.RunSchedule(t.Context(), r.ID(), "square")
	require.ErrorContains(t, err, `no function "square" with a schedule`)
	_, err = h.PauseSchedule(t.Context(), r.ID(), "job", true)
	require.ErrorContains(t, err, "not deployed")
	c.close()
	r.stop(true)
}

func TestBadSchedules(t *testing.T) {
	h := newHost(t, "process")
	for message, f := range map[string]app.Function{
		"the field for the hour, \"25\"": {Name: "job", Schedule: &app.Schedule{Cron: "0 25 * * *"}},
		"there is no time zone":          {Name: "job", Schedule: &app.Schedule{Cron: "0 5 * * *", Timezone: "Nowhere"}},
		"only a plain function":          {Name: "job", Generator: true, Schedule: every(1)},
	} {
		m := app.Manifest{Version: app.ManifestVersion, Name: "jobs", Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}}, Force: -1}}}
		f.Qualname, f.Module = f.Name, "functions"
		m.Functions = []app.Function{f}
		_, err := h.Deploy(t.Context(), api.DeployRequest{Manifest: m, Images: []string{h.image()}})
		require.ErrorContains(t, err, message)
	}
}
