package serve

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/watch"
)

// file is one that is served: its apps, and what they were made of.
type file struct {
	server    *server
	reference string
	collector collector
	watcher   *watch.Watcher
	preparer  session.Preparer

	// Owned by the server's goroutine.
	apps      map[string]*live // by the variable that holds them
	reloading bool
	current   reload
	next      *reload            // to begin when the current one has ended
	abandon   context.CancelFunc // of what is not yet with the host
	served    bool               // it was, at some time
	broken    bool               // the last reload failed

	// Owned by the reload that is going on, else by the server's goroutine.
	inputs inputs
}

func newFile(s *server, reference string) *file {
	f := &file{server: s, reference: reference, apps: map[string]*live{}, abandon: func() {}, inputs: inputs{root: rootOf(reference, s.Module)}}
	f.preparer = session.Preparer{UI: s.UI, Hashes: s.Hashes, Connect: func(ctx context.Context) (session.Host, error) { return s.Connect(ctx) }}
	f.collector = collector{start: s.Python, ui: s.UI, warned: map[string]bool{}}
	f.watcher = watch.New(watch.Options{
		Warn: func(err error) { s.UI.Warn(err.Error()) },
		Sum: func(path string) (string, error) {
			sums, err := s.Hashes.Sums(s.ctx, []string{path})
			if err != nil {
				return "", err
			}
			return sums[0].SHA256, nil
		},
	})
	s.work(func() {
		for changes := range f.watcher.Changes() {
			began := since(changes, time.Now())
			s.post(func() { s.changed(f, changes, began) })
		}
	})
	return f
}

// rootOf is the folder that a reference's modules are imported from.
func rootOf(reference string, module bool) string {
	name, _, _ := cut(reference)
	if module {
		name = "."
	} else {
		name = filepath.Dir(name)
	}
	root, err := filepath.Abs(name)
	if err != nil {
		return "/"
	}
	return root
}

func (f *file) close() {
	f.abandon()
	f.watcher.Close()
	f.collector.close()
}

// sorted lists the file's running apps.
func (f *file) sorted() []*live {
	return slices.SortedFunc(maps.Values(f.apps), func(a, b *live) int { return cmp.Compare(a.order, b.order) })
}

// forget lets go of an app that has ended.
func (f *file) forget(l *live) {
	delete(f.apps, l.variable)
	_ = l.app.Close()
}

// relevant leaves out changes that the app is not made of: what comes into
// being in a folder may be, what changes there is only if it was before.
func (f *file) relevant(changes []watch.Change) []watch.Change {
	if f.reloading {
		return changes // what it is made of is being found out
	}
	return slices.DeleteFunc(changes, func(c watch.Change) bool {
		_, known := f.inputs.files[c.Path]
		return !known && c.Kind != watch.Created
	})
}

// problem is what a user is told of a reload that failed.
func (f *file) problem(p ui.Problem) {
	f.server.UI.Problem(p)
	if len(f.apps) > 0 {
		f.server.UI.Notice("what was there before is still served; the next save is tried again")
	} else {
		f.server.UI.Notice("nothing is served yet; the next save is tried")
	}
}
