package top

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
)

func moment(at time.Time, cpu float64) api.Top {
	return api.Top{
		Time: at, Started: at.Add(-time.Hour), Version: "1", Runtime: "runc",
		Total: api.TopShare{CPU: 8, Memory: 32e9}, Used: api.TopShare{CPU: 2, Memory: 16e9},
		Apps: []api.TopApp{{App: api.App{Name: "train", State: "deployed", Version: 3}, Cost: 1.5, Pools: []api.TopFunction{
			{Name: "fit", Containers: 2, Running: 2, Waiting: 7, Inputs: 10, Failed: 1, Cost: 1.5}, {Name: "eval", Waiting: 4},
		}}},
		Containers: []api.Container{
			{ID: "co-a", AppName: "train", Function: "fit", State: "ready", Started: at.Add(-time.Minute), CPU: cpu, Memory: 3e9, GPU: "A100-80GB", GPUs: 2, GPUMemory: 160e9, GPUUsed: 40e9, Emulated: true},
			{ID: "co-b", AppName: "train", Function: "fit", State: "ready", Started: at.Add(-time.Minute), CPU: 2 * cpu, Memory: 1e9},
		},
	}
}

func find(t *testing.T, lines []string, text string) (int, string) {
	t.Helper()
	for i, line := range lines {
		if strings.Contains(line, text) {
			return i, line
		}
	}
	t.Fatalf("no %q in:\n%s", text, strings.Join(lines, "\n"))
	return 0, ""
}

func TestView(t *testing.T) {
	begun := time.Unix(1e9, 0)
	v := View{Before: moment(begun, 10), Now: moment(begun.Add(2*time.Second), 11)}
	lines, head := v.Lines()
	require.Equal(t, 4, head)
	_, line := find(t, lines, "cores set aside")
	require.Contains(t, line, "█████░░")
	require.Contains(t, line, "2 of 8 cores set aside, 1.50 in use")
	_, line = find(t, lines, "2 × A100-80GB")
	require.Contains(t, line, "40.0 GB of 160.0 GB (emulated)")
	_, line = find(t, lines, "fit ")
	require.Regexp(t, `train +deployed v3 +fit +2 +2 +7 +10 +1 +\$1\.50`, line)
	a, line := find(t, lines, "co-a")
	require.Regexp(t, `co-a +train +fit +ready +1 min 0 s +0 +50 +3\.0 GB +2 × A100-80GB +40\.0 GB of 160\.0 GB`, line)
	b, _ := find(t, lines, "co-b")
	require.Less(t, b, a, "by CPU")
	v.Order, v.Width = ByMemory, 40
	lines, _ = v.Lines()
	a, _ = find(t, lines, "co-a")
	b, _ = find(t, lines, "co-b")
	require.Less(t, a, b, "by memory")
	for _, line := range lines {
		require.LessOrEqual(t, len([]rune(line)), 40)
	}
	lines, _ = View{}.Lines()
	find(t, lines, "no container is running")
}

func TestKeys(t *testing.T) {
	asked := 0
	m := &model{ctx: context.Background(), Options: Options{Every: time.Second, Ask: func(context.Context) (api.Top, error) {
		asked++
		return moment(time.Unix(1e9+int64(asked), 0), float64(asked)), nil
	}}}
	answer := func(cmd tea.Cmd) { m.Update(cmd()) }
	press := func(key rune) tea.Cmd {
		_, cmd := m.Update(tea.KeyPressMsg{Code: key, Text: string(key)})
		return cmd
	}
	m.Update(tea.WindowSizeMsg{Width: 100, Height: 8})
	require.Empty(t, m.text(), "nothing is known yet")
	answer(m.Init())
	require.Len(t, strings.Split(m.text(), "\n"), 8)
	require.Contains(t, m.text(), "sorted by CPU")
	press('s')
	require.Contains(t, m.text(), "sorted by memory")
	press('+')
	require.Equal(t, time.Second/2, m.Every)
	for range 20 {
		press('-')
	}
	require.Equal(t, MaxEvery, m.Every)
	press('p')
	require.Contains(t, m.text(), "paused")
	before := m.view.Now.Time
	answer(press('r'))
	require.Equal(t, before, m.view.Now.Time)
	press('p')
	for range 100 {
		press('j')
	}
	require.Contains(t, m.text(), "co-a", "the end is in sight, and no more than that")
	m.Ask = func(context.Context) (api.Top, error) { return api.Top{}, errors.New("it has gone") }
	answer(press('r'))
	require.Contains(t, m.text(), "the host does not answer: it has gone")
	require.NotNil(t, press('q'))
}
