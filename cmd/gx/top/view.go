// Package top is the live view of a host: what it has given, its apps with
// their queues and cost, its containers with their CPU, memory and GPU memory.
// It draws what the host's API tells, and knows nothing else of the host.
package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/ui"
)

// Order is by what containers are sorted.
type Order int

// Orders, in the order in which a key goes through them.
const (
	ByCPU Order = iota
	ByMemory
	ByGPU
	ByApp
	orders
)

func (o Order) String() string { return [...]string{"CPU", "memory", "GPU memory", "app"}[o] }

// View draws one moment. Before is an earlier one, by which it is known what is
// used per second; its zero value stands for none.
type View struct {
	Now, Before api.Top
	Order       Order
	Width       int // of lines, in characters; 0 = as long as they are
	Styles      Styles
}

// Styles are how parts are shown.
type Styles struct{ Head, Dim, Warn lipgloss.Style }

// NewStyles are the styles for a terminal with these colours.
func NewStyles(r *lipgloss.Renderer) Styles {
	return Styles{Head: r.NewStyle().Bold(true), Dim: r.NewStyle().Faint(true), Warn: r.NewStyle().Foreground(lipgloss.Color("3"))}
}

// Lines are the lines of the view; the first head of them stay where they are
// when the others are scrolled.
func (v View) Lines() (lines []string, head int) {
	t := v.Now
	lines = append(lines,
		v.Styles.Head.Render("gx "+t.Version)+v.Styles.Dim.Render(fmt.Sprintf("  %s, up %s", t.Runtime, ui.Duration(t.Time.Sub(t.Started).Truncate(time.Second)))),
		v.bar("CPU", t.Used.CPU, t.Total.CPU, fmt.Sprintf("%.3g of %.3g cores set aside, %.2f in use", t.Used.CPU, t.Total.CPU, v.cores())),
		v.bar("memory", float64(t.Used.Memory), float64(t.Total.Memory), fmt.Sprintf("%s of %s set aside, %s in use", ui.Bytes(t.Used.Memory), ui.Bytes(t.Total.Memory), ui.Bytes(v.memory()))),
	)
	if gpu := v.gpuLine(); gpu != "" {
		lines = append(lines, gpu)
	}
	head = len(lines)
	lines = append(lines, "")
	lines = append(lines, v.apps()...)
	lines = append(lines, "")
	lines = append(lines, v.containers()...)
	if v.Width > 0 {
		for i := range lines {
			lines[i] = lipgloss.NewStyle().MaxWidth(v.Width).Render(lines[i])
		}
	}
	return lines, head
}

const barWidth = 20

func (v View) bar(name string, used, total float64, text string) string {
	full := 0
	if total > 0 {
		full = min(barWidth, int(used/total*barWidth+0.5))
	}
	return fmt.Sprintf("%-7s", name) + strings.Repeat("█", full) + v.Styles.Dim.Render(strings.Repeat("░", barWidth-full)) + "  " + text
}

// gpuLine sums the cards up, by model.
func (v View) gpuLine() string {
	type sum struct {
		cards        int
		memory, used int64
		emulated     bool
	}
	models := map[string]*sum{}
	var total, used int64
	for _, c := range v.Now.Containers {
		if c.GPU == "" {
			continue
		}
		s := models[c.GPU]
		if s == nil {
			s = &sum{}
			models[c.GPU] = s
		}
		s.cards += c.GPUs
		s.memory += c.GPUMemory
		s.used += c.GPUUsed
		s.emulated = c.Emulated
		total += c.GPUMemory
		used += c.GPUUsed
	}
	if len(models) == 0 {
		return ""
	}
	var parts []string
	for name, s := range models {
		text := fmt.Sprintf("%d × %s: %s of %s", s.cards, name, ui.Bytes(s.used), ui.Bytes(s.memory))
		if s.emulated {
			text += " (emulated)"
		}
		parts = append(parts, text)
	}
	slices.Sort(parts)
	return v.bar("GPU", float64(used), float64(total), strings.Join(parts, ", "))
}

func (v View) memory() (sum int64) {
	for _, c := range v.Now.Containers {
		sum += c.Memory
	}
	return sum
}

func (v View) cores() (sum float64) {
	for _, c := range v.Now.Containers {
		sum += v.cpu(c)
	}
	return sum
}

// cpu is how many cores a container uses: since the moment before, or since its
// start.
func (v View) cpu(c api.Container) float64 {
	since, used := c.Started, c.CPU
	for _, b := range v.Before.Containers {
		if b.ID == c.ID {
			since, used = v.Before.Time, c.CPU-b.CPU
		}
	}
	span := v.Now.Time.Sub(since).Seconds()
	if span <= 0 || used < 0 {
		return 0
	}
	return used / span
}

func (v View) apps() []string {
	rows := [][]string{{"APP", "STATE", "FUNCTION", "CONTAINERS", "RUNNING", "WAITING", "DONE", "FAILED", "COST"}}
	for _, a := range v.Now.Apps {
		name, state := cmp.Or(a.Name, a.ID), a.State
		if a.Version > 0 {
			state += fmt.Sprintf(" v%d", a.Version)
		}
		for _, f := range a.Pools {
			waiting := fmt.Sprint(f.Waiting)
			if f.Waiting > 0 && f.Containers == 0 {
				waiting = v.Styles.Warn.Render(waiting)
			}
			rows = append(rows, []string{name, state, f.Name, fmt.Sprint(f.Containers), fmt.Sprint(f.Running), waiting, fmt.Sprint(f.Inputs), fmt.Sprint(f.Failed), ui.Dollars(f.Cost)})
			name, state = "", ""
		}
	}
	return v.table(rows, "no app is running")
}

func (v View) containers() []string {
	rows := [][]string{{"CONTAINER", "APP", "FUNCTION", "STATE", "UP", "INPUTS", "CPU %", "MEMORY", "GPU", "GPU MEMORY"}}
	list := slices.Clone(v.Now.Containers)
	slices.SortStableFunc(list, func(a, b api.Container) int {
		switch v.Order {
		case ByMemory:
			return cmp.Compare(b.Memory, a.Memory)
		case ByGPU:
			return cmp.Compare(b.GPUUsed, a.GPUUsed)
		case ByApp:
			return cmp.Or(strings.Compare(a.AppName, b.AppName), strings.Compare(a.Function, b.Function), strings.Compare(a.ID, b.ID))
		default:
			return cmp.Compare(v.cpu(b), v.cpu(a))
		}
	})
	for _, c := range list {
		card, memory := "", ""
		if c.GPU != "" {
			card = c.GPU
			if c.GPUs > 1 {
				card = fmt.Sprintf("%d × %s", c.GPUs, c.GPU)
			}
			memory = fmt.Sprintf("%s of %s", ui.Bytes(c.GPUUsed), ui.Bytes(c.GPUMemory))
		}
		rows = append(rows, []string{c.ID, cmp.Or(c.AppName, c.App), c.Function, c.State, ui.Duration(v.Now.Time.Sub(c.Started).Truncate(time.Second)),
			fmt.Sprint(c.Running), fmt.Sprintf("%.0f", 100*v.cpu(c)), ui.Bytes(c.Memory), card, memory})
	}
	return v.table(rows, "no container is running")
}

// table aligns rows, the first of which is the header.
func (v View) table(rows [][]string, empty string) []string {
	if len(rows) == 1 {
		return []string{v.Styles.Dim.Render(empty)}
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
		if n == 0 {
			lines[n] = v.Styles.Head.Render(lines[n])
		}
	}
	return lines
}
