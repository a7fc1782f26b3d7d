package emulator

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/gpu"
)

// lease is what a container was granted. The Emulator's mu is taken before its
// own.
type lease struct {
	emulator  *Emulator
	container string
	pretended bool    // it is a template's, and takes no card from anybody
	path      string  // of the page
	cards     []*card // does not change

	mu       sync.Mutex
	page     *page.File // nil = released, or not made
	observer gpu.Observer
	load     time.Duration // of the container, at the time
	at       time.Time
	smooth   float64  // its utilisation, percent
	ops      []uint64 // of each card
	shown    []page.Reading
	lost     []bool
}

var errReleased = errors.New("the cards have been given back")

// Observe implements gpu.Lease.
func (l *lease) Observe(o gpu.Observer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observer, l.at = o, time.Now()
}

// Devices implements gpu.Lease.
func (l *lease) Devices() ([]gpu.Device, error) {
	list := make([]gpu.Device, len(l.cards))
	for i := range l.cards {
		var err error
		if list[i], err = l.device(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// device is one of the cards, as it is.
func (l *lease) device(i int) (gpu.Device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.cards[i].model
	d := gpu.Device{
		UUID: l.cards[i].uuid, Card: m.Name, Device: m.Device, Memory: int64(m.MiB) << 20, Container: l.container,
		Heat: heat(0), Power: float64(m.Idle),
	}
	if l.page == nil { // it is about to be free
		return d, nil
	}
	u, err := l.page.Usage(i, l.observer.Alive)
	if err != nil {
		return d, err
	}
	d.Used = int64(min(u.Memory, uint64(d.Memory))) // a container may write anything
	if r := l.shown; r != nil {
		d.Util, d.Heat, d.Power = r[i].Utilisation, r[i].Temperature, float64(r[i].Power)/1000
	}
	d.Lost = l.lost != nil && l.lost[i]
	return d, nil
}

// sample has the page show what the container has done since the last time. An
// emulated card is in use as far as its container computes; of several those
// that have run operations.
func (l *lease) sample(now time.Time) error {
	l.mu.Lock()
	load, at := l.observer.Load, l.at
	l.mu.Unlock()
	if load == nil {
		return nil
	}
	used, err := load() // not under mu: it may take a while
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.page == nil || now.Sub(at) <= 0 {
		return nil
	}
	if err := l.page.Trim(); err != nil {
		return err
	}
	share := 100 * (used - l.load).Seconds() / now.Sub(at).Seconds()
	l.smooth = (l.smooth + min(max(share, 0), 100)) / 2
	l.load, l.at = used, now

	ops := make([]uint64, len(l.cards))
	busy := false
	for i := range l.cards {
		u, err := l.page.Usage(i, nil)
		if err != nil {
			return err
		}
		ops[i] = u.Operations
		busy = busy || l.ops != nil && ops[i] != l.ops[i]
	}
	utils := make([]int, len(l.cards))
	for i := range l.cards {
		if !busy || ops[i] != l.ops[i] {
			utils[i] = int(l.smooth + 0.5)
		}
	}
	l.ops = ops
	return l.show(utils)
}

// show writes how the cards are, by their utilisation in percent. mu is held.
func (l *lease) show(utils []int) error {
	l.shown = make([]page.Reading, len(l.cards))
	for i, c := range l.cards {
		m, share := c.model, float64(utils[i])/100
		r := page.Reading{
			Utilisation: utils[i], MemoryUtilisation: utils[i] / 2, Temperature: heat(share),
			Power: int(1000 * (float64(m.Idle) + share*0.85*float64(m.Power-m.Idle))),
			Clock: m.Clock / 8, MemoryClock: m.MemoryClock,
		}
		if utils[i] > 0 {
			r.Clock = m.Clock
		}
		l.shown[i] = r
		if err := l.page.Set(i, r); err != nil {
			return err
		}
	}
	return nil
}

// heat is the temperature of a card that is in use to some share, °C.
func heat(share float64) int { return 31 + int(40*share) }

// Fail implements gpu.Lease.
func (l *lease) Fail(f gpu.Fault) error {
	l.mu.Lock()
	if l.page == nil {
		l.mu.Unlock()
		return errReleased
	}
	if f.Card < 0 || f.Card >= len(l.cards) {
		l.mu.Unlock()
		return fmt.Errorf("the container has %d cards, and no card %d", len(l.cards), f.Card)
	}
	xid, err := l.fail(f)
	health := l.observer.Health
	l.mu.Unlock()
	if err == nil && xid > 0 && health != nil {
		health(gpu.LookupXid(xid).Event(l.cards[f.Card].uuid))
	}
	return err
}

// fail writes a fault into the page, and says which Xid error it is. mu is held.
func (l *lease) fail(f gpu.Fault) (xid int, err error) {
	fault := page.NoFault
	switch f.Kind {
	case gpu.FaultOOM:
		return 0, l.page.Fail(f.Card, page.OutOfMemory)
	case gpu.FaultLost:
		xid = 79
	case gpu.FaultXid:
		xid = f.Xid
	default:
		return 0, fmt.Errorf("%q: %w", f.Kind, gpu.ErrUnsupported)
	}
	switch xid {
	case 79:
		fault = page.Lost
	case 48, 64, 94, 95:
		fault = page.ECC
	case 31:
		fault = page.IllegalAddress
	case 13:
		fault = page.Assert
	case 43, 74, 119, 120:
		fault = page.LaunchFailure
	}
	if fault == page.Lost {
		if l.lost == nil {
			l.lost = make([]bool, len(l.cards))
		}
		l.lost[f.Card] = true
	}
	if fault != page.NoFault {
		if err := l.page.Fail(f.Card, fault); err != nil {
			return 0, err
		}
	}
	return xid, l.page.Xid(f.Card, xid)
}

// Release implements gpu.Lease. A card that was lost is back with it: somebody
// has put another one in its place.
func (l *lease) Release() error {
	e := l.emulator
	e.mu.Lock()
	if _, held := e.leases[l]; !held {
		e.mu.Unlock()
		return nil
	}
	delete(e.leases, l)
	for _, c := range l.cards {
		c.holder = nil
	}
	e.cards = slices.DeleteFunc(e.cards, func(c *card) bool { return c.extra && slices.Contains(l.cards, c) })
	e.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	l.observer = gpu.Observer{}
	if l.page == nil {
		return nil
	}
	err := errors.Join(l.page.Close(), os.Remove(l.path))
	l.page = nil
	if err != nil {
		return fmt.Errorf("removing the page of %s: %w", l.container, err)
	}
	return nil
}

// uuids are those of the cards, with commas between.
func (l *lease) uuids() string {
	list := make([]string, len(l.cards))
	for i, c := range l.cards {
		list[i] = c.uuid
	}
	return strings.Join(list, ",")
}
