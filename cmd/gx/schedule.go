package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

func newScheduleCmd(d deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "schedule",
		Short: "Work with the schedules of deployed apps",
		Long: `Work with the schedules of deployed apps: functions that were declared with
schedule=gx.Cron(...) or schedule=gx.Period(...). The host calls them, whether
anybody is logged in or not.`,
	})
	cmd.AddCommand(newScheduleListCmd(d), newScheduleHistoryCmd(d), newScheduleRunCmd(d), newSchedulePauseCmd(d), newScheduleResumeCmd(d))
	return cmd
}

func newScheduleListCmd(d deps) *cobra.Command {
	var asJSON, utc bool
	cmd := &cobra.Command{
		Use:   "list [APP]",
		Short: "List schedules: their next times, and how they went",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			app := ""
			if len(args) > 0 {
				app = args[0]
			}
			return runScheduleList(cmd.Context(), d, app, utc, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC, not in this machine's time zone")
	return cmd
}

func runScheduleList(ctx context.Context, d deps, app string, utc, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	ref := app
	if app != "" {
		ref = d.inEnvironment(app)
	}
	list, err := c.Schedules(ctx, cmp.Or(d.environment(), "main"), ref)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(list)
	}
	if len(list) == 0 {
		d.ui.Notice("no function here has a schedule: declare it with schedule=gx.Cron(\"0 2 * * *\"), and deploy its app")
		return nil
	}
	show := clockOf(d.now(), utc)
	var rows [][]string
	for _, s := range list {
		missed := ""
		if s.Missed > 0 {
			missed = fmt.Sprint(s.Missed)
		}
		state := s.State
		if !s.Paused.IsZero() {
			state = "paused " + ui.Ago(d.now(), s.Paused)
		}
		rows = append(rows, []string{s.App, s.Function, s.When, state, lastRun(s.Last, d.now()), missed})
	}
	d.ui.Table([]string{"APP", "FUNCTION", "SCHEDULE", "STATE", "LAST RUN", "MISSED"}, rows)
	for _, s := range list {
		if len(s.Next) == 0 {
			continue
		}
		d.ui.Println("")
		d.ui.Println(fmt.Sprintf("%s/%s next:", s.App, s.Function))
		for _, t := range s.Next {
			d.ui.Println("  " + show(t))
		}
	}
	return nil
}

// clockOf shows times as a user of this machine reads them.
func clockOf(now time.Time, utc bool) func(time.Time) string {
	zone := now.Location()
	if utc {
		zone = time.UTC
	}
	return func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.In(zone).Format("Mon 2006-01-02 15:04:05 MST")
	}
}

func lastRun(r *api.ScheduleRun, now time.Time) string {
	if r == nil {
		return "-"
	}
	at := r.Planned
	if r.Ticks > 1 {
		at = r.Last
	}
	return r.Outcome + ", " + ui.Ago(now, at)
}

func newScheduleHistoryCmd(d deps) *cobra.Command {
	var asJSON, utc bool
	var most int
	cmd := &cobra.Command{
		Use:   "history APP FUNCTION",
		Short: "Show what became of each time that a schedule was due",
		Long: `Show what became of each time that a schedule was due, the newest first: when it
was planned and fired, its call, and how that ended. Times that the host missed,
because it was down, and those that were skipped, because the run before was not
done, are there too; nothing is made up for. Of each schedule 1000 are kept.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runScheduleHistory(cmd.Context(), d, args[0], args[1], most, utc, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC, not in this machine's time zone")
	cmd.Flags().IntVarP(&most, "tail", "n", 20, "how many, at most 1000")
	return cmd
}

func runScheduleHistory(ctx context.Context, d deps, app, function string, most int, utc, asJSON bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	runs, err := c.ScheduleRuns(ctx, d.inEnvironment(app), function, most)
	if err != nil {
		return answer(err)
	}
	if asJSON {
		return d.ui.JSON(runs)
	}
	show := clockOf(d.now(), utc)
	var rows [][]string
	for _, r := range runs {
		outcome, took, delay := r.Outcome, "", ""
		if r.Ticks > 1 {
			outcome = fmt.Sprintf("%s %d, until %s", outcome, r.Ticks, show(r.Last))
		}
		if r.Hand {
			outcome += " (by hand)"
		}
		if !r.Fired.IsZero() && !r.Hand {
			delay = ui.Duration(r.Fired.Sub(r.Planned))
		}
		if !r.Ended.IsZero() {
			took = ui.Duration(r.Ended.Sub(r.Fired))
		}
		rows = append(rows, []string{show(r.Planned), delay, outcome, took, r.Call, oneLine(r.Failure)})
	}
	d.ui.Table([]string{"PLANNED", "FIRED AFTER", "OUTCOME", "TOOK", "CALL", "WHY"}, rows)
	return nil
}

func oneLine(text string) string {
	for i, c := range text {
		if c == '\n' || i > 100 {
			return text[:i] + "..."
		}
	}
	return text
}

func newScheduleRunCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "run APP FUNCTION",
		Short: "Call a scheduled function now, and print the call's id",
		Long: `Call a scheduled function now, whatever its schedule says and whether it is
paused, and print the call's id. APP is a deployed app, or one that runs under
gx serve or gx run. gx why CALL tells how it goes.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := d.ensure(cmd.Context(), hostOptions{})
			if err != nil {
				return err
			}
			defer c.Close()
			call, err := c.RunSchedule(cmd.Context(), d.inEnvironment(args[0]), args[1])
			if err != nil {
				return answer(err)
			}
			d.ui.Println(call)
			return nil
		},
	}
}

func newSchedulePauseCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "pause APP FUNCTION",
		Short: "Have a schedule call its function no more, until it is resumed",
		Long: `Have a schedule call its function no more, until it is resumed. What would have
been due meanwhile does not count as missed. The pause outlasts deployments.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSchedulePause(cmd.Context(), d, args[0], args[1], true)
		},
	}
}

func newScheduleResumeCmd(d deps) *cobra.Command {
	return &cobra.Command{
		Use:   "resume APP FUNCTION",
		Short: "Have a schedule go on that was paused",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSchedulePause(cmd.Context(), d, args[0], args[1], false)
		},
	}
}

func runSchedulePause(ctx context.Context, d deps, app, function string, paused bool) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	change, done := c.ResumeSchedule, "Resumed"
	if paused {
		change, done = c.PauseSchedule, "Paused"
	}
	s, err := change(ctx, d.inEnvironment(app), function)
	if err != nil {
		return answer(err)
	}
	next := ""
	if len(s.Next) > 0 {
		next = "next " + clockOf(d.now(), false)(s.Next[0])
	}
	d.ui.Done(fmt.Sprintf("%s %s of %s", done, s.Function, s.App), next)
	return nil
}
