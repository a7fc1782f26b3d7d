package ui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// keepLog is how much of a build step's output is kept for the case that it
// fails; of more, the end is kept.
const keepLog = 8 << 20

// logTail is what a build step printed.
type logTail struct {
	text strings.Builder
	lost int
}

func (l *logTail) add(data string) {
	if l.text.Len()+len(data) > 2*keepLog {
		all := l.text.String() + data
		cut := len(all) - keepLog
		if nl := strings.IndexByte(all[cut:], '\n'); nl >= 0 {
			cut += nl + 1
		}
		l.lost += cut
		l.text.Reset()
		l.text.WriteString(all[cut:])
		return
	}
	l.text.WriteString(data)
}

// String is the log as it would look in a terminal after the fact: of a line
// that was overwritten (progress bars), its last state.
func (l *logTail) String() string {
	var b strings.Builder
	if l.lost > 0 {
		fmt.Fprintf(&b, "(%s before this are left out)\n", Bytes(int64(l.lost)))
	}
	for line := range strings.Lines(l.text.String()) {
		b.WriteString(settled(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// last is the last line with text in it, without colours.
func (l *logTail) last() string {
	text := l.text.String()
	text = text[max(0, len(text)-4096):]
	for {
		text = strings.TrimRight(text, "\n")
		i := strings.LastIndexByte(text, '\n')
		line := strings.TrimSpace(ansi.Strip(settled(text[i+1:])))
		if line != "" || i < 0 {
			return strings.ReplaceAll(line, "\t", " ")
		}
		text = text[:i]
	}
}

// settled is what remains of a line after its carriage returns.
func settled(line string) string {
	line = strings.TrimRight(line, "\r")
	return line[strings.LastIndexByte(line, '\r')+1:]
}
