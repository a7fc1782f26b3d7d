// Package emulator pretends to have GPUs. It is a gpu.Provider whose cards are a
// page of memory (package page), by which what runs in a container learns which
// cards it has, and tells how much of them it uses; and files that are put into
// the container and answer for the cards there. It computes nothing, and knows
// nothing of calls, functions or the network.
package emulator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/gpu"
)

// What every card says of its driver.
const (
	driverVersion = "570.124.06"
	nvmlVersion   = "12.570.124.06"
	cudaVersion   = 12080
)

// sampleEvery is how often cards are made to show what their containers do.
const sampleEvery = 500 * time.Millisecond

// Config is what an Emulator is made of.
type Config struct {
	// Dir is a folder of its own for what containers are shown; RunDir is one for
	// their pages, as long as it runs. Others on the machine may not enter either.
	Dir, RunDir string
	// Stock is the inventory, by Card.Name; nil = as many as are asked for.
	Stock  map[string]int
	Prices gpu.Prices // for programs in containers to see
	Log    *slog.Logger
}

// Emulator is a gpu.Provider.
type Emulator struct {
	cfg    Config
	files  string          // what containers are shown
	fixed  map[string]bool // names of what lies there
	cancel context.CancelFunc
	done   sync.WaitGroup // the one who samples

	mu     sync.Mutex
	cards  []*card // the inventory, or what is granted
	leases map[*lease]struct{}
	next   int // number of the next card
}

// card is one card. Its fields belong to the Emulator's mu.
type card struct {
	model  gpu.Card
	uuid   string
	bus    string
	holder *lease
	extra  bool // it is made for one lease
}

var _ gpu.Provider = (*Emulator)(nil)

// New makes an Emulator. Close it.
func New(cfg Config) (*Emulator, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Emulator{cfg: cfg, leases: map[*lease]struct{}{}}
	if err := os.RemoveAll(cfg.RunDir); err != nil { // pages of a host that is gone
		return nil, fmt.Errorf("removing an earlier host's pages: %w", err)
	}
	if err := os.MkdirAll(cfg.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for pages: %w", err)
	}
	var err error
	if e.files, e.fixed, err = writeFiles(cfg.Dir, cfg.Prices); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Stock)) {
		model, ok := gpu.Lookup(name)
		if !ok {
			return nil, fmt.Errorf("%q is no card", name)
		}
		for i := range cfg.Stock[name] {
			// The same card is the same after a restart.
			seed := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", cfg.Dir, name, i))
			e.cards = append(e.cards, e.newCard(model, seed[:16]))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.done.Go(func() { e.sample(ctx) })
	return e, nil
}

// Name implements gpu.Provider.
func (e *Emulator) Name() string { return "emulator" }

// Emulated implements gpu.Provider.
func (e *Emulator) Emulated() bool { return true }

// Stock implements gpu.Provider.
func (e *Emulator) Stock() map[string]int { return maps.Clone(e.cfg.Stock) }

// Close implements gpu.Provider.
func (e *Emulator) Close() error {
	e.cancel()
	e.done.Wait()
	e.mu.Lock()
	left := slices.Collect(maps.Keys(e.leases))
	e.mu.Unlock()
	var errs []error
	for _, l := range left {
		errs = append(errs, l.Release())
	}
	return errors.Join(append(errs, os.RemoveAll(e.cfg.RunDir))...)
}

// Grant implements gpu.Provider.
func (e *Emulator) Grant(ctx context.Context, container string, c gpu.Choice) (gpu.Lease, error) {
	return e.grant(ctx, container, c, false)
}

// Pretend is Grant for a template: a container of which others are forked that
// have cards of the same kind. It takes none from anybody.
func (e *Emulator) Pretend(ctx context.Context, container string, c gpu.Choice) (gpu.Lease, error) {
	return e.grant(ctx, container, c, true)
}

func (e *Emulator) grant(ctx context.Context, container string, c gpu.Choice, pretend bool) (_ gpu.Lease, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	model, ok := gpu.Lookup(c.Card)
	if !ok || c.Count < 1 || c.Count > page.MaxCards {
		return nil, fmt.Errorf("%s: %w", c, gpu.ErrNone)
	}
	l := &lease{emulator: e, container: container, pretended: pretend, path: filepath.Join(e.cfg.RunDir, container)}
	e.mu.Lock()
	for n := range e.leases {
		if n.container == container {
			e.mu.Unlock()
			return nil, fmt.Errorf("container %s has its cards already", container)
		}
	}
	if e.cfg.Stock != nil && !pretend {
		for _, card := range e.cards {
			if card.holder == nil && card.model.Name == model.Name && len(l.cards) < c.Count {
				l.cards = append(l.cards, card)
			}
		}
		if len(l.cards) < c.Count {
			e.mu.Unlock()
			return nil, fmt.Errorf("%s for %s: %w: %d are", c, container, gpu.ErrNone, len(l.cards))
		}
	} else {
		for range c.Count {
			var seed [16]byte
			_, _ = rand.Read(seed[:]) // never fails
			card := e.newCard(model, seed[:])
			card.extra = true
			l.cards = append(l.cards, card)
			e.cards = append(e.cards, card)
		}
	}
	for _, card := range l.cards {
		card.holder = l
	}
	e.leases[l] = struct{}{}
	e.mu.Unlock()

	cards := make([]page.Card, len(l.cards))
	for i, card := range l.cards {
		cards[i] = card.describe()
	}
	l.mu.Lock() // the cards are listed already
	l.page, err = page.Create(l.path, page.Header{Driver: driverVersion, NVML: nvmlVersion, CUDA: cudaVersion}, cards)
	if err == nil {
		err = l.show(make([]int, len(cards)))
	}
	l.mu.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a card for %s: %w", container, err), l.Release())
	}
	return l, nil
}

// newCard makes a card of a model. mu is held, or nobody else knows e.
func (e *Emulator) newCard(model gpu.Card, seed []byte) *card {
	h := hex.EncodeToString(seed)
	e.next++
	return &card{
		model: model, uuid: "GPU-" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32],
		bus: fmt.Sprintf("%08X:%02X:00.0", e.next>>8&0xffff, e.next&0xff),
	}
}

// describe is the card as a page has it.
func (c *card) describe() page.Card {
	m := c.model
	total, cuda := uint64(m.MiB)<<20, uint64(m.CUDAMiB)<<20
	return page.Card{
		Name: m.Device, UUID: c.uuid, Bus: c.bus, Memory: total, Reserved: total - cuda, CUDAMemory: cuda,
		Major: m.Major, Minor: m.Minor, Architecture: int(m.Architecture), SMs: m.SMs,
		MaxClock: m.Clock, MaxMemClock: m.MemoryClock, BusWidth: m.BusWidth, PowerLimit: m.Power * 1000,
	}
}

// Devices implements gpu.Provider.
func (e *Emulator) Devices(context.Context) ([]gpu.Device, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []gpu.Device
	for _, c := range e.cards {
		if c.holder != nil && c.holder.pretended {
			continue
		}
		if c.holder == nil {
			list = append(list, gpu.Device{
				UUID: c.uuid, Card: c.model.Name, Device: c.model.Device, Memory: int64(c.model.MiB) << 20,
				Heat: heat(0), Power: float64(c.model.Idle),
			})
			continue
		}
		i := slices.Index(c.holder.cards, c)
		d, err := c.holder.device(i)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// sample has the cards show what their containers do, until ctx ends.
func (e *Emulator) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.mu.Lock()
		leases := slices.Collect(maps.Keys(e.leases))
		e.mu.Unlock()
		for _, l := range leases {
			if err := l.sample(time.Now()); err != nil {
				e.cfg.Log.Debug("a card is not looked at", "container", l.container, "error", err)
			}
		}
	}
}
