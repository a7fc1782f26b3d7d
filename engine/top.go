package engine

import (
	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/pool"
)

// Top tells what the host is doing now.
func (e *Engine) Top() api.Top {
	now := e.cfg.Clock.Now()
	top := api.Top{
		Time: now, Total: topShare(e.ledger.Total()), Used: topShare(e.ledger.Used()), Apps: []api.TopApp{}, Containers: e.Containers(),
	}
	if top.Containers == nil {
		top.Containers = []api.Container{}
	}
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	for _, a := range apps {
		t := api.TopApp{App: a.describe(), Pools: []api.TopFunction{}}
		bill := a.bill(now)
		for _, u := range bill {
			t.Cost += u.Cost
		}
		for _, d := range a.definitions() {
			f := api.TopFunction{Name: d.name}
			for _, p := range d.list() {
				s := p.Stats()
				f.Containers += s.Runners
				f.Waiting += s.Backlog
				f.Running += s.Running
			}
			for _, u := range bill {
				if u.Function == d.name {
					f.Inputs += u.Inputs
					f.Failed += u.Failed
					f.Cost += u.Cost
				}
			}
			t.Pools = append(t.Pools, f)
		}
		top.Apps = append(top.Apps, t)
	}
	return top
}

func topShare(c pool.Capacity) api.TopShare {
	return api.TopShare{CPU: c.CPU, Memory: c.Memory, Containers: c.Containers}
}
