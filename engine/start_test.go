package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// good is a manifest with nothing wrong in it.
func good(f app.File) app.Manifest {
	return app.Manifest{
		Version: app.ManifestVersion, Name: "hello", Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}}}},
		Mounts:    []app.Mount{{Files: []app.File{f}}},
		Functions: []app.Function{{Name: "square", Module: "functions", Qualname: "square", File: "hello.py", Line: 12, Mounts: []int{0}}},
	}
}

func TestStartAppRefuses(t *testing.T) {
	h := newHost(t, "process")
	id, notes, err := h.Build(t.Context(), api.BuildRequest{Image: app.Image{Steps: []app.Step{{Op: app.OpDebianSlim}}}}, nil)
	if err != nil || len(notes) > 0 {
		t.Fatal(notes, err)
	}
	file := h.put("functions.py")
	for _, c := range []struct {
		name   string
		change func(*app.Manifest, *[]string)
		want   error
		words  []string
	}{
		{"newer SDK", func(m *app.Manifest, _ *[]string) { m.Version = 99 }, ErrInvalid, []string{"newer than this host"}},
		{"older SDK", func(m *app.Manifest, _ *[]string) { m.Version = 0 }, ErrInvalid, []string{"older than this host"}},
		{"app's name", func(m *app.Manifest, _ *[]string) { m.Name = "a b" }, ErrInvalid, []string{"app's name"}},
		{"images", func(_ *app.Manifest, ids *[]string) { *ids = nil }, ErrInvalid, []string{"1 images"}},
		{"unknown image", func(_ *app.Manifest, ids *[]string) { *ids = []string{"im-0"} }, ErrNotFound, []string{"im-0"}},
		{"two of a name", func(m *app.Manifest, _ *[]string) { m.Functions = append(m.Functions, m.Functions[0]) }, ErrInvalid, []string{`"square"`, "hello.py, line 12", "two functions"}},
		{"function's name", func(m *app.Manifest, _ *[]string) { m.Functions[0].Name = "../x" }, ErrInvalid, []string{"hello.py, line 12"}},
		{"no module", func(m *app.Manifest, _ *[]string) { m.Functions[0].Module = "" }, ErrInvalid, []string{"where it is defined"}},
		{"image index", func(m *app.Manifest, _ *[]string) { m.Functions[0].Image = 1 }, ErrInvalid, []string{"no image"}},
		{"mount index", func(m *app.Manifest, _ *[]string) { m.Functions[0].Mounts = []int{7} }, ErrInvalid, []string{"set of files"}},
		{"gpu", func(m *app.Manifest, _ *[]string) { m.Functions[0].GPU = []string{"T5"} }, ErrInvalid, []string{`"T5"`, "A100-80GB"}},
		{"memory", func(m *app.Manifest, _ *[]string) { m.Functions[0].Memory = app.Limit{Request: 200, Max: 100} }, ErrInvalid, []string{"memory=200"}},
		{"little memory", func(m *app.Manifest, _ *[]string) { m.Functions[0].Memory = app.Limit{Max: 4} }, ErrInvalid, []string{"MiB"}},
		{"min above max", func(m *app.Manifest, _ *[]string) { m.Functions[0].Scaling = app.Scaling{Min: 3, Max: 2} }, ErrInvalid, []string{"min_containers=3"}},
		{"retries", func(m *app.Manifest, _ *[]string) { m.Functions[0].Retries.Max = 99 }, ErrInvalid, []string{"at most 10"}},
		{"timeout", func(m *app.Manifest, _ *[]string) { m.Functions[0].Timeout = -1 }, ErrInvalid, []string{"timeout=-1"}},
		{"environment", func(m *app.Manifest, _ *[]string) { m.Functions[0].Env = map[string]string{"A=B": "x"} }, ErrInvalid, []string{`"A=B"`}},
		{"class without methods", func(m *app.Manifest, _ *[]string) { m.Functions[0].Class = true }, ErrInvalid, []string{"@method()"}},
		{"path", func(m *app.Manifest, _ *[]string) { m.Mounts[0].Files[0].Remote = "/root/../etc/passwd" }, ErrInvalid, []string{"/root/../etc/passwd"}},
		{"hash", func(m *app.Manifest, _ *[]string) { m.Mounts[0].Files[0].SHA256 = "x" }, ErrInvalid, []string{"without its hash"}},
		{"content", func(m *app.Manifest, _ *[]string) { m.Mounts[0].Files[0].SHA256 = strings.Repeat("0", 64) }, ErrInvalid, []string{"was not uploaded"}},
	} {
		m, ids := good(file), []string{id}
		c.change(&m, &ids)
		a, err := h.StartApp(t.Context(), api.SessionRequest{Manifest: m, Images: ids})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
			if a != nil {
				_ = a.Stop(t.Context(), true)
			}
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
	}
	if len(h.Apps()) != 0 {
		t.Error("an app that was refused is there")
	}
}

func TestSession(t *testing.T) {
	h := newHost(t, "process")
	if _, idle := h.IdleSince(); !idle {
		t.Error("a host without apps is idle")
	}
	a := h.start("functions", app.Function{Name: "shout", GPU: []string{"A100-80GB:2", "T4"}})
	if _, idle := h.IdleSince(); idle {
		t.Error("a host with an app is not idle")
	}
	if apps := h.Apps(); len(apps) != 1 || apps[0].State != "running" || apps[0].Name != "test" || apps[0].Functions[0] != "shout" {
		t.Errorf("%+v", apps)
	}
	c := a.dial()
	c.expect(c.call("shout", args(2)), 2)
	if list := h.Containers(); len(list) != 1 || list[0].State != "ready" || list[0].AppName != "test" || list[0].Memory == 0 {
		t.Errorf("%+v", list)
	} else if c := list[0]; c.GPU != "A100-80GB" || c.GPUs != 2 || c.GPUMemory != 2*81920<<20 || !c.Emulated {
		t.Errorf("%+v", c)
	}
	c.close()
	if err := h.StopApp(t.Context(), "test", false); err != nil {
		t.Fatal(err)
	}
	<-a.over
	var states []string
	for _, e := range a.events {
		switch {
		case e.Started != nil:
			states = append(states, "started")
		case e.Container != nil:
			states = append(states, e.Container.State)
			if e.Container.GPU != "2 × A100-80GB (emulated)" {
				t.Errorf("card %q", e.Container.GPU)
			}
		case e.Stopped != nil:
			states = append(states, "stopped")
			if u := e.Stopped.Usage[0]; u.GPUs != 2 || !u.Emulated || u.Cost < u.Seconds*2*0.000694 {
				t.Errorf("%+v", u)
			}
		}
	}
	if got := strings.Join(states, " "); got != "started starting ready stopping ended stopped" {
		t.Errorf("%s", got)
	}
	if err := h.StopApp(t.Context(), "test", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	var tail []string
	if err := h.Logs(t.Context(), "test", api.LogQuery{Tail: 2, Follow: true}, func(m api.LogMessage) error {
		for _, l := range m.Lines {
			tail = append(tail, l.Stream)
		}
		if m.End {
			tail = append(tail, "end")
		}
		return nil
	}); err != nil || len(tail) != 3 || tail[2] != "end" {
		t.Errorf("%v, %v", tail, err)
	}
	for ref, q := range map[string]api.LogQuery{"other": {}, "co-none": {}, "fc-none": {}} {
		if err := h.Logs(t.Context(), ref, q, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, q := range []api.LogQuery{{Streams: []string{"out"}}, {Where: []string{"=1"}}} {
		if e, ok := errors.AsType[*api.Error](h.Logs(t.Context(), "test", q, nil)); !ok || e.Code != "invalid" {
			t.Errorf("%+v: %v", q, e)
		}
	}
	if list, err := h.LogList("test"); err != nil || len(list) != 1 || list[0].Live || list[0].App != a.id {
		t.Errorf("%+v, %v", list, err)
	}
	if err := h.tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if d, err := h.Disk(t.Context()); err != nil || d.Blobs == 0 || d.Logs == 0 || d.Free == 0 || d.Budget == 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := h.Prune(t.Context(), api.PruneRequest{All: true}); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "slow", Scaling: app.Scaling{Min: 2}})
	c := a.dial()
	c.open("map", "slow", "", args(600.0), args(600.0), args(600.0))
	waitFor(t, "work", func() bool { return len(h.Containers()) >= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
	if ctx.Err() != nil {
		t.Error("closing took a minute")
	}
	<-a.over
	if _, _, err := h.Build(t.Context(), api.BuildRequest{}, func(build.Event) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	_ = c.conn.Close()
	<-c.done //nolint:errcheck // how it ended does not matter
}

func TestBuildNeedsItsFiles(t *testing.T) {
	h := newHost(t, "process")
	file := h.put("functions.py")
	steps := []app.Step{{Op: app.OpDebianSlim}, {Op: app.OpCopy, Files: []app.File{file}}}
	if _, _, err := h.Build(t.Context(), api.BuildRequest{Image: app.Image{Steps: steps}}, nil); err != nil {
		t.Error(err)
	}
	steps[1].Files[0].SHA256 = strings.Repeat("1", 64)
	if _, _, err := h.Build(t.Context(), api.BuildRequest{Image: app.Image{Steps: steps}}, nil); err == nil || !strings.Contains(err.Error(), "was not uploaded") {
		t.Errorf("%v", err)
	}
	for _, image := range []app.Image{{}, {Steps: []app.Step{{Op: app.OpCopy, Files: []app.File{{Remote: "/x"}}}}}} {
		if _, _, err := h.Build(t.Context(), api.BuildRequest{Image: image}, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v", err)
		}
	}
}
