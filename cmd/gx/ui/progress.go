package ui

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/gx-dev/gx/build"
)

const (
	frameEvery = 100 * time.Millisecond
	// showAfter keeps work that is done at once from flashing by.
	showAfter = 150 * time.Millisecond
)

// Progress shows image builds and uploads. In a terminal it redraws a few lines
// at the bottom while they run and leaves the finished list behind; elsewhere
// it prints a line when something begins or ends.
type Progress struct {
	u     *UI
	begun time.Time
	stop  chan struct{}
	ended sync.WaitGroup

	// Guarded by u.mu.
	terse  bool
	builds []*Build
	upload transfer
	screen drawn
}

type transfer struct {
	verb        string // "uploading"
	begun       time.Time
	first       int64 // bytes that were there at the beginning
	done, total int64
}

// Progress begins to show progress; Close ends it. There is one at a time.
func (u *UI) Progress() *Progress {
	p := &Progress{u: u, begun: u.now(), stop: make(chan struct{})}
	if u.live && !u.quiet {
		u.mu.Lock()
		u.status.erase()
		u.progress = p
		u.mu.Unlock()
		p.ended.Add(1)
		go p.tick()
	}
	return p
}

// Terse leaves out builds that had nothing to do.
func (p *Progress) Terse() {
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	p.terse = true
}

func (p *Progress) tick() {
	defer p.ended.Done()
	ticker := time.NewTicker(frameEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.u.mu.Lock()
			p.draw()
			p.u.mu.Unlock()
		}
	}
}

// Close removes what is redrawn and prints how each build ended.
func (p *Progress) Close() {
	close(p.stop)
	p.ended.Wait()
	u := p.u
	u.mu.Lock()
	defer u.mu.Unlock()
	p.erase()
	u.progress = nil
	if u.quiet {
		return
	}
	var unchanged []string
	var lines []string
	for _, b := range p.builds {
		switch {
		case b.unchanged():
			unchanged = append(unchanged, b.label)
		case u.live:
			lines = append(lines, b.render(&u.style, p.width(), u.now(), false)...)
		}
	}
	if len(unchanged) > 0 && !p.terse {
		lines = append(lines, u.style.dim.Render("image of "+strings.Join(unchanged, ", ")+": cached"))
	}
	for _, line := range lines {
		u.put(stderr, "", line+"\n")
	}
	u.flush()
}

// Upload tells how many bytes of how many were sent to the host.
func (p *Progress) Upload(done, total int64) { p.move("uploading", done, total) }

// Download tells how many bytes of how many came from the host.
func (p *Progress) Download(done, total int64) { p.move("downloading", done, total) }

func (p *Progress) move(verb string, done, total int64) {
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	t := &p.upload
	if t.begun.IsZero() || t.verb != verb {
		t.verb, t.begun, t.first = verb, p.u.now(), done
	}
	t.done, t.total = max(done, t.done), total
}

// barWidth is how many columns a bar has.
const barWidth = 24

// line is a bar with what was moved, how fast, and how long the rest takes.
func (t transfer) line(st *styles, width int, now time.Time) string {
	full := int(int64(barWidth) * t.done / max(t.total, 1))
	took := now.Sub(t.begun)
	line := st.name.Render(spinner(took)) + " " + t.verb + " "
	if width > 2*barWidth+20 {
		line += st.name.Render(strings.Repeat("━", full)) + st.dim.Render(strings.Repeat("─", barWidth-full)) + " "
	}
	line += Bytes(t.done) + " of " + Bytes(t.total)
	moved := t.done - t.first
	if took < time.Second || moved <= 0 {
		return line
	}
	rate := float64(moved) / took.Seconds()
	left := time.Duration(float64(t.total-t.done) / rate * float64(time.Second))
	return line + st.dim.Render(" · "+Bytes(int64(rate))+"/s · "+Duration(left.Round(time.Second))+" left")
}

// Build begins one image's build. label says whose image it is.
func (p *Progress) Build(label string) *Build {
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	b := &Build{p: p, label: label, begun: p.u.now()}
	p.builds = append(p.builds, b)
	return b
}

func (p *Progress) width() int {
	width, _ := p.u.size()
	return max(width, 20)
}

// erase removes the drawn lines. The caller holds u.mu.
func (p *Progress) erase() {
	if p != nil {
		_, _ = io.WriteString(p.u.sinks[stderr].w, p.screen.eraser(p.width()))
	}
}

// draw draws the present state in one write, unless a line of somebody's
// output is unfinished. The caller holds u.mu.
func (p *Progress) draw() {
	if p == nil || p.u.sinks[stdout].open != "" || p.u.sinks[stderr].open != "" {
		return
	}
	if p.u.now().Sub(p.begun) < showAfter {
		return
	}
	width, height := p.u.size()
	lines := p.frame(max(width, 20), height, p.u.now())
	var b strings.Builder
	b.WriteString(p.screen.eraser(p.width()))
	b.WriteString(p.screen.lines(lines))
	_, _ = io.WriteString(p.u.sinks[stderr].w, b.String())
}

// frame is what is to be seen now, at most height-1 lines narrower than width.
func (p *Progress) frame(width, height int, now time.Time) []string {
	st := &p.u.style
	var lines []string
	if p.upload.total > 0 && p.upload.done < p.upload.total {
		lines = append(lines, ansi.Truncate(p.upload.line(st, width, now), width-1, "…"))
	}
	for _, b := range p.builds {
		if b.unchanged() {
			continue
		}
		lines = append(lines, b.render(st, width, now, true)...)
	}
	if room := max(height-1, 1); len(lines) > room {
		lines = lines[len(lines)-room:]
	}
	return lines
}

// spinner turns once a second.
func spinner(elapsed time.Duration) string {
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return string(frames[int(elapsed/frameEvery)%len(frames)])
}

// state is how far a step is.
type state int

const (
	waiting state = iota
	running
	done
	cached
	failed
)

type step struct {
	index         int
	name          string
	state         state
	began         time.Time
	took          time.Duration
	reason        string
	current, size int64
	log           logTail
}

// Build is one image's build as it is shown.
type Build struct {
	p     *Progress
	label string
	begun time.Time

	// Guarded by p.u.mu.
	steps  []*step
	worked bool // a step was not cached
}

// Event takes in what happened; it may be called from any goroutine.
func (b *Build) Event(ev build.Event) {
	u := b.p.u
	u.mu.Lock()
	defer u.mu.Unlock()
	ev.Name = strings.Join(strings.Fields(ev.Name), " ")
	s := b.step(ev)
	switch ev.Kind {
	case build.EventStep:
		s.name = ev.Name
	case build.EventStart:
		if s.state == waiting || s.state == cached {
			s.began = u.now()
		}
		s.state, s.reason = running, ev.Reason
		b.work()
		b.plain(s)
	case build.EventLog:
		s.log.add(ev.Data)
	case build.EventProgress:
		s.current, s.size = ev.Current, ev.Size
	case build.EventDone:
		s.state, s.took = done, ev.Took
		if ev.Cached {
			s.state = cached
		}
		if !ev.Cached || b.worked {
			b.plain(s)
		}
	case build.EventFailed:
		s.state, s.took = failed, ev.Took
		b.work()
		b.plain(s)
	}
}

// work notes that this build has something to do. Elsewhere than in a terminal
// the steps that were cached until now are told at this moment.
func (b *Build) work() {
	if b.worked {
		return
	}
	b.worked = true
	for _, s := range b.steps {
		if s.state == cached {
			b.plain(s)
		}
	}
}

func (b *Build) step(ev build.Event) *step {
	for _, s := range b.steps {
		if s.index == ev.Step && (ev.Name == "" || ev.Name == s.name) {
			return s
		}
	}
	s := &step{index: ev.Step, name: ev.Name}
	b.steps = append(b.steps, s)
	return s
}

// FailedLog is all that the failing step printed, as far as it is kept.
func (b *Build) FailedLog() string {
	b.p.u.mu.Lock()
	defer b.p.u.mu.Unlock()
	for _, s := range b.steps {
		if s.state == failed {
			return s.log.String()
		}
	}
	return ""
}

func (b *Build) unchanged() bool {
	return !b.worked
}

// plain prints a step's state as a line of its own where nothing is redrawn.
func (b *Build) plain(s *step) {
	u := b.p.u
	if u.live || u.quiet {
		return
	}
	line := "image of " + b.label + ": " + s.name
	switch s.state {
	case running:
		line += " ..."
		if s.reason != "" {
			line += " (" + s.reason + ")"
		}
	case cached:
		line += ": cached"
	case done:
		line += ": done in " + Duration(s.took)
	case failed:
		line += ": failed after " + Duration(s.took)
	case waiting:
		return
	}
	u.put(stderr, "", line+"\n")
	u.flush()
}

// render is the build as lines, each narrower than width. With logs the last
// line that a running step printed follows it.
func (b *Build) render(st *styles, width int, now time.Time, logs bool) []string {
	lines := []string{ansi.Truncate(st.bold.Render("image of "+b.label), width-1, "…")}
	names := 0
	for _, s := range b.steps {
		names = max(names, lipgloss.Width(s.name))
	}
	names = min(names, max(width-24, 8))
	for _, s := range b.steps {
		mark, after, note := st.dim.Render("·"), "", ""
		switch s.state {
		case waiting:
		case running:
			mark, after = st.name.Render(spinner(now.Sub(s.began))), Duration(now.Sub(s.began))
			note = s.reason
			if s.size > 0 && s.current < s.size {
				note = Bytes(s.current) + " of " + Bytes(s.size)
			} else if s.current > 0 && s.size == 0 {
				note = Bytes(s.current)
			}
		case done:
			mark, after, note = st.good.Render("✓"), Duration(s.took), s.reason
		case cached:
			mark, after = st.good.Render("✓"), st.dim.Render("cached")
		case failed:
			mark, after = st.bad.Render("✗"), "failed after "+Duration(s.took)
		}
		name := ansi.Truncate(s.name, names, "…")
		line := "  " + mark + " " + name
		if after != "" {
			line += strings.Repeat(" ", names-lipgloss.Width(name)+2) + after
		}
		if note != "" {
			line += "  " + st.dim.Render(note)
		}
		lines = append(lines, ansi.Truncate(line, width-1, "…"))
		if last := s.log.last(); logs && s.state == running && last != "" {
			lines = append(lines, st.dim.Render(ansi.Truncate("      "+last, width-1, "…")))
		}
	}
	return lines
}
