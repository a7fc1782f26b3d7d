package serve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// live is a running app.
type live struct {
	file     *file
	variable string // of the file's, that holds it
	order    int
	app      App
	show     *session.Shown
	id       string

	manifest app.Manifest
	web      map[string]string // URLs of web endpoints, by function or Class.method
	version  int
	stopping bool

	deploying bool // as it is served
}

// follow takes up an app that was started, and shows what happens to it.
func (s *server) follow(f *file, got reloaded) *live {
	started := got.app.Started()
	l := &live{file: f, variable: got.variable, order: got.order, app: got.app, id: started.App, manifest: got.manifest, web: started.Web, version: 1}
	l.show = session.NewShown(s.UI, true, ui.LogStyle{Timestamps: s.Timestamps, Names: len(got.manifest.Functions) > 1})
	l.show.Began(l.id, l.manifest.Name)
	f.apps[l.variable] = l
	s.work(func() {
		for m := range l.app.Events() {
			s.post(func() { s.happened(l, m) })
		}
		s.post(func() { s.lost(l) })
	})
	return l
}

// happened shows what the host told of an app.
func (s *server) happened(l *live, m api.SessionMessage) {
	switch {
	case m.Stopped != nil:
		if m.Stopped.Reason != "" && !l.stopping {
			l.show.Gone(m.Stopped.Reason)
		}
		l.show.Bill(*m.Stopped)
		l.file.forget(l)
		if len(s.live()) == 0 && !l.stopping && !s.ending {
			s.ending = true // somebody else has ended it
		}
	case m.Log != nil && s.filter != "" && m.Log.Function != s.filter:
	default:
		l.show.Message(m)
	}
}

// update takes in a newer version.
func (l *live) update(got reloaded) {
	l.version, l.manifest, l.order, l.web = got.updated.Version, got.manifest, got.order, got.updated.Web
}

// title is how the app is called.
func (l *live) title() string {
	if l.manifest.Name != "" {
		return l.manifest.Name
	}
	return l.id
}

func (l *live) functions() []string {
	names := make([]string, len(l.manifest.Functions))
	for i, f := range l.manifest.Functions {
		names[i] = f.Name
	}
	return names
}

// kindText says what an update did.
func (l *live) kindText(u api.Updated) string {
	text := u.Kind
	switch u.Kind {
	case api.UpdateCode:
		text = "code"
	case api.UpdateContainers:
		text = "containers replaced"
	case api.UpdateImage:
		text = "image rebuilt"
	}
	if u.Why != "" {
		text += ": " + u.Why
	}
	return text
}

// addresses are the URLs of an app's web endpoints, with whose they are.
func (l *live) addresses() []address {
	list := make([]address, 0, len(l.web))
	for _, name := range slices.Sorted(maps.Keys(l.web)) {
		list = append(list, address{url: l.web[name], of: name, docs: l.documented(name)})
	}
	return list
}

type address struct {
	url, of string
	docs    bool // it has a page that describes it
}

func (l *live) documented(endpoint string) bool {
	for _, f := range l.manifest.Functions {
		if f.Name == endpoint && f.Web != nil {
			return f.Web.Docs
		}
		for _, m := range f.Methods {
			if f.Name+"."+m.Name == endpoint && m.Web != nil {
				return m.Web.Docs
			}
		}
	}
	return false
}

// urls tells where an app is to be reached.
func (s *server) urls(l *live) {
	list := l.addresses()
	for _, a := range list {
		more := ""
		if a.docs {
			more = " (with /docs)"
		}
		s.UI.Notice(fmt.Sprintf("  %s  %s%s", a.url, a.of, more))
	}
	var called []string
	for _, f := range l.manifest.Functions {
		if f.Web == nil && (len(f.Methods) == 0 || slices.ContainsFunc(f.Methods, func(m app.Method) bool { return m.Web == nil })) {
			called = append(called, f.Name)
		}
	}
	if len(called) > 0 {
		s.UI.Notice("  functions: " + strings.Join(called, ", "))
	}
}
