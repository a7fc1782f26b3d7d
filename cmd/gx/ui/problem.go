package ui

import (
	"fmt"
	"strings"
)

// Problem is an error as a user sees it: what happened, where, what to do.
type Problem struct {
	What   string // one sentence
	Detail string // a traceback or a log: shown as it is
	File   string // the user's own file
	Line   int
	Source string // text of that line
	Do     string // what to do; may have several lines
}

// Problem prints an error on stderr.
func (u *UI) Problem(p Problem) {
	u.line(stderr, strings.TrimRight(p.render(&u.style), "\n"))
}

func (p Problem) render(st *styles) string {
	var b strings.Builder
	if detail := strings.TrimRight(p.Detail, "\n"); detail != "" {
		b.WriteString(detail + "\n\n")
	}
	b.WriteString(st.bad.Render("error:") + " " + p.What + "\n")
	if p.File != "" {
		where := p.File
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		b.WriteString(st.dim.Render("  at ") + st.name.Render(where) + "\n")
		if source := strings.TrimSpace(p.Source); source != "" {
			fmt.Fprintf(&b, "%s %s\n", st.dim.Render(fmt.Sprintf("%5d |", p.Line)), source)
		}
	}
	for i, line := range strings.Split(strings.TrimRight(p.Do, "\n"), "\n") {
		switch {
		case p.Do == "":
		case i == 0:
			b.WriteString(st.good.Render("  →") + " " + line + "\n")
		default:
			b.WriteString("    " + line + "\n")
		}
	}
	return b.String()
}

// Finding is how one check ended: Level is "ok", "warning" or "failed".
type Finding struct {
	Level, Name, Found, Mend string
}

// Findings prints how checks ended, each with what mends it.
func (u *UI) Findings(findings []Finding) {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	for _, f := range findings {
		mark := u.out.good.Render("✓")
		switch f.Level {
		case "warning":
			mark = u.out.warn.Render("!")
		case "failed":
			mark = u.out.bad.Render("✗")
		}
		fmt.Fprintf(&b, "%s %-*s  %s\n", mark, width, f.Name, f.Found)
		for line := range strings.Lines(f.Mend) {
			fmt.Fprintf(&b, "%*s%s%s\n", width+4, "", u.out.dim.Render("→ "), strings.TrimRight(line, "\n"))
		}
	}
	u.line(stdout, strings.TrimRight(b.String(), "\n"))
}
