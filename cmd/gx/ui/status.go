package ui

import (
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Status is a line that stays at the bottom of a terminal while others are
// printed above it. Where nothing can be redrawn there is none.
type Status struct {
	u *UI

	// Guarded by u.mu.
	parts  []string
	screen drawn
}

// Status begins to show a status line; Close ends it. There is one at a time.
func (u *UI) Status() *Status {
	s := &Status{u: u}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live {
		u.status = s
	}
	return s
}

// Set shows these parts. The first stands out; those at the end are left out
// where the terminal is too narrow.
func (s *Status) Set(parts ...string) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.parts = parts
	s.draw()
}

// Close removes the line.
func (s *Status) Close() {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.erase()
	s.u.status = nil
}

// erase removes the line. The caller holds u.mu.
func (s *Status) erase() {
	if s != nil && len(s.screen) > 0 {
		_, _ = io.WriteString(s.u.sinks[stderr].w, s.screen.eraser(s.width()))
	}
}

// draw draws the line in one write, unless progress is drawn there or a line of
// somebody's output is unfinished. The caller holds u.mu.
func (s *Status) draw() {
	if s == nil || s.u.status != s || s.u.progress != nil || len(s.parts) == 0 || s.u.sinks[stdout].open != "" || s.u.sinks[stderr].open != "" {
		return
	}
	width := s.width()
	var b strings.Builder
	b.WriteString(s.screen.eraser(width))
	b.WriteString(s.screen.lines([]string{s.line(width)}))
	_, _ = io.WriteString(s.u.sinks[stderr].w, b.String())
}

// line is the status, narrower than width.
func (s *Status) line(width int) string {
	st := &s.u.style
	line, plain := "", 0
	for i, part := range s.parts {
		w := ansi.StringWidth(part)
		if i == 0 {
			line, plain = st.good.Bold(true).Render(part), w
			continue
		}
		if plain+3+w >= width {
			break
		}
		line += st.dim.Render(" · " + part)
		plain += 3 + w
	}
	return ansi.Truncate(line, width-1, "…")
}

func (s *Status) width() int {
	width, _ := s.u.size()
	return max(width, 20)
}
