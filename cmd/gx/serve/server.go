package serve

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/watch"
)

const (
	// graceWait is how long apps have to end, their exit hooks included, before
	// the user is told how to end them at once.
	graceWait = 10 * time.Second
	// lastWait is how long a host has to end an app at once.
	lastWait = 10 * time.Second
	// statusEvery is how often the status line is brought up to date.
	statusEvery = time.Second
)

// server is the state of Run, owned by its goroutine.
type server struct {
	Options
	ctx     context.Context
	inbox   chan func()
	ended   chan struct{} // nobody reads the inbox any more
	workers sync.WaitGroup

	files    []*file
	last     time.Duration // what the last reload that went well took
	kind     string        // of that one; "" = there was none
	status   *ui.Status    // nil = no terminal
	stats    stats
	filter   string      // the function whose output is shown; "" = of all
	choosing []scheduled // what the next key chooses among; nil = it does not
	asking   bool        // figures for the status line are being asked for

	ending bool
	told   int // how many times it was told to end
	code   int
	timer  <-chan time.Time
}

// post has the server's goroutine do something; nothing, if it has ended.
func (s *server) post(f func()) {
	select {
	case s.inbox <- f:
	case <-s.ended:
	}
}

// work does something in a goroutine of its own, which ends with Run.
func (s *server) work(f func()) { s.workers.Go(f) }

func (s *server) loop() {
	var timeout <-chan time.Time
	if s.Timeout > 0 {
		timer := time.NewTimer(s.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	var ticks <-chan time.Time
	if s.status != nil {
		ticker := time.NewTicker(statusEvery)
		defer ticker.Stop()
		ticks = ticker.C
	}
	done, keys := s.ctx.Done(), s.Keys
	for !s.over() {
		select {
		case f := <-s.inbox:
			f()
			s.drain()
		case key, ok := <-keys:
			if !ok {
				keys = nil // the terminal has gone; a signal tells so
				continue
			}
			s.key(key)
		case sig := <-s.Signals:
			s.signal(sig)
		case <-done:
			done = nil
			s.signal(syscall.SIGTERM)
		case <-timeout:
			s.UI.Notice(fmt.Sprintf("served for %s, as --timeout says", s.Timeout))
			s.end(exit.OK, false)
		case <-s.timer:
			s.overdue()
		case <-ticks:
			s.ask()
		}
		s.UI.Flush()
		s.show()
	}
}

// drain does what has come in meanwhile, so that much output is written at once.
func (s *server) drain() {
	for range 1000 {
		select {
		case f := <-s.inbox:
			f()
		default:
			return
		}
	}
}

// over tells whether nothing is left to do.
func (s *server) over() bool {
	return s.ending && !slices.ContainsFunc(s.files, func(f *file) bool { return f.reloading || len(f.apps) > 0 })
}

// live lists the running apps in the order of their files.
func (s *server) live() []*live {
	var list []*live
	for _, f := range s.files {
		list = append(list, f.sorted()...)
	}
	return list
}

// changed reloads what is made of files that have changed.
func (s *server) changed(f *file, changes []watch.Change, began time.Time) {
	if s.ending {
		return
	}
	changes = f.relevant(changes)
	if len(changes) == 0 {
		return
	}
	s.reload(f, reload{changes: changes, began: began})
}

// reload begins to reload a file; if that is going on, what is not yet with the
// host is given up and begun again.
func (s *server) reload(f *file, r reload) {
	if f.reloading {
		r.changes = append(f.current.changes, r.changes...)
		r.cold = r.cold || f.current.cold
		r.began = f.current.began
		f.next = &r
		f.abandon()
		return
	}
	f.begin(r)
}

// signal ends serving, gently at first.
func (s *server) signal(sig os.Signal) {
	code := exit.Interrupted
	if sig == syscall.SIGHUP { // the terminal has gone
		s.status = nil
	}
	if !s.ending && len(s.live()) > 0 {
		s.UI.Notice("stopping; Ctrl-C again ends it at once")
	}
	s.end(code, s.told > 0)
}

// end begins to end everything.
func (s *server) end(code int, now bool) {
	s.told++
	if !s.ending {
		s.code = code
	}
	s.ending = true
	for _, f := range s.files {
		f.next = nil
		f.abandon()
	}
	for _, l := range s.live() {
		s.stop(l, now)
	}
	wait := graceWait
	if now {
		wait = lastWait
	}
	s.timer = time.After(wait)
}

// stop has the host end an app; its events tell when it has.
func (s *server) stop(l *live, now bool) {
	l.stopping = true
	s.work(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), lastWait)
		defer cancel()
		if err := l.app.Stop(ctx, now); err != nil {
			s.post(func() { s.lost(l) })
		}
	})
}

// overdue goes on without apps that do not end.
func (s *server) overdue() {
	s.timer = nil
	if s.told < 2 {
		s.UI.Notice("the app's exit hooks are still running; Ctrl-C ends it at once")
		return
	}
	if len(s.live()) > 0 {
		s.UI.Warn("the host did not end the app in time; it will when this connection closes")
	}
	for _, l := range s.live() {
		l.file.forget(l)
	}
}

// lost is the end of a host that did not say goodbye.
func (s *server) lost(l *live) {
	if l.file.apps[l.variable] != l {
		return // it has ended, or was told of
	}
	if s.code == exit.OK || !s.ending {
		s.UI.Problem(explain.Host(errLost, s.LogFile))
		s.code = exit.Host
	}
	s.ending = true
	for _, f := range s.files {
		f.next = nil
		f.abandon()
		for _, other := range f.sorted() {
			f.forget(other)
		}
	}
}

const errLost = errorText("the host ended while it was serving")

// errorText is an error that is a constant.
type errorText string

func (e errorText) Error() string { return string(e) }
