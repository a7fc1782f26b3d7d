package ui

import (
	"strings"

	"github.com/gx-dev/gx/api"
)

// LogStyle says how lines of containers are shown.
type LogStyle struct {
	Timestamps bool
	Names      bool // begin each line with its function and container
}

// Log prints a line of a container's output: its stdout on stdout, the rest on
// stderr. It may be held back until Flush.
func (u *UI) Log(line api.LogLine, style LogStyle) {
	to, st := stdout, &u.out
	if line.Stream != "stdout" {
		to, st = stderr, &u.style
	}
	who := line.Container + "/" + line.Stream
	text := line.Text
	if line.Stream == "system" {
		text = st.dim.Render(text)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sinks[to].open != who {
		text = prefix(line, style, st) + text
	}
	if !line.Partial {
		text += "\n"
	}
	u.put(to, who, text)
}

func prefix(line api.LogLine, style LogStyle, st *styles) string {
	var b strings.Builder
	if style.Timestamps {
		b.WriteString(st.dim.Render(line.Time.Local().Format("2006-01-02 15:04:05.000")) + " ")
	}
	if style.Names {
		b.WriteString(st.name.Render(line.Function+" "+line.Container) + "  ")
	}
	return b.String()
}
