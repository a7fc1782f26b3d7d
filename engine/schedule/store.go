package schedule

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gx-dev/gx/app"
)

const schema = `
CREATE TABLE schedules (
	key         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	app         TEXT NOT NULL,
	function    TEXT NOT NULL,
	spec        TEXT NOT NULL,    -- app.Schedule as JSON
	anchor      INTEGER NOT NULL, -- microseconds since 1970, as all times here: when it began
	mark        INTEGER NOT NULL, -- all ticks until then are decided
	active      INTEGER NOT NULL, -- its app is deployed and has it
	paused      INTEGER,          -- since when
	UNIQUE (environment, app, function)
) STRICT;
CREATE TABLE schedule_runs (
	key      INTEGER PRIMARY KEY AUTOINCREMENT,
	schedule INTEGER NOT NULL REFERENCES schedules (key) ON DELETE CASCADE,
	hand     INTEGER NOT NULL DEFAULT 0, -- it was asked for; planned is when
	planned  INTEGER NOT NULL,
	last     INTEGER NOT NULL,           -- of several that were missed
	ticks    INTEGER NOT NULL DEFAULT 1, -- how many
	fired    INTEGER,
	call     TEXT,
	outcome  TEXT NOT NULL,
	failure  TEXT NOT NULL DEFAULT '',
	ended    INTEGER
) STRICT;
CREATE UNIQUE INDEX schedule_runs_once ON schedule_runs (schedule, planned) WHERE NOT hand;
CREATE INDEX schedule_runs_by_call ON schedule_runs (call);
CREATE INDEX schedule_runs_running ON schedule_runs (schedule) WHERE outcome = 'running';
`

// maxRuns is how many runs of a schedule are remembered.
const maxRuns = 1000

// Outcome is what became of a tick.
type Outcome string

// The outcomes.
const (
	Running Outcome = "running"
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Missed  Outcome = "missed"  // nobody fired it when it was due
	Skipped Outcome = "skipped" // the run before was not done
)

// Run is a tick, or several that were missed one after the other.
type Run struct {
	Planned time.Time // when it was due, or was asked for
	Last    time.Time // of several, the last
	Ticks   int
	Hand    bool // somebody asked for it
	Fired   time.Time
	Ended   time.Time
	Call    string // id
	Outcome Outcome
	Failure string // why it failed, was missed or skipped
}

// Name names a schedule: its function.
type Name struct {
	Environment string // its name
	App         string
	Function    string
}

func micro(t time.Time) int64 { return t.UnixMicro() }

func moment(micros *int64) time.Time {
	if micros == nil {
		return time.Time{}
	}
	return time.UnixMicro(*micros).UTC()
}

const itemColumns = `s.key, s.environment, e.name, s.app, s.function, s.spec, s.anchor, s.mark, s.active, s.paused FROM schedules s JOIN environments e ON e.id = s.environment `

func scanItem(row interface{ Scan(...any) error }) (*item, error) {
	var i item
	var spec string
	var anchor, mark int64
	var paused *int64
	if err := row.Scan(&i.key, &i.environment, &i.name.Environment, &i.name.App, &i.name.Function, &spec, &anchor, &mark, &i.active, &paused); err != nil {
		return nil, err
	}
	i.anchor, i.mark, i.paused = moment(&anchor), moment(&mark), moment(paused)
	var declared app.Schedule
	err := json.Unmarshal([]byte(spec), &declared)
	if err == nil {
		i.Schedule, err = Parse(declared)
	}
	if err != nil {
		return nil, fmt.Errorf("the schedule of %s in app %s: %w", i.name.Function, i.name.App, err)
	}
	return &i, nil
}

// load reads the schedules of all apps, those too that are not active.
func (r *Runner) load(ctx context.Context) (map[int64]*item, error) {
	rows, err := r.cfg.DB.Read().QueryContext(ctx, `SELECT `+itemColumns)
	if err != nil {
		return nil, fmt.Errorf("reading the schedules: %w", err)
	}
	defer rows.Close()
	items := map[int64]*item{}
	for rows.Next() {
		i, err := scanItem(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the schedules: %w", err)
		}
		items[i.key] = i
	}
	return items, rows.Err()
}

// Runs lists what became of a schedule's ticks, the newest first.
func (r *Runner) Runs(ctx context.Context, name Name, most int) ([]Run, error) {
	i, err := r.find(name)
	if err != nil {
		return nil, err
	}
	return r.runs(ctx, i.key, most)
}

func (r *Runner) runs(ctx context.Context, key int64, most int) ([]Run, error) {
	rows, err := r.cfg.DB.Read().QueryContext(ctx, `SELECT planned, last, ticks, hand, fired, ended, coalesce(call, ''), outcome, failure FROM schedule_runs WHERE schedule = ? ORDER BY key DESC LIMIT ?`, key, most)
	if err != nil {
		return nil, fmt.Errorf("reading what a schedule has done: %w", err)
	}
	defer rows.Close()
	var list []Run
	for rows.Next() {
		var run Run
		var planned, last int64
		var fired, ended *int64
		if err := rows.Scan(&planned, &last, &run.Ticks, &run.Hand, &fired, &ended, &run.Call, &run.Outcome, &run.Failure); err != nil {
			return nil, fmt.Errorf("reading what a schedule has done: %w", err)
		}
		run.Planned, run.Last, run.Fired, run.Ended = moment(&planned), moment(&last), moment(fired), moment(ended)
		list = append(list, run)
	}
	return list, rows.Err()
}

// insert records a run, and forgets the oldest ones. The error is errFired if the
// tick is recorded already, which may be where the clock was set back.
func insert(tx *sql.Tx, key int64, run Run) error {
	var fired, call any
	if !run.Fired.IsZero() {
		fired, call = micro(run.Fired), run.Call
	}
	res, err := tx.Exec(`INSERT INTO schedule_runs (schedule, hand, planned, last, ticks, fired, call, outcome, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		key, run.Hand, micro(run.Planned), micro(run.Last), run.Ticks, fired, call, run.Outcome, run.Failure)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errFired)
	}
	_, err = tx.Exec(`DELETE FROM schedule_runs WHERE schedule = ? AND outcome != 'running' AND key <= (SELECT key FROM schedule_runs WHERE schedule = ? ORDER BY key DESC LIMIT 1 OFFSET ?)`, key, key, maxRuns)
	return err
}

// advance moves a schedule's mark. The error is errDecided if it is there
// already.
func advance(tx *sql.Tx, key int64, mark time.Time) error {
	res, err := tx.Exec(`UPDATE schedules SET mark = ? WHERE key = ? AND mark < ?`, micro(mark), key, micro(mark))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errDecided)
	}
	return nil
}

var (
	errDecided = errors.New("the tick is decided")
	errFired   = errors.New("the tick is recorded already")
	errBusy    = errors.New("the run before is not done")
)

// busy is errBusy while a run of the schedule is not done.
func busy(tx *sql.Tx, key int64) error {
	var running bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE schedule = ? AND outcome = 'running')`, key).Scan(&running)
	if err == nil && running {
		err = errBusy
	}
	return err
}

// Ended notes, in the transaction that says how a call has ended, what became of
// the tick that it was. failure "" = it went well.
func Ended(tx *sql.Tx, call string, at time.Time, failure string) error {
	outcome := OK
	if failure != "" {
		outcome = Failed
	}
	_, err := tx.Exec(`UPDATE schedule_runs SET outcome = ?, failure = ?, ended = ? WHERE call = ? AND outcome = 'running'`, outcome, short(failure), micro(at), call)
	return err
}

// short bounds what is kept of a failure.
func short(text string) string {
	const most = 2000
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// reconcile finds runs that are said to be under way, and whose calls are not.
func (r *Runner) reconcile(ctx context.Context) error {
	rows, err := r.cfg.DB.Read().QueryContext(ctx, `SELECT call FROM schedule_runs WHERE outcome = 'running'`)
	if err != nil {
		return fmt.Errorf("reading the schedules' runs: %w", err)
	}
	var calls []string
	for rows.Next() {
		var call string
		if err := rows.Scan(&call); err != nil {
			return errors.Join(err, rows.Close())
		}
		calls = append(calls, call)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the schedules' runs: %w", err)
	}
	for _, call := range calls {
		alive, err := r.cfg.Alive(ctx, call)
		if err != nil || alive {
			if err != nil {
				return err
			}
			continue
		}
		if err := r.cfg.DB.Update(ctx, func(tx *sql.Tx) error {
			return Ended(tx, call, r.cfg.Clock.Now(), "nothing is known of the call any more")
		}); err != nil {
			return err
		}
	}
	return nil
}
