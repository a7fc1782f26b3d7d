package engine

import (
	"context"
	"fmt"

	"github.com/gx-dev/gx/api"
)

// GPUs tells which GPUs the host has, who holds them, and who waits for some.
func (e *Engine) GPUs(ctx context.Context) (api.GPUs, error) {
	all := api.GPUs{Stock: map[string]int{}, Cards: []api.GPU{}}
	provider := e.cfg.GPUs
	if provider == nil {
		return all, nil
	}
	all.Provider, all.Emulated, all.Stock = provider.Name(), provider.Emulated(), provider.Stock()
	devices, err := provider.Devices(ctx)
	if err != nil {
		return all, fmt.Errorf("listing the GPUs: %w", err)
	}
	owners := map[string]api.Container{}
	for _, f := range e.pools() {
		for _, c := range f.Containers() {
			owners[c.ID] = c
		}
		if w, ok := f.Waits(); ok && len(f.Version().Spec.GPU) > 0 {
			all.Waiting = append(all.Waiting, w)
		}
	}
	for _, d := range devices {
		owner := owners[d.Container]
		if d.Container != "" && owner.ID == "" && provider.Stock() == nil {
			continue // a template's, or of a container that has just ended
		}
		all.Cards = append(all.Cards, api.GPU{
			UUID: d.UUID, Card: d.Card, Device: d.Device, Memory: d.Memory, Used: d.Used, Load: d.Util, Heat: d.Heat, Power: d.Power, Lost: d.Lost,
			Container: d.Container, AppName: owner.AppName, Function: owner.Function,
		})
	}
	return all, nil
}
