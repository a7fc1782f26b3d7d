// Package gpu knows graphics cards as data (names, memory, price) and reads
// what users ask for. It does not know who asks, and grants nothing.
package gpu

import (
	"slices"
	"strings"
	"time"
)

// Card is one model of the catalogue.
type Card struct {
	Name     string   // as requests spell it: "A100-80GB"
	Device   string   // what the card calls itself: "NVIDIA A100-SXM4-80GB"
	Aliases  []string // other spellings
	Memory   int      // GB, as it is sold
	MiB      int      // MiB, as nvidia-smi prints it
	Major    int      // compute capability
	Minor    int      //
	MaxCount int      // how many one container may ask for
	// Price is US dollars per second for one card, as PriceSource lists it;
	// 0 = it lists none.
	Price float64
}

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

// catalogue is ordered by price, the cheapest first.
var catalogue = []Card{
	{Name: "T4", Device: "Tesla T4", Memory: 16, MiB: 15360, Major: 7, Minor: 5, MaxCount: 8, Price: 0.000164},
	{Name: "L4", Device: "NVIDIA L4", Memory: 24, MiB: 23034, Major: 8, Minor: 9, MaxCount: 8, Price: 0.000222},
	{Name: "A10G", Device: "NVIDIA A10G", Aliases: []string{"A10"}, Memory: 24, MiB: 23028, Major: 8, Minor: 6, MaxCount: 4, Price: 0.000306},
	{Name: "L40S", Device: "NVIDIA L40S", Memory: 48, MiB: 46068, Major: 8, Minor: 9, MaxCount: 8, Price: 0.000542},
	{Name: "A100-40GB", Device: "NVIDIA A100-SXM4-40GB", Aliases: []string{"A100"}, Memory: 40, MiB: 40960, Major: 8, Minor: 0, MaxCount: 8, Price: 0.000583},
	{Name: "A100-80GB", Device: "NVIDIA A100-SXM4-80GB", Memory: 80, MiB: 81920, Major: 8, Minor: 0, MaxCount: 8, Price: 0.000694},
	{Name: "RTX-PRO-6000", Device: "NVIDIA RTX PRO 6000 Blackwell Server Edition", Memory: 96, MiB: 97887, Major: 12, Minor: 0, MaxCount: 8, Price: 0.000842},
	{Name: "H100", Device: "NVIDIA H100 80GB HBM3", Memory: 80, MiB: 81559, Major: 9, Minor: 0, MaxCount: 8, Price: 0.001097},
	{Name: "H200", Device: "NVIDIA H200", Memory: 141, MiB: 143771, Major: 9, Minor: 0, MaxCount: 8, Price: 0.001261},
	{Name: "B200", Device: "NVIDIA B200", Memory: 180, MiB: 183359, Major: 10, Minor: 0, MaxCount: 8, Price: 0.001736},
	{Name: "B300", Device: "NVIDIA B300", Memory: 288, MiB: 275040, Major: 10, Minor: 3, MaxCount: 8},
}

// Cards returns the catalogue, the cheapest card first.
func Cards() []Card {
	cards := slices.Clone(catalogue)
	for i := range cards {
		cards[i].Aliases = slices.Clone(cards[i].Aliases)
	}
	return cards
}

// Lookup finds a card by its name or an alias, in any case.
func Lookup(name string) (Card, bool) {
	for _, c := range catalogue {
		if strings.EqualFold(c.Name, name) || slices.ContainsFunc(c.Aliases, func(a string) bool { return strings.EqualFold(a, name) }) {
			return c, true
		}
	}
	return Card{}, false
}

// Cost is the price in US dollars of running count cards of the given name,
// cores CPU cores and memory bytes of memory for a time. A name that is not in
// the catalogue costs nothing.
func Cost(card string, count int, cores float64, memory int64, d time.Duration) float64 {
	perSecond := cores*CorePrice + float64(memory)/(1<<30)*MemoryPrice
	if c, ok := Lookup(card); ok {
		perSecond += float64(count) * c.Price
	}
	return perSecond * d.Seconds()
}
