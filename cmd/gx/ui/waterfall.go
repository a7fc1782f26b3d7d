package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// Bar is a part of a whole's time.
type Bar struct {
	Name  string
	Start float64 // seconds from the beginning of the whole
	Took  float64 // seconds
	Note  string
}

// Widths of a waterfall's bars, in columns.
const (
	narrowest = 12
	widest    = 60
	// negligible parts of the whole are left out: one in so many.
	negligible = 500
)

// Waterfall prints on stdout where a time went: a bar for each part, under one
// another, on one scale.
func (u *UI) Waterfall(bars []Bar) {
	if len(bars) == 0 {
		return
	}
	var total float64
	for _, b := range bars {
		total = max(total, b.Start+b.Took)
	}
	bars = slices.DeleteFunc(slices.Clone(bars), func(b Bar) bool { return b.Note == "" && b.Took < total/negligible })
	name, took, note := 0, 0, 0
	for _, b := range bars {
		name = max(name, lipgloss.Width(b.Name))
		took = max(took, lipgloss.Width(precise(b.Took)))
		note = max(note, lipgloss.Width(b.Note))
	}
	width := 80
	if u.sinks[stdout].terminal {
		width, _ = u.size()
	}
	columns := min(max(width-name-took-note-8, narrowest), widest)
	for _, b := range bars {
		from, length := scale(b, total, columns)
		line := fmt.Sprintf("  %s%s  %*s  %s%s%s", b.Name, strings.Repeat(" ", name-lipgloss.Width(b.Name)), took, precise(b.Took),
			strings.Repeat(" ", from), u.out.name.Render(strings.Repeat("━", length)), strings.Repeat(" ", columns-from-length))
		if b.Note != "" {
			line += "  " + u.out.dim.Render(b.Note)
		}
		u.line(stdout, strings.TrimRight(line, " "))
	}
}

// precise is a number of seconds as people read it, where milliseconds count.
func precise(s float64) string {
	switch {
	case s < 0.0001:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.01:
		return fmt.Sprintf("%.1f ms", s*1e3)
	}
	return Seconds(s)
}

// scale is where a bar begins and how long it is, in columns: at least one, so
// that nothing is left out.
func scale(b Bar, total float64, columns int) (from, length int) {
	if total <= 0 {
		return 0, 1
	}
	from = min(int(b.Start/total*float64(columns)), columns-1)
	to := int((b.Start+b.Took)/total*float64(columns) + 0.5)
	return from, min(max(to-from, 1), columns-from)
}

// Heading prints a line on stdout that begins a part of an answer.
func (u *UI) Heading(text string) { u.line(stdout, u.out.bold.Render(text)) }

// Paragraphs prints sentences on stdout, each marked, and on a terminal wrapped
// to its width.
func (u *UI) Paragraphs(texts []string) {
	for _, t := range texts {
		if u.sinks[stdout].terminal {
			width, _ := u.size()
			t = strings.ReplaceAll(wrap(t, max(width-4, 30)), "\n", "\n    ")
		}
		u.line(stdout, "  "+u.out.good.Render("•")+" "+t)
	}
}

// wrap breaks a text between words into lines of at most so many columns.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		w := lipgloss.Width(word)
		switch {
		case i == 0:
		case column+1+w > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += w
	}
	return b.String()
}
