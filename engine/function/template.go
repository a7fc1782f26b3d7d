package function

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/output"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/redact"
	"github.com/gx-dev/gx/sdk"
	"github.com/gx-dev/gx/wire"
)

const (
	// templateIdle is how long a template stays that no container is left of.
	templateIdle = 2 * time.Minute
	// templateAgain is when a template is tried again that did not come up, for
	// no reason that lasts.
	templateAgain = time.Minute
	// worthwhile is a start below which a template brings nothing.
	worthwhile = 25 * time.Millisecond
)

// template is what a function's further containers are forked from: a
// container that has loaded the user's code and waits. A function's first
// container is started by itself; with the second the template is loaded, and
// those that are wanted meanwhile wait for it. f.mu guards all but loaded,
// which is closed once the outcome is there.
type template struct {
	loaded chan struct{} // nil = not begun
	from   container.Template
	cancel context.CancelFunc
	off    time.Time // not to be tried before; zero = it may
	idle   clock.Timer
	life   sync.WaitGroup // the goroutine that loads and watches it
	// secrets are those that it was loaded with, which its imports have seen.
	secrets secrets
}

// never is when something is tried again that is of no use.
var never = time.Unix(1<<40, 0)

// forkable returns what m can be forked from, after waiting for it to be
// loaded; nil = it has to be started by itself.
func (f *Function) forkable(m *member) container.Template {
	forker, able := f.host.Runtime.(container.Forker)
	if !able || !f.host.Fork {
		return nil
	}
	t := &f.template
	f.mu.Lock()
	now := f.host.Clock.Now()
	others := false
	for _, other := range f.members {
		others = others || other != m && other.state != stopping
	}
	// A template has no volumes: they are each container's own. Its cards are of
	// the first choice.
	if m.choice != 0 || m.leaves() || m.version() != f.version() || len(m.version().Spec.Volumes) > 0 {
		f.mu.Unlock()
		return nil
	}
	var outdated container.Template
	if t.loaded != nil && !t.secrets.equal(m.secrets) {
		outdated = f.dropTemplate()
	}
	if outdated != nil {
		defer func() { _ = outdated.Close() }() // told by Done
	}
	quick := f.startup.Sure() && f.startup.Duration() < worthwhile
	switch {
	case t.from != nil:
		defer f.mu.Unlock()
		return t.from
	case f.closing || t.loaded == nil && (!others || quick || now.Before(t.off)):
		f.mu.Unlock()
		return nil
	case t.loaded == nil:
		loaded := make(chan struct{})
		ctx, cancel := context.WithTimeout(context.Background(), seconds(f.version().Spec.StartupTimeout, DefaultStartupTimeout))
		t.loaded, t.cancel, t.secrets = loaded, cancel, m.secrets
		v := f.version()
		v.Pins.Hold()
		t.life.Go(func() {
			defer cancel()
			f.load(ctx, forker, v, m.secrets, loaded)
		})
	}
	loaded := t.loaded
	f.mu.Unlock()
	select {
	case <-loaded:
	case <-m.quit:
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.version() != f.version() || !t.secrets.equal(m.secrets) {
		return nil // it is of another version now
	}
	return t.from
}

// load loads the template, and sees to it until it has ended.
func (f *Function) load(ctx context.Context, forker container.Forker, v *Version, s secrets, loaded chan struct{}) {
	defer v.Pins.Release()
	began := f.host.Clock.Now()
	id := call.NewID("te")
	from, capture, release, err := f.loadTemplate(ctx, forker, v, s, id)
	t := &f.template
	f.mu.Lock()
	refused, isRefusal := errors.AsType[*container.RefusedError](err)
	dropped := t.loaded != loaded
	switch {
	case dropped: // it is of a version that nothing is forked of any more
	case err == nil:
		t.from = from
	case isRefusal, errors.Is(err, container.ErrNoTemplates):
		t.off = never
	default:
		t.off = f.host.Clock.Now().Add(templateAgain)
	}
	closing := f.closing
	if err != nil && !dropped {
		t.loaded = nil
	}
	f.mu.Unlock()
	close(loaded)
	if dropped && err == nil {
		_ = from.Close() // told by Done
	}
	switch {
	case isRefusal:
		f.log.Info("each container is started by itself", "reason", refused.Reason)
	case err != nil && !closing && !dropped:
		f.log.Info("each container is started by itself", "error", err)
	}
	if err != nil {
		return
	}
	defer release()
	f.log.Debug("template loaded", "template", id, "took", f.host.Clock.Now().Sub(began))
	<-from.Done()
	capture.Close(pipePatience)
	f.mu.Lock()
	if t.from == from {
		t.from, t.loaded = nil, nil // the next that is wanted loads another
	}
	f.mu.Unlock()
}

// loadTemplate starts a template, and tells its runner what to load. Release is
// for after its end.
func (f *Function) loadTemplate(ctx context.Context, forker container.Forker, v *Version, s secrets, id string) (_ container.Template, _ *output.Capture, release func(), err error) {
	token, arrival, forget := f.host.Hub.Expect()
	defer forget()
	spec, err := f.spec(v, s, id, token)
	if err != nil {
		return nil, nil, nil, err
	}
	spec.Args = sdk.TemplateArgs(v.Image.Config().Python)
	giveBack, err := f.equipTemplate(ctx, v, &spec)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	var mark [8]byte
	_, _ = rand.Read(mark[:]) // never fails
	pipes, err := newPipes(&spec)
	if err != nil {
		return nil, nil, nil, err
	}
	defer pipes.close()
	capture, err := pipes.capture(mark, f.host.Clock, s.mask, func(lines []output.Line) { f.templateLines(id, lines) })
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var telling sync.WaitGroup
	telling.Go(func() {
		select {
		case conn := <-arrival:
			f.tellTemplate(ctx, v, s, conn, id, mark)
		case <-ctx.Done():
		}
	})
	from, err := forker.Template(ctx, spec)
	cancel()
	telling.Wait()
	if err != nil {
		pipes.close()
		capture.Close(pipePatience)
		return nil, nil, nil, fmt.Errorf("loading a template for containers of %s: %w", f.Name(), err)
	}
	return from, capture, giveBack, nil
}

// tellTemplate tells a template's runner what to load, and serves the calls
// that the user's code makes meanwhile, until the runner has hung up.
func (f *Function) tellTemplate(ctx context.Context, v *Version, s secrets, conn *runner.Conn, id string, mark [8]byte) {
	defer context.AfterFunc(ctx, func() { conn.Expire(time.Now()) })()
	defer conn.Release()
	defer conn.Close()
	caller := call.NewCaller(call.Config{Registry: f.host.Registry, Sender: conn.Writer(), Host: f.host.Calls, From: ask.From{App: f.cfg.App.ID}, Patience: runnerPatience})
	defer caller.Close()
	start, err := f.startFrame(v, s, id, mark)
	if err != nil {
		return
	}
	conn.Queue(start)
	conn.Flush()
	for {
		fr, err := conn.Read()
		if err != nil {
			return
		}
		switch {
		case fr.Mine() || fr.Type == wire.Request || fr.Type == wire.Within:
			if caller.Handle(fr) != nil {
				return
			}
			if !conn.More() {
				caller.Settle()
			}
		case fr.Type == wire.Failed: // a container that is started by itself tells the user
			return
		}
	}
}

// templateLines takes what a template prints while it loads the user's code.
func (f *Function) templateLines(id string, printed []output.Line) {
	now := f.host.Clock.Now()
	list := make([]api.LogLine, len(printed))
	for i, l := range printed {
		list[i] = api.LogLine{Time: now, Function: f.Name(), Container: id, Stream: logs.Stdout, Text: l.Text, Partial: l.Partial}
		if l.Stderr {
			list[i].Stream = logs.Stderr
		}
	}
	if _, err := f.cfg.App.Log.Append(list); err != nil {
		f.log.Error("the app's log cannot be written", "error", err)
	}
}

// restTemplate lets the template go when nothing has been forked from it for a
// while. f.mu is held.
func (f *Function) restTemplate() {
	t := &f.template
	if t.idle != nil {
		t.idle.Stop()
		t.idle = nil
	}
	if t.from == nil || len(f.members) > 0 {
		return
	}
	from := t.from
	t.idle = f.host.Clock.AfterFunc(templateIdle, func() {
		f.mu.Lock()
		rests := t.from == from && len(f.members) == 0
		if rests {
			t.from, t.loaded = nil, nil
		}
		f.mu.Unlock()
		if rests {
			_ = from.Close() // told by Done
		}
	})
}

// endTemplate ends the template, once no container of the function is left.
func (f *Function) endTemplate() {
	t := &f.template
	f.mu.Lock()
	from, cancel := t.from, t.cancel
	t.from = nil
	if t.idle != nil {
		t.idle.Stop()
	}
	f.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if from != nil {
		if err := from.Kill(); err != nil {
			f.log.Error("a template cannot be killed", "error", err)
		}
	}
	t.life.Wait()
}

// startFrame tells a runner what to run.
func (f *Function) startFrame(v *Version, s secrets, id string, mark [8]byte) (wire.Frame, error) {
	spec := &v.Spec
	return wire.JSON(wire.Start, 0, 0, wire.StartBody{
		App: f.cfg.App.ID, AppName: f.cfg.App.Name, Container: id, Function: f.cfg.ID, Name: spec.Name,
		Module: spec.Module, Qualname: spec.Qualname, Payload: spec.Payload, Class: spec.Class,
		Params: f.cfg.Params, Options: f.cfg.Options, Batch: v.batch(), Concurrency: spec.Concurrency, Generators: generators(spec),
		Marker: hex.EncodeToString(mark[:]), Functions: v.Functions, Web: webOf(spec), Secrets: s.late,
	})
}

// generators are the targets of a function or class that yield items, in the runner's names for them.
func generators(spec *app.Function) []string {
	names := []string{}
	if spec.Generator {
		names = append(names, "")
	}
	for _, m := range spec.Methods {
		if m.Generator {
			names = append(names, m.Name)
		}
	}
	return names
}

// pipes are those that a container's output comes through.
type pipes struct{ files []*os.File }

// newPipes makes them, and gives their writing ends to a container.
func newPipes(spec *container.Spec) (*pipes, error) {
	p := &pipes{}
	for _, to := range []**os.File{&spec.Stdout, &spec.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("making a pipe for a container's output: %w", err)
		}
		p.files = append(p.files, r, w)
		*to = w
	}
	return p, nil
}

// capture begins to read them; the capture closes the reading ends.
func (p *pipes) capture(mark [8]byte, c clock.Clock, mask *redact.Mask, sink func([]output.Line)) (*output.Capture, error) {
	capture, err := output.Start(mark, p.files[0], p.files[2], c, mask, sink)
	if err == nil {
		p.files = []*os.File{p.files[1], p.files[3]}
	}
	return capture, err
}

// close closes what is not read. It may be called again.
func (p *pipes) close() {
	for _, f := range p.files {
		_ = f.Close()
	}
	p.files = nil
}
