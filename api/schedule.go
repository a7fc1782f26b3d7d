package api

import "time"

// Schedules of deployed apps. REF is an app's id, or its name, before which is
// that of its environment if that is not the main one: "dev/app".
//
//	GET  /v1/schedules?environment=&app=REF          []Schedule, by app and function
//	GET  /v1/schedules/{ref}/{function}/runs?tail=N  []ScheduleRun, the newest first; N at most 1000
//	POST /v1/schedules/{ref}/{function}/run          ScheduleFired: calls the function now
//	POST /v1/schedules/{ref}/{function}/pause        Schedule: no tick is fired
//	POST /v1/schedules/{ref}/{function}/resume       Schedule: from the next tick on
//
// Schedules of an app that a session runs are listed for its REF alone. They are
// not fired by themselves; run fires them.

// Schedule is a function that is called by itself.
type Schedule struct {
	Environment string       `json:"environment"`
	App         string       `json:"app"` // name
	Function    string       `json:"function"`
	When        string       `json:"when"` // `Cron("0 2 * * *", timezone="Europe/Berlin")`
	Deployed    bool         `json:"deployed"`
	Since       time.Time    `json:"since,omitzero"`  // when it began, which a Period counts from
	Paused      time.Time    `json:"paused,omitzero"` // since when
	Next        []time.Time  `json:"next"`            // the next five times, with their offsets from UTC
	Last        *ScheduleRun `json:"last,omitempty"`  //
	Running     int          `json:"running"`         // runs that are not done
	Missed      int          `json:"missed"`          // ticks in the last seven days
	State       string       `json:"state"`           // "active", "paused", "stopped" (its app is, or has it no more), "by hand" (not deployed)
}

// ScheduleRun is what became of a tick, or of several that were missed one after
// the other.
type ScheduleRun struct {
	Planned time.Time `json:"planned"`        // when it was due, or was asked for
	Last    time.Time `json:"last,omitzero"`  // of several, the last
	Ticks   int       `json:"ticks"`          // how many
	Hand    bool      `json:"hand,omitempty"` // somebody asked for it
	Fired   time.Time `json:"fired,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Call    string    `json:"call,omitempty"`    // id: gx why tells of it, FunctionCall.from_id has its result
	Outcome string    `json:"outcome"`           // "running", "ok", "failed", "missed", "skipped"
	Failure string    `json:"failure,omitempty"` // what it raised, or why it was missed or skipped
}

// ScheduleFired is a call that was asked for.
type ScheduleFired struct {
	Call string `json:"call"` // id
}
