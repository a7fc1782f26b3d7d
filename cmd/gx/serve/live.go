package serve

import (
	"fmt"
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
	version  int
	stopping bool
}

// follow takes up an app that was started, and shows what happens to it.
func (s *server) follow(f *file, got reloaded) *live {
	started := got.app.Started()
	l := &live{file: f, variable: got.variable, order: got.order, app: got.app, id: started.App, manifest: got.manifest, version: 1}
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
		l.show.Bill(*m.Stopped, l.stopping)
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
	l.version, l.manifest, l.order = got.updated.Version, got.manifest, got.order
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

// kindText says what an update of a kind did.
func (l *live) kindText(kind string) string {
	switch kind {
	case api.UpdateCode:
		return "code"
	case api.UpdateContainers:
		return "containers replaced"
	case api.UpdateImage:
		return "image rebuilt"
	default:
		return kind
	}
}

// urls tells where an app is to be reached.
func (s *server) urls(l *live) {
	s.UI.Notice(fmt.Sprintf("  functions: %s", strings.Join(l.functions(), ", ")))
}
