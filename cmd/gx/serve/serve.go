// Package serve is `gx serve`: it keeps the apps of files running and has them
// go on with newer code whenever a file that they were made of changes. What is
// wrong with a file never ends what is being served.
//
// One goroutine, Run's, owns all state (server). Others collect, build, read a
// terminal's keys or a host's events, and post what they found into its inbox.
package serve

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// Host is what serving needs of a host.
type Host interface {
	session.Host
	Serve(ctx context.Context, req api.SessionRequest) (App, error)
	Containers(ctx context.Context) ([]api.Container, error)
	// RunSchedule calls a function that has a schedule now, and returns the call's id.
	RunSchedule(ctx context.Context, app, function string) (call string, err error)
	// DeployServed makes a version of a running app, of the same images and files.
	DeployServed(ctx context.Context, app string, req api.DeployServedRequest) (api.Deployed, error)
}

// App is a running app.
type App interface {
	Started() api.Started
	Events() <-chan api.SessionMessage
	// Update exchanges what the app runs; if it fails, the app goes on as it was.
	Update(ctx context.Context, req api.UpdateRequest) (api.Updated, error)
	Usage(ctx context.Context) ([]api.Usage, error)
	Stop(ctx context.Context, now bool) error
	Close() error
}

// Options is what serving is made of.
type Options struct {
	UI *ui.UI
	// References are FILE[::APP], or names of modules. At least one.
	References []string
	Module     bool
	// Python starts one that collects apps (see sdk.Collect), in the background.
	Python  func(ctx context.Context, stdout, stderr io.Writer) (*sdk.Process, error)
	Connect func(ctx context.Context) (Host, error)
	Hashes  *filehash.Cache
	Signals <-chan os.Signal
	// Keys are what is pressed in the terminal; nil = there is none.
	Keys <-chan byte
	// Open shows a URL to the user; nil = it cannot.
	Open func(url string) error
	// Timeout is after how long serving ends by itself; 0 = never.
	Timeout    time.Duration
	Timestamps bool
	LogFile    string // of the host, for messages
}

// Run serves until it is told to end, and returns gx's exit code. Nothing that
// it started is left running.
func Run(ctx context.Context, o Options) int {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{Options: o, ctx: ctx, inbox: make(chan func()), ended: make(chan struct{})}
	defer s.workers.Wait() // after what ends them
	defer cancel()
	defer close(s.ended)
	if o.Keys != nil {
		s.status = o.UI.Status()
		defer s.status.Close()
	}
	for _, reference := range o.References {
		f := newFile(s, reference)
		defer f.close()
		s.files = append(s.files, f)
		s.reload(f, reload{})
	}
	s.loop()
	o.UI.Flush()
	return s.code
}
