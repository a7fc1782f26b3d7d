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
	waiting map[any]func() // by who waits
}

// NewLedger makes a ledger of what a host has.
func NewLedger(total Capacity) *Ledger {
	return &Ledger{total: total, waiting: map[any]func(){}}
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
	return "", true
}

// Forget takes back that who waits.
func (l *Ledger) Forget(who any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, who)
}

// Release gives back what was reserved, and wakes those who wait.
func (l *Ledger) Release(need Capacity) {
	l.mu.Lock()
	l.used = add(l.used, need, -1)
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

// short says what is missing for need, in a user's words; "" = nothing.
func (l *Ledger) short(need Capacity) string {
	const rounding = 1e-6 // sums of fractions of a core
	var missing []string
	if l.used.Containers+need.Containers > l.total.Containers {
		missing = append(missing, fmt.Sprintf("a container: %d of %d are running", l.used.Containers, l.total.Containers))
	}
	if l.used.CPU+need.CPU > l.total.CPU+rounding {
		missing = append(missing, fmt.Sprintf("%.3g CPU cores: %.3g of %.3g are set aside", need.CPU, l.used.CPU, l.total.CPU))
	}
	if l.used.Memory+need.Memory > l.total.Memory {
		missing = append(missing, fmt.Sprintf("%s of memory: %s of %s are set aside", Bytes(need.Memory), Bytes(l.used.Memory), Bytes(l.total.Memory)))
	}
	return strings.Join(missing, ", and ")
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
