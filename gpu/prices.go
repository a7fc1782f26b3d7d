package gpu

import (
	"fmt"
	"maps"
	"strings"
)

// PriceSource is where Card.Price, CorePrice and MemoryPrice come from: the
// public price list as several independent copies gave it.
const PriceSource = "Modal's list prices"

// PriceDate is when the prices were last compared with their source.
const PriceDate = "2026-10-31"

// Prices besides the cards'.
const (
	CorePrice   = 0.0000131  // US dollars per second and CPU core
	MemoryPrice = 0.00000222 // US dollars per second and GiB of memory
)

// Prices are what things cost, in US dollars per second.
type Prices struct {
	Date, Source string
	Core, Memory float64            // of a CPU core, of a GiB of memory
	cards        map[string]float64 // by Card.Name, where they differ from the catalogue's
}

// ListPrices are the catalogue's.
func ListPrices() Prices {
	return Prices{Date: PriceDate, Source: PriceSource, Core: CorePrice, Memory: MemoryPrice}
}

// With are the prices with others for some things, by a card's name, "cpu" (one
// core) or "memory" (one GiB).
func (p Prices) With(other map[string]float64) (Prices, error) {
	if len(other) == 0 {
		return p, nil
	}
	p.cards = maps.Clone(p.cards)
	if p.cards == nil {
		p.cards = map[string]float64{}
	}
	for name, price := range other {
		if price < 0 || price > 1 {
			return p, fmt.Errorf("the price of %s is %v; prices are US dollars per second, from 0 to 1", name, price)
		}
		card, ok := Lookup(name)
		switch {
		case ok:
			p.cards[card.Name] = price
		case name == "cpu":
			p.Core = price
		case name == "memory":
			p.Memory = price
		default:
			return p, fmt.Errorf("a price for %q: it can be for cpu, memory, %s", name, strings.Join(names(), ", "))
		}
	}
	p.Source += " and the host's configuration"
	return p, nil
}

// Card is the price of a card per second; 0 = it is unknown.
func (p Prices) Card(name string) float64 {
	card, _ := Lookup(name)
	if price, ok := p.cards[card.Name]; ok {
		return price
	}
	return card.Price
}

// PerSecond is the price of a second with count cards of the given name, cores
// CPU cores and memory bytes of memory.
func (p Prices) PerSecond(card string, count int, cores float64, memory int64) float64 {
	return float64(count)*p.Card(card) + cores*p.Core + float64(memory)/(1<<30)*p.Memory
}
