// Package gputest is the conformance suite of gpu.Provider.
package gputest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/gpu"
)

// Run holds a provider to its contract. It has at least one card, and nobody
// else uses it; the suite does not close it.
func Run(t *testing.T, p gpu.Provider) {
	t.Run("Names", func(t *testing.T) { names(t, p) })
	t.Run("GrantAndRelease", func(t *testing.T) { grantAndRelease(t, p) })
	t.Run("Exclusive", func(t *testing.T) { exclusive(t, p) })
	t.Run("Once", func(t *testing.T) { once(t, p) })
	t.Run("Edits", func(t *testing.T) { edits(t, p) })
	t.Run("Cancelled", func(t *testing.T) { cancelled(t, p) })
	t.Run("Observe", func(t *testing.T) { observe(t, p) })
}

// one is a card that the provider has.
func one(p gpu.Provider) gpu.Choice {
	for _, name := range slices.Sorted(maps.Keys(p.Stock())) {
		return gpu.Choice{Card: name, Count: 1, Price: name}
	}
	return gpu.Choice{Card: "A100-80GB", Count: 1, Price: "A100-80GB"}
}

func grant(t *testing.T, p gpu.Provider, container string, c gpu.Choice) gpu.Lease {
	t.Helper()
	l, err := p.Grant(t.Context(), container, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release(t, l) })
	return l
}

func release(t *testing.T, l gpu.Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// held is what a container has by the provider's list.
func held(t *testing.T, p gpu.Provider, container string) (list []gpu.Device) {
	t.Helper()
	all, err := p.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Container == container {
			list = append(list, d)
		}
	}
	return list
}

func names(t *testing.T, p gpu.Provider) {
	if p.Name() == "" {
		t.Error("it has no name")
	}
	all, err := p.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, d := range all {
		count[d.Card]++
		if !strings.HasPrefix(d.UUID, "GPU-") || d.Device == "" || d.Memory <= 0 || d.Used < 0 || d.Used > d.Memory {
			t.Errorf("%+v", d)
		}
	}
	if stock := p.Stock(); stock != nil && !maps.Equal(stock, count) {
		t.Errorf("the stock is %v, and listed are %v", stock, count)
	}
}

func grantAndRelease(t *testing.T, p gpu.Provider) {
	before := len(held(t, p, ""))
	l := grant(t, p, "co-1", one(p))
	devices, err := l.Devices()
	if err != nil || len(devices) != 1 || devices[0].Container != "co-1" || devices[0].Card != one(p).Card {
		t.Fatalf("%+v, %v", devices, err)
	}
	if list := held(t, p, "co-1"); len(list) != 1 || list[0].UUID != devices[0].UUID {
		t.Errorf("listed are %+v", list)
	}
	release(t, l)
	release(t, l) // again
	if list := held(t, p, "co-1"); len(list) != 0 {
		t.Errorf("still held: %+v", list)
	}
	if after := len(held(t, p, "")); after != before {
		t.Errorf("%d cards were free, and now %d are", before, after)
	}
	l = grant(t, p, "co-1", one(p)) // another container may have that name
	release(t, l)
}

func exclusive(t *testing.T, p gpu.Provider) {
	c := one(p)
	total, limited := p.Stock()[c.Card]
	if !limited {
		total = 3
	}
	seen := map[string]bool{}
	for i := range total {
		l := grant(t, p, "co-"+string(rune('a'+i)), c)
		devices, err := l.Devices()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range devices {
			if seen[d.UUID] {
				t.Errorf("%s was given twice", d.UUID)
			}
			seen[d.UUID] = true
		}
	}
	if !limited {
		return
	}
	if l, err := p.Grant(t.Context(), "co-more", c); !errors.Is(err, gpu.ErrNone) {
		t.Errorf("one too many: %v, %v", l, err)
	}
	c.Count = total + 1
	if l, err := p.Grant(t.Context(), "co-more", c); !errors.Is(err, gpu.ErrNone) {
		t.Errorf("too many at once: %v, %v", l, err)
	}
}

func once(t *testing.T, p gpu.Provider) {
	grant(t, p, "co-1", one(p))
	if l, err := p.Grant(t.Context(), "co-1", one(p)); err == nil {
		release(t, l)
		t.Error("a container was granted cards twice")
	}
	if l, err := p.Grant(t.Context(), "co-2", gpu.Choice{Card: "no such card", Count: 1}); !errors.Is(err, gpu.ErrNone) {
		t.Errorf("%v, %v", l, err)
	}
}

func edits(t *testing.T, p gpu.Provider) {
	l := grant(t, p, "co-1", one(p))
	e, err := l.Edits([]string{"PATH=/bin", "HOME=/root"})
	if err != nil || e == nil || len(e.Env)+len(e.Mounts)+len(e.DeviceNodes) == 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	for _, entry := range e.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "HOME" {
			t.Errorf("variable %q", entry)
		}
	}
}

func cancelled(t *testing.T, p gpu.Provider) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := p.Grant(ctx, "co-1", one(p)); err == nil {
		release(t, l)
		t.Error("granted after its time")
	}
	release(t, grant(t, p, "co-1", one(p))) // it is free
}

func observe(t *testing.T, p gpu.Provider) {
	l := grant(t, p, "co-1", one(p))
	asked := make(chan struct{}, 1)
	l.Observe(gpu.Observer{
		Load: func() (time.Duration, error) {
			select {
			case asked <- struct{}{}:
			default:
			}
			return time.Second, nil
		},
		Health: func(gpu.Event) {},
	})
	if p.Emulated() {
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Error("an emulated card does not follow its container")
		}
	}
	if err := l.Fail(gpu.Fault{Card: 99, Kind: gpu.FaultOOM}); err == nil {
		t.Error("there is no such card")
	}
	release(t, l)
}
