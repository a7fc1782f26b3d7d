package ui

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

// drawn are the widths of the lines that stand above the cursor at the moment,
// to be erased before anything else is printed.
type drawn []int

// lines is what draws lines.
func (d *drawn) lines(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
		*d = append(*d, lipgloss.Width(line))
	}
	return b.String()
}

// eraser is what removes the drawn lines. After a resize the terminal may have
// wrapped them, so it counts how many rows they occupy now.
func (d *drawn) eraser(width int) string {
	if len(*d) == 0 {
		return ""
	}
	rows := 0
	for _, w := range *d {
		rows += max(1, (w+width-1)/width)
	}
	*d = (*d)[:0]
	return "\r" + ansi.CursorUp(rows) + ansi.EraseScreenBelow
}
