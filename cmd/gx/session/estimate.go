package session

import (
	"fmt"
	"maps"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/gpu"
)

// countVariable has what a container's programs compute on emulated cards
// counted; the Python package gx_cuda reads it.
const countVariable = "GX_GPU_ESTIMATE"

// countWork has the functions count that ask for cards, or may be given some.
func countWork(m *app.Manifest) {
	for i := range m.Functions {
		f := &m.Functions[i]
		f.Env = maps.Clone(f.Env)
		if f.Env == nil {
			f.Env = map[string]string{}
		}
		f.Env[countVariable] = "1"
	}
}

// showEstimates prints what functions' work on their cards would have taken on
// those of the catalogue.
func (s *session) showEstimates(b api.Stopped) {
	if len(b.Estimates) == 0 {
		s.UI.Warn("there is nothing to estimate: no function has computed on an emulated GPU with PyTorch")
		return
	}
	for _, e := range b.Estimates {
		s.UI.Println(fmt.Sprintf("\n%s: %.0f operations, %.3g TFLOP, %.3g GB moved, at most %.2f GiB in use",
			e.Function, e.Operations, e.FLOPs/1e12, e.Bytes/1e9, float64(e.Peak)/(1<<30)))
		var rows [][]string
		for _, c := range e.Cards {
			fits := fmt.Sprintf("%.0f %%", 100*c.Share)
			if !c.Fits {
				fits = "does not fit"
			}
			cost := "unknown"
			if c.Cost > 0 {
				cost = ui.Dollars(c.Cost)
			}
			rows = append(rows, []string{c.Card, fits, ui.Duration(time.Duration(c.Seconds * float64(time.Second))), cost})
		}
		s.UI.Table([]string{"CARD", "MEMORY", "TIME", "COST"}, rows)
		s.UI.Println(fmt.Sprintf("Of the work on the card alone; times are good to a factor of %g, memory to %.0f %%. Prices: %s.",
			gpu.EstimateError, 100*gpu.EstimateMemory, e.Prices))
	}
}
