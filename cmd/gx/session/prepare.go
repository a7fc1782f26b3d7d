package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// started is how starting an app ended: an app with its connection for Python,
// a connection alone, or a failure.
type started struct {
	name    string
	app     App    // nil if there is only a connection
	hangUp  func() // of a connection alone
	frames  *os.File
	output  bool
	detach  bool
	failure *sdk.Failure
	// deployed is a version that was made; nothing was started for Python then.
	deployed *sdk.Deployed
}

// Trouble is a failure that knows how to be shown and how gx ends by it.
type Trouble struct {
	Kind string // exception name under gx.exception
	Code int    // exit code
	ui.Problem
}

func (t *Trouble) Error() string { return t.What }

// Preparer makes manifests ready for a host: it hashes and uploads their files
// and has their images built.
type Preparer struct {
	UI      *ui.UI
	Hashes  *filehash.Cache
	Connect func(ctx context.Context) (Host, error)
	// Again says that an earlier version of it was made ready: only what is new
	// is shown.
	Again bool
}

// Ready is a manifest that a host can run.
type Ready struct {
	Host     Host
	Manifest app.Manifest // with hashes in place of local paths
	Images   []string     // ids, in the order of its images
	Said     []string     // what a user has to know of the host
}

// atOnce is how many images are built at the same time.
const atOnce = 8

// prepare does all that comes before an app can run: hash, upload, build,
// start, attach. Output decides whether it shows how that goes.
func (s *session) prepare(ctx context.Context, st sdk.Start) started {
	done, err := s.startApp(ctx, st)
	if err == nil {
		return done
	}
	return s.failed(ctx, err, st.Output)
}

// deploy makes what Python declares a version of a deployed app.
func (s *session) deploy(ctx context.Context, d sdk.Deploy) started {
	done, err := Preparer{UI: s.UI, Hashes: s.Hashes, Connect: s.Connect}.Deploy(ctx, d)
	if err != nil {
		return s.failed(ctx, err, d.Output)
	}
	return started{deployed: &sdk.Deployed{App: done.App, Version: done.Version, Functions: done.Functions}}
}

// connection gets Python a connection to the host without an app.
func (s *session) connection(ctx context.Context) started {
	host, err := s.Connect(ctx)
	if err != nil {
		return s.failed(ctx, err, false)
	}
	frames, hangUp, err := host.Connection(ctx)
	if err != nil {
		return s.failed(ctx, err, false)
	}
	return started{frames: frames, hangUp: hangUp}
}

// failed is how a start ended that went wrong; show says that the user is to see
// it here.
func (s *session) failed(ctx context.Context, err error, show bool) started {
	t := TroubleOf(err, s.LogFile)
	shown := ctx.Err() != nil
	if show && !shown {
		s.UI.Problem(t.Problem)
		shown = true
	}
	message := t.What
	if t.Detail != "" {
		message += "\n" + t.Detail
	}
	return started{failure: &sdk.Failure{Kind: t.Kind, Message: message, Shown: shown, Exit: t.Code}}
}

// TroubleOf is any error as one: what is not the user's is the host's. logFile
// is the host's.
func TroubleOf(err error, logFile string) *Trouble {
	if t, ok := errors.AsType[*Trouble](err); ok {
		return t
	}
	return &Trouble{Kind: "ConnectionError", Code: exit.Host, Problem: explain.Host(err, logFile)}
}

// Prepare makes a manifest ready; output decides whether it shows how that goes.
// What is said is returned with an error too.
func (p Preparer) Prepare(ctx context.Context, m app.Manifest, output bool) (Ready, error) {
	local := filesOf(&m)
	if err := p.hash(ctx, local); err != nil {
		return Ready{}, err
	}
	host, err := p.Connect(ctx)
	if err != nil {
		return Ready{}, err
	}
	if len(m.Functions) > 0 {
		check := api.CheckRequest{Environment: m.Environment, Functions: m.Functions}
		for _, image := range m.Images {
			for _, step := range image.Steps {
				check.Volumes = append(check.Volumes, step.Volumes...)
			}
		}
		if err := host.Check(ctx, check); err != nil {
			return Ready{}, Refusal(err)
		}
	}
	progress := p.progress(output)
	if p.Again {
		progress.Terse()
	}
	images, said, err := p.build(ctx, host, m, local, progress)
	progress.Close()
	return Ready{Host: host, Manifest: m, Images: images, Said: said}, err
}

func (s *session) startApp(ctx context.Context, st sdk.Start) (started, error) {
	ready, err := Preparer{UI: s.UI, Hashes: s.Hashes, Connect: s.Connect}.Prepare(ctx, st.Manifest, st.Output)
	if st.Output {
		for _, text := range ready.Said {
			s.UI.Warn(text)
		}
	}
	if err != nil {
		return started{}, err
	}
	m := ready.Manifest
	if s.Estimate {
		countWork(&m)
	}
	running, err := ready.Host.StartSession(ctx, api.SessionRequest{Manifest: m, Images: ready.Images, Detach: s.Detach || st.Detach, Resume: s.Resume, Faults: s.Faults, FaultSeed: s.FaultSeed})
	if err != nil {
		return started{}, Refusal(err)
	}
	frames, err := running.Attach(ctx)
	if err != nil {
		_ = running.Stop(context.WithoutCancel(ctx), true)
		_ = running.Close()
		return started{}, fmt.Errorf("connecting Python with the app: %w", err)
	}
	return started{name: m.Name, app: running, frames: frames, output: st.Output, detach: st.Detach}, nil
}

// Refusal is a host's no to a manifest, or to something that it names: the
// user's mistake, not the host's.
func Refusal(err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return err
	}
	kind := map[string]string{"invalid": "InvalidError", "not_found": "NotFoundError"}[e.Code]
	if kind == "" {
		return err
	}
	return &Trouble{Kind: kind, Code: exit.Usage, Problem: ui.Problem{What: e.Message}}
}

// build uploads what the host lacks and has every image built, several at once.
// What it returns as said is what a user has to know of the host.
func (p Preparer) build(ctx context.Context, host Host, m app.Manifest, local localFiles, progress *ui.Progress) (images, said []string, err error) {
	if err := p.upload(ctx, host, local, progress); err != nil {
		return nil, nil, err
	}
	images = make([]string, len(m.Images))
	var mu sync.Mutex // of said
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	group.Go(func() error {
		if p.Again {
			return nil
		}
		status, err := host.Status(ctx)
		if err == nil && len(status.Unisolated) > 0 {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf("the %s runtime does not isolate\n  %s", status.Runtime, strings.Join(status.Unisolated, "\n  ")))
		}
		return err
	})
	for i, recipe := range m.Images {
		group.Go(func() error {
			label := users(m, i)
			view := progress.Build(label)
			id, notes, err := host.Build(ctx, api.BuildRequest{Image: recipe, Python: m.Python, Environment: m.Environment}, view.Event)
			if err != nil {
				if e, ok := errors.AsType[*api.Error](err); ctx.Err() != nil || !ok || (e.Step == nil && e.Code != "invalid") {
					return fmt.Errorf("building the image of %s: %w", label, err)
				}
				return &Trouble{Kind: "ImageBuildError", Code: exit.Build, Problem: explain.Build(label, err, view.FailedLog())}
			}
			images[i] = id
			mu.Lock()
			defer mu.Unlock()
			for _, note := range notes {
				said = append(said, "image of "+label+": "+note)
			}
			return nil
		})
	}
	err = group.Wait()
	return images, said, err
}

// users names the functions that an image is for.
func users(m app.Manifest, image int) string {
	const most = 3
	var names []string
	for _, f := range m.Functions {
		if f.Image == image {
			names = append(names, f.Name)
		}
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	if len(names) == 0 {
		return "the app"
	}
	return strings.Join(names, ", ")
}

// progress shows builds, or nothing where the program did not ask for output.
func (p Preparer) progress(output bool) *ui.Progress {
	if output {
		return p.UI.Progress()
	}
	return ui.New(ui.Options{Stdout: io.Discard, Stderr: io.Discard, Env: func(string) string { return "" }}).Progress()
}
