// Package ui is gx's terminal: it knows colour, width, whether anybody is
// watching, and how to print lines, tables, JSON, build progress and errors.
// It knows nothing of hosts and decides nothing.
package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"golang.org/x/term"
)

// Options says what a UI prints to. Stdout and Stderr are examined: a terminal
// gets colour and live progress.
type Options struct {
	Stdout io.Writer
	Stderr io.Writer
	Env    func(string) string
	// Size, where given, makes Stderr a terminal of that size (tests).
	Size func() (width, height int)
	// Now is the clock; nil = time.Now.
	Now func() time.Time
}

// UI prints. It is safe for concurrent use: everything that goes to the two
// outputs goes through one lock, in order.
type UI struct {
	now   func() time.Time
	live  bool                       // stderr can be redrawn
	size  func() (width, height int) // of stderr
	out   styles
	style styles // of stderr

	mu       sync.Mutex
	quiet    bool
	sinks    [2]sink
	progress *Progress // drawn at the bottom of stderr at the moment
	status   *Status   // drawn there otherwise
}

// sink is one output with what is not yet written to it.
type sink struct {
	w        io.Writer
	terminal bool
	buf      bytes.Buffer
	// open names who left an unfinished line; "" = the cursor is in column 0.
	open string
}

const (
	stdout = 0
	stderr = 1
	// flushAt bounds what is held back while more output is waiting.
	flushAt = 64 << 10
)

// New makes a UI.
func New(o Options) *UI {
	if o.Now == nil {
		o.Now = time.Now
	}
	u := &UI{now: o.Now, size: o.Size}
	u.sinks[stdout] = sink{w: o.Stdout, terminal: isTerminal(o.Stdout)}
	u.sinks[stderr] = sink{w: o.Stderr, terminal: isTerminal(o.Stderr) || o.Size != nil}
	if u.size == nil {
		u.size = func() (int, int) { return terminalSize(o.Stderr) }
	}
	u.live = u.sinks[stderr].terminal && o.Env("TERM") != "dumb"
	u.out = newStyles(o.Stdout, u.sinks[stdout].terminal && wantColour(o.Env))
	u.style = newStyles(o.Stderr, u.sinks[stderr].terminal && wantColour(o.Env))
	return u
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func terminalSize(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

func wantColour(env func(string) string) bool {
	return env("NO_COLOR") == "" && env("TERM") != "dumb"
}

// styles are the looks that gx has; without colour all of them are plain.
type styles struct {
	bold, dim, good, bad, warn, name lipgloss.Style
}

// newStyles uses the sixteen colours that every terminal's theme defines, so
// the terminal never has to be asked about its background.
func newStyles(w io.Writer, colour bool) styles {
	r := lipgloss.NewRenderer(w)
	r.SetHasDarkBackground(true)
	if colour {
		r.SetColorProfile(termenv.ANSI)
	} else {
		r.SetColorProfile(termenv.Ascii)
	}
	return styles{
		bold: r.NewStyle().Bold(true),
		dim:  r.NewStyle().Faint(true),
		good: r.NewStyle().Foreground(lipgloss.Color("2")),
		bad:  r.NewStyle().Foreground(lipgloss.Color("1")).Bold(true),
		warn: r.NewStyle().Foreground(lipgloss.Color("3")),
		name: r.NewStyle().Foreground(lipgloss.Color("6")),
	}
}

// SetQuiet leaves out everything but errors, warnings and the user's own output.
func (u *UI) SetQuiet(quiet bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.quiet = quiet
}

// Println prints one line on stdout: a command's answer.
func (u *UI) Println(text string) { u.line(stdout, text) }

// Notice says on stderr what is going on; not when quiet.
func (u *UI) Notice(text string) {
	u.mu.Lock()
	quiet := u.quiet
	u.mu.Unlock()
	if !quiet {
		u.line(stderr, u.style.dim.Render(text))
	}
}

// Done says on stderr that something went well; not when quiet.
func (u *UI) Done(text, detail string) {
	u.mu.Lock()
	quiet := u.quiet
	u.mu.Unlock()
	if quiet {
		return
	}
	line := u.style.good.Render("✓") + " " + text
	if detail != "" {
		line += " " + u.style.dim.Render("· "+detail)
	}
	u.line(stderr, line)
}

// Warn says on stderr what a user should know.
func (u *UI) Warn(text string) {
	u.line(stderr, u.style.warn.Render("warning:")+" "+text)
}

// JSON prints a value for programs on stdout.
func (u *UI) JSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	u.line(stdout, string(data))
	return nil
}

// line prints whole lines at once, on a line of their own.
func (u *UI) line(to int, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.put(to, "", text+"\n")
	u.flush()
}

// put appends text to an output. who identifies a writer of unfinished lines;
// another writer's text never lands in the middle of its line. The caller
// holds mu.
func (u *UI) put(to int, who, text string) {
	if text == "" {
		return
	}
	s, other := &u.sinks[to], &u.sinks[1-to]
	if other.buf.Len() > 0 {
		u.write(other)
	}
	if s.open != "" && s.open != who {
		s.buf.WriteByte('\n')
	}
	// Two terminals are nearly always one terminal.
	if s.terminal && other.terminal && other.open != "" && other.open != who {
		s.buf.WriteByte('\n')
		other.open = ""
	}
	s.buf.WriteString(text)
	s.open = ""
	if text[len(text)-1] != '\n' {
		s.open = who
		if who == "" {
			s.open = "?"
		}
	}
	if s.buf.Len() >= flushAt {
		u.write(s)
	}
}

// write hands an output's buffer over. A closed pipe is not reported here: the
// command ends by SIGPIPE or by its own work. The caller holds mu.
func (u *UI) write(s *sink) {
	if s.buf.Len() == 0 {
		return
	}
	u.progress.erase()
	u.status.erase()
	_, _ = s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 4*flushAt {
		s.buf = bytes.Buffer{}
	}
}

// flush writes everything that is held back. The caller holds mu.
func (u *UI) flush() {
	for i := range u.sinks {
		u.write(&u.sinks[i])
	}
	u.progress.draw()
	u.status.draw()
}

// Flush writes everything that is held back.
func (u *UI) Flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.flush()
}

// JSONLine prints a value as one line of JSON on stdout. It may be held back
// until Flush.
func (u *UI) JSONLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.put(stdout, "", string(data)+"\n")
	return nil
}
