package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// askWait is how long a host may take for the figures of the status line.
const askWait = 5 * time.Second

// stats are the figures of the status line.
type stats struct {
	containers int
	inputs     int64
	cost       float64
	rate       float64 // inputs answered in a second
	at         time.Time
}

// ask brings the figures up to date, in a goroutine of its own.
func (s *server) ask() {
	live := s.live()
	if s.asking || len(live) == 0 {
		return
	}
	s.asking = true
	before := s.stats
	s.work(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askWait)
		defer cancel()
		next, err := s.figures(ctx, live)
		s.post(func() {
			s.asking = false
			if err == nil { // else the old ones stay: the app's events tell what is wrong
				s.stats = next.after(before)
			}
		})
	})
}

// figures asks the host.
func (s *server) figures(ctx context.Context, live []*live) (stats, error) {
	next := stats{at: time.Now()}
	ids := map[string]bool{}
	for _, l := range live {
		ids[l.id] = true
		usage, err := l.app.Usage(ctx)
		if err != nil {
			return next, err
		}
		for _, u := range usage {
			next.inputs += u.Inputs
			next.cost += u.Cost
		}
	}
	host, err := s.Connect(ctx)
	if err != nil {
		return next, err
	}
	containers, err := host.Containers(ctx)
	for _, c := range containers {
		if ids[c.App] {
			next.containers++
		}
	}
	return next, err
}

// after computes the rate since earlier figures.
func (st stats) after(before stats) stats {
	if seconds := st.at.Sub(before.at).Seconds(); !before.at.IsZero() && seconds > 0 && st.inputs >= before.inputs {
		st.rate = float64(st.inputs-before.inputs) / seconds
	}
	return st
}

// show draws the status line.
func (s *server) show() {
	if s.status == nil {
		return
	}
	s.status.Set(s.parts()...)
}

// parts is the status line, the most important first.
func (s *server) parts() []string {
	head := ""
	for _, f := range s.files {
		if f.reloading {
			head = "reloading"
		}
		if f.broken && head == "" {
			head = "error"
		}
	}
	live := s.live()
	switch {
	case s.ending:
		return []string{"stopping"}
	case head != "":
	case len(live) == 1:
		head = fmt.Sprintf("version %d", live[0].version)
	default:
		head = ui.Count(int64(len(live)), "app")
	}
	parts := []string{head, ui.Count(int64(s.stats.containers), "container"), fmt.Sprintf("%.1f requests/s", s.stats.rate)}
	if s.kind != "" {
		what := "reloaded"
		if s.kind == "start" {
			what = "started"
		}
		text := what + " in " + ui.Duration(s.last)
		if s.kind != "start" {
			text += " (" + s.kind + ")"
		}
		parts = append(parts, text)
	}
	parts = append(parts, ui.Dollars(s.stats.cost))
	if s.filter != "" {
		parts = append(parts, "logs of "+s.filter)
	}
	return append(parts, "? for keys")
}

// containers of the apps that are served.
func (s *server) containers(ctx context.Context, live []*live) ([]api.Container, error) {
	host, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	all, err := host.Containers(ctx)
	if err != nil {
		return nil, err
	}
	var own []api.Container
	for _, c := range all {
		for _, l := range live {
			if c.App == l.id {
				own = append(own, c)
			}
		}
	}
	return own, nil
}
