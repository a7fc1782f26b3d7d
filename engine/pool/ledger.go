package pool

import (
	"fmt"
	"strings"
	"sync"
)

// Capacity is what a host has for containers, or what some of them have been
// given.
type Capacity struct {
	CPU        float64 // cores
	Memory     int64   // bytes
	Containers int
}

// Ledger keeps account of a host's capacity. It is safe for concurrent use.
type Ledger struct {
	total Capacity

	mu      sync.Mutex
	used    Capacity
	holders map[any]Capacity // by who has been given
	waiting map[any]func()   // by who waits
}

// NewLedger makes a ledger of what a host has.
func NewLedger(total Capacity) *Ledger {
	return &Ledger{total: total, holders: map[any]Capacity{}, waiting: map[any]func(){}}
}

// Total is what the host has.
func (l *Ledger) Total() Capacity { return l.total }

// Used is what has been given.
func (l *Ledger) Used() Capacity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// Clamp is need, but no more than the host has: what asks for more than
// everything gets everything.
func (l *Ledger) Clamp(need Capacity) Capacity {
	return Capacity{
		CPU:        min(need.CPU, l.total.CPU),
		Memory:     min(need.Memory, l.total.Memory),
		Containers: min(need.Containers, l.total.Containers),
	}
}

// Reserve takes need off what is free. If that does not suffice it says what is
// short, and calls wake once when something is given back; of calls for the
// same who only the last counts.
func (l *Ledger) Reserve(who any, need Capacity, wake func()) (short string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if short := l.short(need); short != "" {
		l.waiting[who] = wake
		return short, false
	}
	delete(l.waiting, who)
	l.used = add(l.used, need, 1)
	l.holders[who] = add(l.holders[who], need, 1)
	return "", true
}

// Forget takes back that who waits.
func (l *Ledger) Forget(who any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, who)
}

// Release gives back what who reserved, and wakes those who wait.
func (l *Ledger) Release(who any, need Capacity) {
	l.mu.Lock()
	l.used = add(l.used, need, -1)
	if left := add(l.holders[who], need, -1); left.Containers > 0 {
		l.holders[who] = left
	} else {
		delete(l.holders, who)
	}
	waiting := l.waiting
	l.waiting = map[any]func(){}
	l.mu.Unlock()
	for _, wake := range waiting {
		wake()
	}
}

func add(a, b Capacity, sign int) Capacity {
	return Capacity{CPU: a.CPU + float64(sign)*b.CPU, Memory: a.Memory + int64(sign)*b.Memory, Containers: a.Containers + sign*b.Containers}
}

// Shortage is what is missing of one resource.
type Shortage struct {
	Resource          string  // "containers", "cpu", "memory"
	Need, Used, Total float64 // of which one container needs Need: containers, cores, bytes
	Text              string  // "8 GiB of memory: 23.1 GiB of 24 GiB are set aside"
}

// Holding is what one of the ledger's users has been given.
type Holding struct {
	Who any
	Capacity
}

// Missing says what need lacks now, and who has what.
func (l *Ledger) Missing(need Capacity) ([]Shortage, []Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	holders := make([]Holding, 0, len(l.holders))
	for who, has := range l.holders {
		holders = append(holders, Holding{who, has})
	}
	return l.missing(need), holders
}

// short says what is missing for need, in a user's words; "" = nothing.
func (l *Ledger) short(need Capacity) string {
	var texts []string
	for _, m := range l.missing(need) {
		texts = append(texts, m.Text)
	}
	return strings.Join(texts, ", and ")
}

// missing is what need lacks. mu is held.
func (l *Ledger) missing(need Capacity) (list []Shortage) {
	const rounding = 1e-6 // sums of fractions of a core
	if l.used.Containers+need.Containers > l.total.Containers {
		list = append(list, Shortage{"containers", float64(need.Containers), float64(l.used.Containers), float64(l.total.Containers),
			fmt.Sprintf("a container: %d of %d are running", l.used.Containers, l.total.Containers)})
	}
	if l.used.CPU+need.CPU > l.total.CPU+rounding {
		list = append(list, Shortage{"cpu", need.CPU, l.used.CPU, l.total.CPU,
			fmt.Sprintf("%.3g CPU cores: %.3g of %.3g are set aside", need.CPU, l.used.CPU, l.total.CPU)})
	}
	if l.used.Memory+need.Memory > l.total.Memory {
		list = append(list, Shortage{"memory", float64(need.Memory), float64(l.used.Memory), float64(l.total.Memory),
			fmt.Sprintf("%s of memory: %s of %s are set aside", Bytes(need.Memory), Bytes(l.used.Memory), Bytes(l.total.Memory))})
	}
	return list
}

// Bytes writes a size for people: "1.5 GiB".
func Bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
