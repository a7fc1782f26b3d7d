// Package nvml is a gpu.Provider of a machine's NVIDIA cards: what they are and
// how they are by NVIDIA's management library, which a helper program asks
// (package helper), and how a container gets them by the machine's CDI
// specification, which NVIDIA's container toolkit writes. It grants whole cards.
package nvml

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/gpu/nvml/protocol"
)

// Kind is the kind of CDI device that NVIDIA's cards are.
const Kind = "nvidia.com/gpu"

// Config is what a Provider is made of.
type Config struct {
	Helper   string   // path of the helper program; see Unpack
	Env      []string // for the helper, beside this process's own
	SpecDirs []string // of CDI; nil = /etc/cdi and /var/run/cdi
	Log      *slog.Logger
}

// Provider is a gpu.Provider.
type Provider struct {
	cfg   Config
	cache *cdi.Cache
	cards []protocol.Device // as they were at the start, by their order
	names []string          // of their models, Card.Name or what they call themselves

	asking sync.Mutex // one question at a time, and one start of a helper
	helper *process

	mu    sync.Mutex
	held  map[string]*lease // by UUID
	lost  map[string]bool
	ended bool
}

var _ gpu.Provider = (*Provider)(nil)

// Present reports whether this machine seems to have NVIDIA's driver.
func Present() bool {
	_, err := os.Stat("/dev/nvidiactl")
	return err == nil
}

// ErrNone means that there is no card.
var ErrNone = errors.New("the machine has no NVIDIA GPU")

// New starts the helper and finds the cards. It is an error if there are none.
// Close it.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.SpecDirs == nil {
		cfg.SpecDirs = cdi.DefaultSpecDirs
	}
	p := &Provider{cfg: cfg, held: map[string]*lease{}, lost: map[string]bool{}}
	var err error
	if p.cache, err = cdi.NewCache(cdi.WithSpecDirs(cfg.SpecDirs...), cdi.WithAutoRefresh(false)); err != nil {
		return nil, fmt.Errorf("reading the machine's CDI specifications: %w", err)
	}
	answer, err := p.ask(ctx, protocol.List)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finding the machine's GPUs: %w", err), p.Close())
	}
	if len(answer.Devices) == 0 {
		return nil, errors.Join(ErrNone, p.Close())
	}
	p.cards = answer.Devices
	for _, d := range p.cards {
		name := d.Name
		if card, ok := gpu.ByDevice(d.Name, int(d.Memory>>20)); ok {
			name = card.Name
		}
		p.names = append(p.names, name)
	}
	return p, nil
}

// ask asks the helper, and starts one if there is none any more.
func (p *Provider) ask(ctx context.Context, op string) (protocol.Message, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		return protocol.Message{}, errors.New("the GPU provider is closed")
	}
	if p.helper == nil || !p.helper.alive() {
		helper, err := start(p.cfg.Helper, p.cfg.Env, p.event)
		if err != nil {
			return protocol.Message{}, err
		}
		p.helper = helper
		p.cfg.Log.Info("GPU helper started", "driver", helper.driver)
	}
	return p.helper.ask(ctx, op)
}

// event is told of what happens to cards.
func (p *Provider) event(e protocol.Event) {
	told := gpu.LookupXid(e.Xid).Event(e.UUID)
	p.mu.Lock()
	l := p.held[e.UUID]
	if told.Critical {
		p.lost[e.UUID] = true
	}
	p.mu.Unlock()
	p.cfg.Log.Warn("a GPU reports an error", "gpu", e.UUID, "xid", e.Xid, "text", told.Text)
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.health != nil {
		l.health(told)
	}
}

// Name implements gpu.Provider.
func (p *Provider) Name() string { return "nvml" }

// Emulated implements gpu.Provider.
func (p *Provider) Emulated() bool { return false }

// Stock implements gpu.Provider.
func (p *Provider) Stock() map[string]int {
	stock := map[string]int{}
	for _, name := range p.names {
		stock[name]++
	}
	return stock
}

// Grant implements gpu.Provider.
func (p *Provider) Grant(ctx context.Context, container string, c gpu.Choice) (gpu.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &lease{provider: p, container: container}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.held {
		if other.container == container {
			return nil, fmt.Errorf("container %s has its cards already", container)
		}
	}
	lost := 0
	for i, d := range p.cards {
		if p.names[i] != c.Card || p.held[d.UUID] != nil || len(l.cards) >= c.Count {
			continue
		}
		if p.lost[d.UUID] {
			lost++
			continue
		}
		l.cards = append(l.cards, i)
	}
	if c.Count < 1 || len(l.cards) < c.Count {
		why := ""
		if lost > 0 {
			why = fmt.Sprintf(", and %d have failed", lost)
		}
		return nil, fmt.Errorf("%s for %s: %w: %d are%s", c, container, gpu.ErrNone, len(l.cards), why)
	}
	for _, i := range l.cards {
		p.held[p.cards[i].UUID] = l
	}
	return l, nil
}

// Devices implements gpu.Provider.
func (p *Provider) Devices(ctx context.Context) ([]gpu.Device, error) {
	answer, err := p.ask(ctx, protocol.Sample)
	if err != nil {
		return nil, fmt.Errorf("looking at the machine's GPUs: %w", err)
	}
	now := map[string]protocol.Device{}
	for _, d := range answer.Devices {
		now[d.UUID] = d
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]gpu.Device, len(p.cards))
	for i, d := range p.cards {
		n, there := now[d.UUID]
		if n.Lost || !there {
			p.lost[d.UUID] = true
		}
		list[i] = gpu.Device{
			UUID: d.UUID, Card: p.names[i], Device: d.Name, Memory: int64(d.Memory), Used: int64(min(n.Used, d.Memory)),
			Util: int(n.Util), Heat: int(n.Heat), Power: n.Power, Lost: p.lost[d.UUID],
		}
		if l := p.held[d.UUID]; l != nil {
			list[i].Container = l.container
		}
	}
	return list, nil
}

// Close implements gpu.Provider.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.helper != nil {
		p.helper.close()
	}
	return nil
}

// lease is what a container was granted.
type lease struct {
	provider  *Provider
	container string
	cards     []int // of the provider's

	mu     sync.Mutex
	health func(gpu.Event)
}

// Edits implements gpu.Lease.
func (l *lease) Edits([]string) (*specs.ContainerEdits, error) {
	p := l.provider
	if err := p.cache.Refresh(); err != nil {
		p.cfg.Log.Warn("a CDI specification of the machine is not read", "error", err)
	}
	sum := &cdi.ContainerEdits{ContainerEdits: &specs.ContainerEdits{}}
	seen := map[string]bool{}
	for _, i := range l.cards {
		device, err := p.device(p.cards[i])
		if err != nil {
			return nil, err
		}
		spec := device.GetSpec()
		if path := spec.GetPath(); !seen[path] { // what all its devices need
			seen[path] = true
			sum.Append(&cdi.ContainerEdits{ContainerEdits: &spec.ContainerEdits})
		}
		sum.Append(&cdi.ContainerEdits{ContainerEdits: &device.ContainerEdits})
	}
	return sum.ContainerEdits, nil
}

// device finds a card in the machine's CDI specifications, by its UUID, or else
// by its index.
func (p *Provider) device(d protocol.Device) (*cdi.Device, error) {
	for _, name := range []string{d.UUID, fmt.Sprint(d.Index)} {
		if device := p.cache.GetDevice(Kind + "=" + name); device != nil {
			return device, nil
		}
	}
	return nil, fmt.Errorf("the machine's CDI specifications (in %v) do not have %s (%s, number %d): install NVIDIA's container toolkit, and run nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
		p.cfg.SpecDirs, d.UUID, d.Name, d.Index)
}

// Observe implements gpu.Lease.
func (l *lease) Observe(o gpu.Observer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = o.Health
}

// Devices implements gpu.Lease.
func (l *lease) Devices() ([]gpu.Device, error) {
	all, err := l.provider.Devices(context.Background())
	if err != nil {
		return nil, err
	}
	list := make([]gpu.Device, len(l.cards))
	for i, card := range l.cards {
		list[i] = all[card]
		list[i].Container = l.container
	}
	return list, nil
}

// Fail implements gpu.Lease.
func (l *lease) Fail(f gpu.Fault) error {
	return fmt.Errorf("%s of a real GPU: %w", f.Kind, gpu.ErrUnsupported)
}

// Release implements gpu.Lease.
func (l *lease) Release() error {
	p := l.provider
	p.mu.Lock()
	maps.DeleteFunc(p.held, func(_ string, other *lease) bool { return other == l })
	p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = nil
	return nil
}

// Models are the names of the provider's cards, for who logs them.
func (p *Provider) Models() []string { return slices.Clone(p.names) }
