package pool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Capacity is what a host has for containers, or what some of them have been
// given.
type Capacity struct {
	CPU        float64 // cores
	Memory     int64   // bytes
	Containers int
	// Cards are GPUs by model, as gpu.Card.Name; of what a host has, nil = as
	// many of each as are asked for.
	Cards map[string]int
}

// String writes it for people.
func (c Capacity) String() string {
	s := fmt.Sprintf("%.3g cores, %s of memory", c.CPU, Bytes(c.Memory))
	for _, model := range slices.Sorted(maps.Keys(c.Cards)) {
		s += fmt.Sprintf(", %d × %s", c.Cards[model], model)
	}
	return s
}

// Owner is who is given capacity: a pool of a function of an app.
type Owner struct{ App, Pool string }

// Ledger keeps account of a host's capacity, and shares it fairly where it is
// short: between apps first, then between the pools of an app. A share is
// dominant-resource: the largest part of anything that the host has. Nobody who
// waits is passed over by somebody who has more. It is safe for concurrent use.
type Ledger struct {
	total Capacity

	mu      sync.Mutex
	used    Capacity
	owners  map[Owner]Capacity
	waiting map[Owner]waiter
}

type waiter struct {
	needs []Capacity // any of them
	wake  func()
}

// NewLedger makes a ledger of what a host has.
func NewLedger(total Capacity) *Ledger {
	return &Ledger{total: total, owners: map[Owner]Capacity{}, waiting: map[Owner]waiter{}}
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
		Cards:      need.Cards,
	}
}

// Reserve takes the first of needs that there is room for off what is free, and
// says which. If there is none, or somebody with a smaller share waits for it, it
// says what is short, and calls wake when something is given back, until Forget
// or a Reserve that succeeds; of calls for the same owner only the last counts.
func (l *Ledger) Reserve(o Owner, wake func(), needs ...Capacity) (which int, short string, ok bool) {
	l.mu.Lock()
	first := waiter{wake: func() {}}
	for i, need := range needs {
		if l.short(need) != "" {
			continue
		}
		if w, found := l.before(o, need); found {
			first, short = w, "its turn: another function waits for the same room, and has less of it"
			continue
		}
		delete(l.waiting, o)
		l.give(o, need, 1)
		l.mu.Unlock()
		return i, "", true
	}
	if short == "" {
		short = l.shortOf(needs)
	}
	l.waiting[o] = waiter{needs, wake}
	l.mu.Unlock()
	first.wake()
	return 0, short, false
}

// give changes what an owner has. mu is held.
func (l *Ledger) give(o Owner, need Capacity, sign int) {
	l.used = add(l.used, need, sign)
	has := add(l.owners[o], need, sign)
	if has.Containers <= 0 {
		delete(l.owners, o)
		return
	}
	l.owners[o] = has
}

// before finds somebody who waits and whose turn it is before o's: there is
// room, and with it their share would be smaller. mu is held.
func (l *Ledger) before(o Owner, need Capacity) (waiter, bool) {
	for other, w := range l.waiting {
		if other == o {
			continue
		}
		for _, theirs := range w.needs {
			if l.short(theirs) == "" && l.contend(theirs, need) && l.poorer(other, theirs, o, need) {
				return w, true
			}
		}
	}
	return waiter{}, false
}

// contend reports whether there is no room for both. mu is held.
func (l *Ledger) contend(a, b Capacity) bool { return l.short(add(a, b, 1)) != "" }

// poorer reports whether a, with more, would have a smaller share than b with
// its own. mu is held.
func (l *Ledger) poorer(a Owner, more Capacity, b Owner, own Capacity) bool {
	const rounding = 1e-9
	if a.App != b.App {
		return l.share(add(l.ofApp(a.App), more, 1)) < l.share(add(l.ofApp(b.App), own, 1))-rounding
	}
	return l.share(add(l.owners[a], more, 1)) < l.share(add(l.owners[b], own, 1))-rounding
}

// Debtor is the pool that should end a container for o, which waits: one of
// those that have most, which without it would have no less than o would with
// its own. False if all have no more than their share.
func (l *Ledger) Debtor(o Owner) (Owner, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, waits := l.waiting[o]
	if !waits || l.room(w.needs) {
		return Owner{}, false
	}
	need := w.needs[0]
	var best Owner
	var app, pool float64
	found := false
	for other, has := range l.owners {
		n := has.Containers
		less := Capacity{CPU: -has.CPU / float64(n), Memory: -has.Memory / int64(n), Containers: -1, Cards: map[string]int{}}
		for model, cards := range has.Cards {
			less.Cards[model] = -(cards + n - 1) / n
		}
		if other == o || !l.helps(has, w.needs) || l.poorer(other, less, o, need) {
			continue
		}
		a, p := l.share(l.ofApp(other.App)), l.share(has)
		if !found || a > app || a == app && p > pool {
			best, app, pool, found = other, a, p, true
		}
	}
	return best, found
}

// Helps reports whether o, which waits, would have use of what other has: it has
// cards of a model that o lacks, or it is no card that o lacks.
func (l *Ledger) Helps(other, o Owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, waits := l.waiting[o]
	return !waits || l.helps(l.owners[other], w.needs)
}

// helps is Helps. mu is held.
func (l *Ledger) helps(has Capacity, needs []Capacity) bool {
	for _, need := range needs {
		useful := true
		for _, s := range l.missing(need) {
			useful = useful && (s.Card == "" || has.Cards[s.Card] > 0)
		}
		if useful {
			return true
		}
	}
	return false
}

// room reports whether there is room for one of needs. mu is held.
func (l *Ledger) room(needs []Capacity) bool {
	return slices.ContainsFunc(needs, func(need Capacity) bool { return l.short(need) == "" })
}

// ofApp is what all pools of an app have. mu is held.
func (l *Ledger) ofApp(app string) (sum Capacity) {
	for o, has := range l.owners {
		if o.App == app {
			sum = add(sum, has, 1)
		}
	}
	return sum
}

// share is the largest part of anything that the host has.
func (l *Ledger) share(c Capacity) float64 {
	most := max(c.CPU/l.total.CPU, float64(c.Memory)/float64(l.total.Memory), float64(c.Containers)/float64(l.total.Containers))
	for model, cards := range c.Cards {
		if total := l.total.Cards[model]; total > 0 {
			most = max(most, float64(cards)/float64(total))
		}
	}
	return most
}

// Forget takes back that o waits. It may have been others' turn but for o.
func (l *Ledger) Forget(o Owner) {
	l.mu.Lock()
	_, waited := l.waiting[o]
	delete(l.waiting, o)
	l.mu.Unlock()
	if waited {
		l.wake()
	}
}

// Release gives back what was reserved, and wakes those who wait.
func (l *Ledger) Release(o Owner, need Capacity) {
	l.mu.Lock()
	l.give(o, need, -1)
	l.mu.Unlock()
	l.wake()
}

// wake has all who wait try again.
func (l *Ledger) wake() {
	l.mu.Lock()
	var wakes []func()
	for _, w := range l.waiting {
		wakes = append(wakes, w.wake)
	}
	l.mu.Unlock()
	for _, wake := range wakes {
		wake()
	}
}

func add(a, b Capacity, sign int) Capacity {
	sum := Capacity{CPU: a.CPU + float64(sign)*b.CPU, Memory: a.Memory + int64(sign)*b.Memory, Containers: a.Containers + sign*b.Containers, Cards: a.Cards}
	if len(b.Cards) > 0 {
		sum.Cards = maps.Clone(a.Cards)
		if sum.Cards == nil {
			sum.Cards = map[string]int{}
		}
		for model, n := range b.Cards {
			if sum.Cards[model] += sign * n; sum.Cards[model] == 0 {
				delete(sum.Cards, model)
			}
		}
	}
	return sum
}

// Shortage is what is missing of one resource.
type Shortage struct {
	Resource          string  // "containers", "cpu", "memory", "gpu"
	Card              string  // the model, of "gpu"
	Need, Used, Total float64 // of which one container needs Need: containers, cores, bytes, cards
	Text              string  // "8 GiB of memory: 23.1 GiB of 24 GiB are set aside"
}

// Holding is what one of the ledger's users has been given.
type Holding struct {
	Who Owner
	Capacity
}

// Missing says what the first of needs lacks now that lacks least, and who has
// what.
func (l *Ledger) Missing(needs ...Capacity) ([]Shortage, []Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	holders := make([]Holding, 0, len(l.owners))
	for who, has := range l.owners {
		holders = append(holders, Holding{who, has})
	}
	var least []Shortage
	for i, need := range needs {
		if m := l.missing(need); i == 0 || len(m) < len(least) {
			least = m
		}
	}
	return least, holders
}

// shortOf says what is missing for each of needs, in a user's words. mu is held.
func (l *Ledger) shortOf(needs []Capacity) string {
	var texts []string
	for _, need := range needs {
		if text := l.short(need); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; or ")
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
		list = append(list, Shortage{"containers", "", float64(need.Containers), float64(l.used.Containers), float64(l.total.Containers),
			fmt.Sprintf("a container: %d of %d are running", l.used.Containers, l.total.Containers)})
	}
	if l.used.CPU+need.CPU > l.total.CPU+rounding {
		list = append(list, Shortage{"cpu", "", need.CPU, l.used.CPU, l.total.CPU,
			fmt.Sprintf("%.3g CPU cores: %.3g of %.3g are set aside", need.CPU, l.used.CPU, l.total.CPU)})
	}
	if l.used.Memory+need.Memory > l.total.Memory {
		list = append(list, Shortage{"memory", "", float64(need.Memory), float64(l.used.Memory), float64(l.total.Memory),
			fmt.Sprintf("%s of memory: %s of %s are set aside", Bytes(need.Memory), Bytes(l.used.Memory), Bytes(l.total.Memory))})
	}
	if l.total.Cards == nil {
		return list
	}
	for _, model := range slices.Sorted(maps.Keys(need.Cards)) {
		n, used, total := need.Cards[model], l.used.Cards[model], l.total.Cards[model]
		if used+n > total {
			what := article(model)
			if n > 1 {
				what = fmt.Sprintf("%d × %s", n, model)
			}
			list = append(list, Shortage{"gpu", model, float64(n), float64(used), float64(total), fmt.Sprintf("%s: %d of %d in use", what, used, total)})
		}
	}
	return list
}

// article is a card's name with its article.
func article(model string) string {
	if strings.ContainsAny(model[:1], "AEFHILMNORSX") { // as the letter is spoken
		return "an " + model
	}
	return "a " + model
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
