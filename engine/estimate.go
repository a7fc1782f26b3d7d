package engine

import (
	"fmt"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/gpu"
)

// estimates are what the work that containers have counted would have taken on
// the catalogue's cards, by function.
func (a *App) estimates() []api.Estimate {
	var list []api.Estimate
	prices := a.engine.prices
	for _, d := range a.definitions() {
		work := d.work()
		if len(work.Ops) == 0 {
			continue
		}
		e := api.Estimate{
			Function: d.name, Peak: work.Peak, Cards: work.Estimates(prices), Prices: fmt.Sprintf("%s of %s", prices.Source, prices.Date),
		}
		for _, o := range work.Ops {
			e.Operations += o.Count
			e.FLOPs += o.Count * o.FLOPs
			e.Bytes += o.Count * o.Bytes
		}
		list = append(list, e)
	}
	return list
}

// work is what all containers that have ended computed on their cards.
func (d *definition) work() gpu.Work {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sum gpu.Work
	sum.Add(d.worked)
	for _, meters := range d.meters {
		for _, m := range meters {
			sum.Add(m.Work())
		}
	}
	return sum
}
