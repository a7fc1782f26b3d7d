package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/lipgloss"

	"github.com/gx-dev/gx/api"
)

// Options are what the live view is made of.
type Options struct {
	Ask    func(context.Context) (api.Top, error)
	Every  time.Duration
	In     io.Reader // a terminal
	Out    io.Writer // a terminal
	Colour bool
}

// The least and the most that --interval and its keys allow.
const (
	MinEvery = 100 * time.Millisecond
	MaxEvery = time.Minute
)

const help = "q quit · p pause · s sort · r refresh · +/- speed · ↑/↓ scroll"

// Run shows the view until a key or ctx ends it. An error of Ask is shown, and
// asked again: a host may be on its way back.
func Run(ctx context.Context, o Options) error {
	renderer := lipgloss.NewRenderer(o.Out)
	m := &model{Options: o, ctx: ctx, view: View{Styles: NewStyles(renderer)}}
	if !o.Colour {
		m.view.Styles = Styles{}
	}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out)).Run()
	if errors.Is(err, context.Canceled) || errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = nil // that is how somebody else ends it
	}
	return err
}

// model is the view's state, as bubbletea has it.
type model struct {
	Options
	ctx    context.Context //nolint:containedctx // of Run, which bubbletea calls back from
	view   View
	err    error
	height int
	scroll int
	paused bool
	asking bool
}

// asked is what the host has answered.
type asked struct {
	top api.Top
	err error
}

// due says that it is time to ask again.
type due struct{}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return m.ask() }

// ask asks the host, unless that is being done.
func (m *model) ask() tea.Cmd {
	if m.asking {
		return nil
	}
	m.asking = true
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
		defer cancel()
		t, err := m.Ask(ctx)
		return asked{t, err}
	}
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.view.Width, m.height = msg.Width, msg.Height
	case asked:
		m.asking, m.err = false, msg.err
		if msg.err == nil && !m.paused {
			m.view.Before, m.view.Now = m.view.Now, msg.top
		}
		return m, tea.Tick(m.Every, func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.ask()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *model) key(key string) tea.Cmd {
	switch key {
	case "q", "ctrl+c", "esc":
		return tea.Quit
	case "p", "space", " ":
		m.paused = !m.paused
	case "s":
		m.view.Order = (m.view.Order + 1) % orders
	case "r":
		return m.ask()
	case "+", "=":
		m.Every = max(MinEvery, m.Every/2)
	case "-":
		m.Every = min(MaxEvery, m.Every*2)
	case "down", "j":
		m.scroll++
	case "up", "k":
		m.scroll--
	case "pgdown":
		m.scroll += m.height / 2
	case "pgup":
		m.scroll -= m.height / 2
	case "home", "g":
		m.scroll = 0
	}
	return nil
}

// View implements tea.Model.
func (m *model) View() tea.View {
	v := tea.NewView(m.text())
	v.AltScreen = true
	return v
}

// text is what is to be seen.
func (m *model) text() string {
	if m.height == 0 || m.view.Now.Time.IsZero() && m.err == nil {
		return ""
	}
	lines, head := m.view.Lines()
	status := fmt.Sprintf("sorted by %s · every %s · %s", m.view.Order, m.Every, help)
	if m.paused {
		status = "paused · " + status
	}
	if m.err != nil {
		status = "the host does not answer: " + m.err.Error()
	}
	room := max(0, m.height-1-head)
	rest := lines[min(head, len(lines)):]
	m.scroll = min(max(0, m.scroll), max(0, len(rest)-room))
	rest = rest[m.scroll:]
	rest = rest[:min(room, len(rest))]
	shown := append(append([]string{}, lines[:min(head, len(lines))]...), rest...)
	for len(shown) < m.height-1 {
		shown = append(shown, "")
	}
	style := m.view.Styles.Dim
	if m.err != nil {
		style = m.view.Styles.Warn
	}
	shown = append(shown[:min(len(shown), m.height-1)], lipgloss.NewStyle().MaxWidth(m.view.Width).Render(style.Render(status)))
	return strings.Join(shown, "\n")
}
