package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
)

// Table prints rows on stdout under a header, columns aligned.
func (u *UI) Table(header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	format := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
			}
		}
		return b.String()
	}
	var b strings.Builder
	b.WriteString(u.out.bold.Render(format(header)))
	for _, row := range rows {
		b.WriteByte('\n')
		b.WriteString(format(row))
	}
	u.line(stdout, b.String())
}

// Fields prints names and values on stdout, values aligned.
func (u *UI) Fields(pairs [][2]string) {
	width := 0
	for _, p := range pairs {
		width = max(width, lipgloss.Width(p[0]))
	}
	for _, p := range pairs {
		u.line(stdout, u.out.dim.Render(p[0])+strings.Repeat(" ", width-lipgloss.Width(p[0])+2)+p[1])
	}
}

// Name is a name that somebody else has given, quoted if a terminal would do more
// than show it.
func Name(text string) string {
	for _, r := range text {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// Bytes is a size as people read it: "1.5 GB".
func Bytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f /= 1000; f >= 999.95 && unit < len(units)-1; unit++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f %cB", f, units[unit])
}

// Duration is a time span as people read it: "12 ms", "3.4 s", "2 min 5 s".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// Seconds is Duration for a number of seconds.
func Seconds(s float64) string { return Duration(time.Duration(s * float64(time.Second))) }

// Ago is how long ago a moment was.
func Ago(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := now.Sub(then)
	if d < time.Second {
		return "now"
	}
	return Duration(d.Truncate(time.Second)) + " ago"
}

// Count is a number with its noun: "1 container", "3 containers".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Dollars is a cost: never rounded to nothing.
func Dollars(cost float64) string {
	switch {
	case cost == 0:
		return "$0"
	case cost < 0.000001:
		return "under $0.000001"
	case cost < 0.01:
		return fmt.Sprintf("$%.6f", cost)
	default:
		return fmt.Sprintf("$%.2f", cost)
	}
}
