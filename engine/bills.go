package engine

import (
	"context"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/billing"
)

// keepBills has what runs written down, until the engine closes.
func (e *Engine) keepBills() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e.tending.Go(func() {
		<-e.closing
		cancel()
	})
	e.bills.Tend(ctx)
}

// running is the bills of the apps that run, until now.
func (e *Engine) running() []billing.Bill {
	now := e.cfg.Clock.Now()
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	bills := make([]billing.Bill, len(apps))
	for i, a := range apps {
		bills[i] = a.account(a.bill(now))
	}
	return bills
}

// account is a bill of the app, for the book.
func (a *App) account(usage []api.Usage) billing.Bill {
	return billing.Bill{Environment: a.environment, App: a.id, Name: a.name, Began: a.created, Usage: usage}
}
