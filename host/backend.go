package host

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/remote"
)

// backend is the host as its API server sees it.
type backend struct{ h *host }

var _ remote.Backend = (*backend)(nil)

func (b *backend) Host() api.Host {
	h := b.h
	h.used.Store(time.Now().UnixNano())
	return api.Host{
		Pid: os.Getpid(), Version: h.cfg.Version, Build: h.cfg.Build,
		Runtime: h.parts.runtime.Name(), Unisolated: h.parts.runtime.Isolation(), Ending: h.life.Err() != nil,
	}
}

func (b *backend) Status(ctx context.Context) (api.Status, error) {
	h := b.h
	disk, err := h.engine.Disk(ctx)
	if err != nil {
		return api.Status{}, known(err)
	}
	s := api.Status{
		Pid: os.Getpid(), Version: h.cfg.Version, Build: h.cfg.Build, Address: "unix://" + h.cfg.Dirs.Socket,
		Started: h.started, Uptime: time.Since(h.started).Seconds(),
		Runtime: h.parts.runtime.Name(), Unisolated: h.parts.runtime.Isolation(), Engine: h.parts.images.Name(),
		StateDir: h.cfg.Dirs.State, LogFile: h.cfg.Dirs.LogFile, Disk: disk,
		Apps: h.engine.Running(), Containers: len(h.engine.Containers()),
	}
	if idle, ok := h.idle(); ok {
		s.Idle = idle.Seconds()
	}
	return s, nil
}

func (b *backend) Stop(_ context.Context, force bool) error {
	if !force && b.h.engine.Occupied() {
		return &api.Error{Code: "busy", Message: "apps are running on this host, or images are being built; deployed apps count while they have something to do"}
	}
	b.h.log.Info("host ends", "asked", true, "force", force)
	b.h.end()
	return nil
}

func (b *backend) HostLog(ctx context.Context, follow bool, tail int, line func(string) error) error {
	return b.h.logFile.read(ctx, follow, tail, line)
}

func (b *backend) MissingBlobs(ctx context.Context, sums []string) ([]string, error) {
	missing, err := b.h.engine.MissingBlobs(ctx, sums)
	return missing, known(err)
}

func (b *backend) PutBlob(ctx context.Context, sum string, content io.Reader) error {
	return known(b.h.engine.PutBlob(ctx, sum, content))
}

func (b *backend) Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (string, []string, error) {
	id, notes, err := b.h.engine.Build(ctx, req, events)
	return id, notes, known(err)
}

func (b *backend) Images(ctx context.Context) (build.Usage, error) {
	usage, err := b.h.engine.ImageUsage(ctx)
	return usage, known(err)
}

func (b *backend) ImageLogs(id string) ([]api.ImageStep, error) {
	steps, err := b.h.engine.ImageLogs(id)
	return steps, known(err)
}

func (b *backend) Prune(ctx context.Context, req api.PruneRequest) (build.Usage, error) {
	usage, err := b.h.engine.Prune(ctx, req)
	return usage, known(err)
}

func (b *backend) StartApp(ctx context.Context, req api.SessionRequest) (remote.App, error) {
	app, err := b.h.engine.StartApp(ctx, req)
	if err != nil {
		return nil, known(err)
	}
	return backendApp{app}, nil
}

func (b *backend) App(id string) (remote.App, error) {
	app, err := b.h.engine.App(id)
	if err != nil {
		return nil, known(err)
	}
	return backendApp{app}, nil
}

// backendApp is an app as the API server sees it.
type backendApp struct{ *engine.App }

func (a backendApp) Update(ctx context.Context, req api.UpdateRequest) (api.Updated, error) {
	updated, err := a.App.Update(ctx, req)
	return updated, known(err)
}

func (b *backend) StopApp(ctx context.Context, id string, now bool) error {
	return known(b.h.engine.StopApp(ctx, id, now))
}

func (b *backend) Attach(ctx context.Context, app string, conn net.Conn) error {
	return known(b.h.engine.ServeClient(ctx, app, conn))
}

func (b *backend) Logs(ctx context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error {
	return known(b.h.engine.Logs(ctx, ref, q, send))
}

func (b *backend) LogList(ref string) ([]api.LogInfo, error) {
	list, err := b.h.engine.LogList(ref)
	return list, known(err)
}

func (b *backend) Exec(ctx context.Context, container string, req api.ExecRequest) (remote.Command, error) {
	c, err := b.h.engine.Exec(ctx, container, req)
	if err != nil {
		return nil, known(err)
	}
	return c, nil
}

func (b *backend) Shell(ctx context.Context, app, function string, req api.ExecRequest, waiting func(string)) (remote.Command, error) {
	c, err := b.h.engine.Shell(ctx, app, function, req, waiting)
	if err != nil {
		return nil, known(err)
	}
	return c, nil
}

func (b *backend) EndContainer(ctx context.Context, id string, now bool) error {
	return known(b.h.engine.EndContainer(ctx, id, now))
}

func (b *backend) Apps() []api.App             { return b.h.engine.Apps() }
func (b *backend) Containers() []api.Container { return b.h.engine.Containers() }

func (b *backend) Top() api.Top {
	t := b.h.engine.Top()
	t.Started, t.Version, t.Runtime = b.h.started, b.h.cfg.Version, b.h.parts.runtime.Name()
	return t
}

func (b *backend) GPUs(ctx context.Context) (api.GPUs, error) {
	gpus, err := b.h.engine.GPUs(ctx)
	return gpus, known(err)
}

func (b *backend) Ask(ctx context.Context, op string, params json.RawMessage, data []byte) (any, []byte, error) {
	a, err := b.h.engine.Ask(ctx, ask.Query{Op: op, Params: params, Data: data})
	if err != nil {
		if kind := ask.Kind(err); kind != ask.KindInternal {
			err = &api.Error{Code: kind, Message: err.Error()}
		}
		return nil, nil, err
	}
	return a.Result, a.Data, nil
}

func (b *backend) Why(ref string) (api.Why, error) {
	w, err := b.h.engine.Why(ref)
	return w, known(err)
}

// known gives the engine's errors the codes of the API.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, logs.ErrNotFound):
		return &api.Error{Code: "not_found", Message: without(engine.ErrNotFound, err)}
	case errors.Is(err, engine.ErrInvalid):
		return &api.Error{Code: "invalid", Message: without(engine.ErrInvalid, err)}
	}
	if kind := ask.Kind(err); kind != ask.KindInternal {
		return &api.Error{Code: kind, Message: err.Error()}
	}
	return err
}

// without is an error's text without the words of the mark that it is told apart
// by, which the code says.
func without(mark, err error) string {
	text := strings.TrimPrefix(err.Error(), mark.Error()+": ")
	return strings.TrimSuffix(text, ": "+mark.Error())
}
