// Package remote serves the host API (package api) over HTTP and WebSocket. It
// knows connections, limits and the shape of messages, and leaves what they
// mean to a Backend. The same handler serves a unix socket and a network.
package remote

import (
	"context"
	"encoding/json"
	"io"
	"net"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
)

// Backend is what a server asks of its host. Errors that are an *api.Error
// reach the client as they are; others become an "internal" one.
type Backend interface {
	// Host tells what the host is, at once. Whoever asks is about to use it, so
	// that it must not end of idleness now.
	Host() api.Host
	Status(ctx context.Context) (api.Status, error)
	// Stop begins to end the host and returns; it refuses with code "busy"
	// while apps are running, unless force is set.
	Stop(ctx context.Context, force bool) error
	// HostLog passes on the last lines of the host's log, and then, if follow
	// is set, new ones until ctx ends or line returns an error.
	HostLog(ctx context.Context, follow bool, tail int, line func(string) error) error

	MissingBlobs(ctx context.Context, sums []string) ([]string, error)
	PutBlob(ctx context.Context, sum string, content io.Reader) error

	Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (id string, notes []string, err error)
	Images(ctx context.Context) (build.Usage, error)
	ImageLogs(id string) ([]api.ImageStep, error)
	Prune(ctx context.Context, req api.PruneRequest) (build.Usage, error)

	// Check tells what is missing for an app before its images are built.
	Check(ctx context.Context, req api.CheckRequest) error
	StartApp(ctx context.Context, req api.SessionRequest) (App, error)
	// App finds a running app by its id or name.
	App(id string) (App, error)
	StopApp(ctx context.Context, id string, now bool) error

	// Schedules; see package api.
	Schedules(ctx context.Context, environment, app string) ([]api.Schedule, error)
	ScheduleRuns(ctx context.Context, app, function string, n int) ([]api.ScheduleRun, error)
	RunSchedule(ctx context.Context, app, function string) (call string, err error)
	PauseSchedule(ctx context.Context, app, function string, paused bool) (api.Schedule, error)

	// Deployed apps; see package api.
	Deploy(ctx context.Context, req api.DeployRequest) (api.Deployed, error)
	DeployServed(ctx context.Context, app string, req api.DeployServedRequest) (api.Deployed, error)
	Deployment(ctx context.Context, app string) (api.Deployment, error)
	DeleteDeployed(ctx context.Context, app string) error
	Rollback(ctx context.Context, app string, req api.RollbackRequest) (api.Deployed, error)
	Rollover(ctx context.Context, app string, req api.RolloverRequest) (api.Deployed, error)
	Diff(ctx context.Context, app string, from, to int) (api.Diff, error)

	// Attach speaks frames of package wire over conn until it ends; app "" is a
	// client of no app.
	Attach(ctx context.Context, app string, conn net.Conn) error
	// Logs passes on what a log has: first Log, last End unless the host ends
	// before the log does. ref is an app's id or name, or a container's or a
	// call's id.
	Logs(ctx context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error
	// LogList lists whose logs there are, by an app's name or id; "" = all.
	LogList(ref string) ([]api.LogInfo, error)
	// Exec starts a command in a running container.
	Exec(ctx context.Context, container string, req api.ExecRequest) (Command, error)
	// Shell starts a command in a container of its own, made like those of a
	// function of a running app; waiting is told what is short for it.
	Shell(ctx context.Context, app, function string, req api.ExecRequest, waiting func(string)) (Command, error)
	// EndContainer ends a container and waits for it.
	EndContainer(ctx context.Context, id string, now bool) error
	Dashboard(ctx context.Context) (api.DashboardReply, error)
	Apps() []api.App
	Containers() []api.Container
	// Top tells what the host is doing now.
	Top() api.Top
	GPUs(ctx context.Context) (api.GPUs, error)
	// Ask answers a question about what the host stores; see package ask of the
	// engine for the operations' sense.
	Ask(ctx context.Context, op string, params json.RawMessage, data []byte) (result any, out []byte, err error)
	// Why says why a call, an input, a container or a function waits, was slow
	// or failed.
	Why(ref string) (api.Why, error)
}

// Command is a command that runs in a container. Its methods may be called from
// several goroutines at once.
type Command interface {
	Started() api.ExecStarted
	// Outputs is how many streams it writes: one to a terminal, or two.
	Outputs() int
	// Copy gives what the command writes to a stream, counted from 0, to write,
	// until it has ended.
	Copy(stream int, write func([]byte) error) error
	// Write gives the command input. It waits for a command that does not read,
	// until Close.
	Write(data []byte) error
	EndInput() error
	Resize(size api.TerminalSize) error
	Signal(name string) error
	Done() <-chan struct{}
	// Exit tells how it ended; it is only valid after Done.
	Exit() api.ExecExit
	// Close ends the command, and waits until nothing of it is left.
	Close()
}

// App is an app that was started by a session.
type App interface {
	Started() api.Started
	// Events returns what happens to the app: Started first, Stopped last. The
	// channel is closed after that, or when the host ends, which is after the
	// app has.
	Events(ctx context.Context) <-chan api.SessionMessage
	// Stopped is the app's bill, once it has ended.
	Stopped() api.Stopped
	// Update exchanges what the app runs and returns when new calls get the new
	// code. If it fails, the app goes on as it was. Updates happen one after the
	// other.
	Update(ctx context.Context, req api.UpdateRequest) (api.Updated, error)
	// Usage is the bill until now.
	Usage() []api.Usage
	// Stop ends the app and waits for it. It may be called again, to end it now.
	Stop(ctx context.Context, now bool) error
}
