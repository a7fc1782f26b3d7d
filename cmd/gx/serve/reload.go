package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
	"github.com/gx-dev/gx/watch"
)

// again is how long an error of syntax waits to be told: some editors write a
// file in pieces.
const again = 30 * time.Millisecond

// reload is one attempt to have a file's apps go on with what it says now.
type reload struct {
	changes []watch.Change // "" = it was asked for
	began   time.Time      // the save; zero = now
	cold    bool           // nothing is imported beforehand, and containers are replaced
}

// outcome is how a reload ended. The apps that it has started and updated are
// there even if others failed.
type outcome struct {
	collected sdk.Collected
	apps      []reloaded
	took      time.Duration
	problem   *ui.Problem // what is wrong with the file, or with Python
	code      int         // exit code that the problem asks for if nothing is served
	abandoned bool        // a newer one was asked for
}

// reloaded is how one app went.
type reloaded struct {
	variable string
	order    int
	manifest app.Manifest
	app      App // of one that was started; nil = it was there, or failed
	updated  api.Updated
	said     []string
	err      error
}

// begin reloads in a goroutine of its own, which posts the outcome.
func (f *file) begin(r reload) {
	s := f.server
	ctx, cancel := context.WithCancel(s.ctx)
	if r.began.IsZero() {
		r.began = time.Now()
	}
	f.reloading, f.current, f.abandon = true, r, cancel
	running := make(map[string]App, len(f.apps))
	for variable, l := range f.apps {
		if !l.stopping {
			running[variable] = l.app
		}
	}
	s.work(func() {
		defer cancel()
		o := f.run(ctx, r, running)
		o.abandoned = ctx.Err() != nil
		o.took = time.Since(r.began)
		s.post(func() { s.reloaded(f, r, o) })
	})
}

// run is a reload's work. Once the host is told of an app, it is seen to its
// end whatever becomes of ctx.
func (f *file) run(ctx context.Context, r reload, running map[string]App) outcome {
	read := time.Now()
	collected, err := f.collector.collect(ctx, f.reference, f.server.Module, r.cold)
	if err != nil {
		return outcome{problem: &ui.Problem{What: err.Error()}, code: exit.Usage}
	}
	f.inputs = f.inputs.of(collected)
	if err := f.watcher.Watch(ctx, f.inputs.set(read)); err != nil {
		return outcome{problem: &ui.Problem{What: err.Error()}, code: exit.Usage}
	}
	o := outcome{collected: collected}
	if e := collected.Exception; e != nil {
		if e.Kind == "syntax" {
			select {
			case <-time.After(again):
			case <-ctx.Done():
			}
		}
		p := explain.Exception(*e)
		o.problem, o.code = &p, explain.ExceptionCode(*e)
		return o
	}
	for i, a := range collected.Apps {
		got := reloaded{variable: a.Variable, order: i, manifest: a.Manifest}
		f.one(ctx, &got, running[a.Variable], r.cold)
		o.apps = append(o.apps, got)
	}
	return o
}

// one makes an app ready, and starts or updates it.
func (f *file) one(ctx context.Context, got *reloaded, running App, restart bool) {
	preparer := f.preparer
	preparer.Again = running != nil
	ready, err := preparer.Prepare(ctx, got.manifest, true)
	got.said = ready.Said
	if err != nil {
		got.err = err
		return
	}
	got.manifest = ready.Manifest
	whole := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		got.err = ctx.Err()
		return
	}
	if running != nil {
		got.updated, err = running.Update(whole, api.UpdateRequest{Manifest: ready.Manifest, Images: ready.Images, Restart: restart})
	} else {
		got.app, err = f.start(whole, api.SessionRequest{Manifest: ready.Manifest, Images: ready.Images})
	}
	got.err = session.Refusal(err)
}

func (f *file) start(ctx context.Context, req api.SessionRequest) (App, error) {
	host, err := f.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return host.Serve(ctx, req)
}

// reloaded takes in how a reload ended, and begins the next one if there is one.
func (s *server) reloaded(f *file, r reload, o outcome) {
	f.reloading = false
	for _, got := range o.apps {
		s.took(f, r, o, got)
	}
	failed := s.failed(f, o)
	f.broken = failed
	if !failed && !o.abandoned {
		f.dropOthers(o)
	}
	if s.ending {
		for _, l := range f.sorted() {
			if !l.stopping {
				s.stop(l, s.told > 1)
			}
		}
		return
	}
	if next := f.next; next != nil {
		f.next = nil
		f.begin(*next)
		return
	}
	if err := f.collector.ready(); err != nil {
		s.UI.Warn(fmt.Sprintf("the next reload will be slower: %v", err))
	}
}

// failed tells what went wrong. Where nothing can ever be served, it ends.
func (s *server) failed(f *file, o outcome) bool {
	if o.abandoned || s.ending {
		return o.problem != nil
	}
	if o.problem != nil {
		kind := ""
		if e := o.collected.Exception; e != nil {
			kind = e.Kind
		}
		if len(s.live()) == 0 && kind == "usage" && !f.served {
			s.UI.Problem(*o.problem)
			s.end(o.code, false)
			return true
		}
		f.problem(*o.problem)
		return true
	}
	failed := false
	for _, got := range o.apps {
		if got.err == nil {
			continue
		}
		failed = true
		t := session.TroubleOf(got.err, s.LogFile)
		if errors.Is(got.err, context.Canceled) {
			continue
		}
		if len(s.live()) == 0 && t.Code == exit.Host {
			s.UI.Problem(t.Problem)
			s.end(t.Code, false)
			return true
		}
		f.problem(t.Problem)
	}
	return failed
}

// took takes in one app that was started or updated.
func (s *server) took(f *file, r reload, o outcome, got reloaded) {
	for _, text := range got.said {
		s.UI.Warn(text)
	}
	if got.err != nil {
		return
	}
	f.served = true
	if got.app != nil {
		l := s.follow(f, got)
		s.last, s.kind = o.took, "start"
		s.UI.Done("serving "+l.title()+" in "+ui.Duration(o.took), "")
		s.urls(l)
		return
	}
	l := f.apps[got.variable]
	if l == nil {
		return // it ended meanwhile
	}
	before := l.web
	l.update(got)
	if got.updated.Kind == api.UpdateNone {
		if len(r.changes) == 0 {
			s.UI.Notice(l.title() + " is the same as before")
		}
		return
	}
	s.last, s.kind = o.took, got.updated.Kind
	s.UI.Done(fmt.Sprintf("%s: version %d in %s", l.title(), l.version, ui.Duration(o.took)), l.kindText(got.updated)+f.because(r.changes))
	if !maps.Equal(before, l.web) {
		s.urls(l)
	}
}

// dropOthers ends apps that the file does not have any more.
func (f *file) dropOthers(o outcome) {
	for _, l := range f.sorted() {
		there := slices.ContainsFunc(o.apps, func(r reloaded) bool { return r.variable == l.variable })
		if !there && !l.stopping {
			f.server.UI.Notice(l.title() + " is not in " + f.reference + " any more, and ends")
			f.server.stop(l, false)
		}
	}
}

// because names what has changed.
func (f *file) because(changes []watch.Change) string {
	const most = 3
	var names []string
	for _, c := range changes {
		name := c.Path
		if near, err := filepath.Rel(f.inputs.root, c.Path); err == nil && !strings.HasPrefix(near, "..") {
			name = near
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > most:
		return fmt.Sprintf(" · %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	default:
		return " · " + strings.Join(names, ", ")
	}
}
