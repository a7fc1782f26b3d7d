package serve

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// binding is what a key does.
type binding struct {
	key  byte
	help string
	do   func(s *server)
}

// bindings are all keys but Ctrl-C, which the terminal turns into a signal.
func bindings() []binding {
	return []binding{
		{'r', "reload, with every module imported anew", (*server).reloadAll},
		{'l', "show the output of one function, of the next one, of all", (*server).nextFilter},
		{'o', "open the URL, or show the URLs", (*server).open},
		{'c', "show the containers and their memory", (*server).showContainers},
		{'s', "fire a schedule now", (*server).fire},
		{'d', "deploy what is being served", (*server).deploy},
		{'q', "quit", func(s *server) { s.end(exit.OK, s.told > 0) }},
		{'?', "show this", (*server).help},
	}
}

// key does what a key does. Enter makes room, as in a shell.
func (s *server) key(key byte) {
	if s.chosen(key) {
		return
	}
	switch key {
	case '\r', '\n':
		s.UI.Notice("")
		return
	case 'h':
		key = '?'
	}
	for _, b := range bindings() {
		if b.key == key || b.key == key+'a'-'A' && key >= 'A' && key <= 'Z' {
			b.do(s)
			return
		}
	}
}

func (s *server) help() {
	for _, b := range bindings() {
		s.UI.Notice(fmt.Sprintf("  %c   %s", b.key, b.help))
	}
}

func (s *server) reloadAll() {
	if s.ending {
		return
	}
	for _, f := range s.files {
		s.reload(f, reload{cold: true})
	}
}

// nextFilter goes from all functions to each of them, and back.
func (s *server) nextFilter() {
	var names []string
	for _, l := range s.live() {
		for _, name := range l.functions() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	next := slices.Index(names, s.filter) + 1 // -1 for all
	if next >= len(names) {
		s.filter = ""
		s.UI.Notice("showing the output of all functions")
		return
	}
	s.filter = names[next]
	s.UI.Notice("showing the output of " + s.filter + " only")
}

// open shows the only URL in a browser, where there is one and a desktop; else
// it tells the URLs.
func (s *server) open() {
	var all []address
	for _, l := range s.live() {
		all = append(all, l.addresses()...)
	}
	if len(all) != 1 || s.Open == nil {
		for _, l := range s.live() {
			s.urls(l)
		}
		return
	}
	url := all[0].url
	if all[0].docs {
		url += "/docs"
	}
	s.UI.Notice("opening " + url)
	s.work(func() {
		if err := s.Open(url); err != nil {
			s.post(func() { s.UI.Warn(fmt.Sprintf("the browser can't be opened: %v", err)) })
		}
	})
}

func (s *server) showContainers() {
	live := s.live()
	s.work(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askWait)
		defer cancel()
		containers, err := s.containers(ctx, live)
		s.post(func() {
			if err != nil {
				s.UI.Warn(fmt.Sprintf("the containers can't be listed: %v", err))
				return
			}
			if len(containers) == 0 {
				s.UI.Notice("no containers: one starts when a function is called")
				return
			}
			var rows [][]string
			for _, c := range containers {
				rows = append(rows, []string{c.ID, c.Function, c.State, ui.Duration(time.Since(c.Started)), fmt.Sprint(c.Running), ui.Bytes(c.Memory), cards(c), fmt.Sprintf("%.1f s", c.CPU)})
			}
			s.UI.Table([]string{"CONTAINER", "FUNCTION", "STATE", "AGE", "INPUTS", "MEMORY", "GPU", "CPU"}, rows)
		})
	})
}

// cards are a container's, with what is used of their memory.
func cards(c api.Container) string {
	if c.GPUs == 0 {
		return "-"
	}
	text := fmt.Sprintf("%s, %s of %s", c.GPU, ui.Bytes(c.GPUUsed), ui.Bytes(c.GPUMemory))
	if c.GPUs > 1 {
		text = fmt.Sprintf("%d × %s", c.GPUs, text)
	}
	if c.Emulated {
		text += " (emulated)"
	}
	return text
}

// scheduled is a function that has a schedule.
type scheduled struct {
	app      *live
	function string
}

// fire calls a function that has a schedule at once; of several it asks which.
func (s *server) fire() {
	s.choosing = nil
	for _, l := range s.live() {
		for _, f := range l.manifest.Functions {
			if f.Schedule != nil {
				s.choosing = append(s.choosing, scheduled{l, f.Name})
			}
		}
	}
	switch {
	case len(s.choosing) == 0:
		s.UI.Notice("no function here has a schedule: @app.function(schedule=gx.Cron(...)) or gx.Period(...)")
	case len(s.choosing) == 1:
		s.chosen('1')
	default:
		s.choosing = s.choosing[:min(len(s.choosing), 9)]
		for i, c := range s.choosing {
			s.UI.Notice(fmt.Sprintf("  %d   %s of %s", i+1, c.function, c.app.title()))
		}
		s.UI.Notice("which? A number fires it, any other key none")
	}
}

// chosen is the key after fire has asked; it reports whether it meant a function.
func (s *server) chosen(key byte) bool {
	list := s.choosing
	s.choosing = nil
	i := int(key) - '1'
	if i < 0 || i >= len(list) {
		return false
	}
	c := list[i]
	s.work(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askWait)
		defer cancel()
		call, err := s.run(ctx, c)
		s.post(func() {
			if err != nil {
				s.UI.Warn(fmt.Sprintf("%s can't be fired: %v", c.function, err))
				return
			}
			s.UI.Notice(fmt.Sprintf("fired %s: gx why %s tells how it goes", c.function, call))
		})
	})
	return true
}

func (s *server) run(ctx context.Context, c scheduled) (call string, err error) {
	host, err := s.Connect(ctx)
	if err != nil {
		return "", err
	}
	return host.RunSchedule(ctx, c.app.id, c.function)
}

// deploy has the apps stay as they are served now, each by the name that it has.
func (s *server) deploy() {
	for _, l := range s.live() {
		if l.manifest.Name == "" {
			s.UI.Warn(fmt.Sprintf("the app %q in %s has no name, which an app that stays needs: gx.App(\"name\")", l.variable, l.file.reference))
			continue
		}
		if l.deploying {
			s.UI.Notice(l.title() + " is being deployed")
			continue
		}
		l.deploying = true
		s.UI.Notice(fmt.Sprintf("deploying %s as version %d is served", l.title(), l.version))
		s.work(func() {
			done, err := s.deployed(l)
			s.post(func() {
				l.deploying = false
				if err != nil {
					s.UI.Problem(session.TroubleOf(session.NotDeployed(err), s.LogFile).Problem)
					return
				}
				session.ShowDeployed(s.UI, done)
			})
		})
	}
}

func (s *server) deployed(l *live) (api.Deployed, error) {
	host, err := s.Connect(s.ctx)
	if err != nil {
		return api.Deployed{}, err
	}
	return host.DeployServed(s.ctx, l.id, api.DeployServedRequest{Who: session.Who()})
}
