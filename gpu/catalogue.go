// Package gpu knows graphics cards: as data (names, memory, speed, price), what
// users ask for in words, and, by the Provider interface, the cards that a host
// has. It does not know who asks, and grants nothing itself.
package gpu

import (
	"encoding/json"
	"slices"
	"strings"
)

// Card is one model of the catalogue.
type Card struct {
	Name     string   `json:"name"`              // as requests spell it: "A100-80GB"
	Device   string   `json:"device"`            // what the card calls itself: "NVIDIA A100-SXM4-80GB"
	Aliases  []string `json:"aliases,omitempty"` // other spellings
	Memory   int      `json:"memory_gb"`         // GB, as it is sold
	MiB      int      `json:"memory_mib"`        // MiB, as nvidia-smi prints it
	CUDAMiB  int      `json:"cuda_memory_mib"`   // MiB, as CUDA (and so PyTorch) has it
	Major    int      `json:"major"`             // compute capability
	Minor    int      `json:"minor"`             //
	MaxCount int      `json:"max_count"`         // how many one container may ask for
	// Price is US dollars per second for one card, as PriceSource lists it;
	// 0 = it lists none.
	Price float64 `json:"price"`
	Rates Rates   `json:"rates"`

	Architecture Architecture `json:"architecture"`
	SMs          int          `json:"sms"`            // streaming multiprocessors
	Clock        int          `json:"clock_mhz"`      // the highest, of the multiprocessors
	MemoryClock  int          `json:"memory_clock"`   // MHz, the highest
	BusWidth     int          `json:"bus_width_bits"` // of the memory's interface
	Power        int          `json:"power_w"`        // limit
	Idle         int          `json:"idle_power_w"`   // when nothing runs
	Next         []string     `json:"next,omitempty"` // names of the models that follow it in its line
	PCI          uint32       `json:"pci_device_id"`  // device id · 65536 + vendor
}

// Rates are a card's peak rates, dense (without structured sparsity), as data
// sheets have them; 0 = it cannot.
type Rates struct {
	FP32      float64 `json:"fp32"`         // TFLOP/s, without tensor cores
	TF32      float64 `json:"tf32"`         // TFLOP/s
	FP16      float64 `json:"fp16"`         // TFLOP/s, with tensor cores
	BF16      float64 `json:"bf16"`         // TFLOP/s
	FP8       float64 `json:"fp8"`          // TFLOP/s
	INT8      float64 `json:"int8"`         // TOP/s
	Bandwidth float64 `json:"bandwidth_gb"` // GB/s of memory
}

// Architecture is a generation of cards, as nvmlDeviceArchitecture_t numbers it.
type Architecture int

// The architectures of the catalogue.
const (
	Turing    Architecture = 6
	Ampere    Architecture = 7
	Ada       Architecture = 8
	Hopper    Architecture = 9
	Blackwell Architecture = 10
)

// String is NVIDIA's name for it.
func (a Architecture) String() string {
	switch a {
	case Turing:
		return "Turing"
	case Ampere:
		return "Ampere"
	case Ada:
		return "Ada Lovelace"
	case Hopper:
		return "Hopper"
	case Blackwell:
		return "Blackwell"
	}
	return "unknown"
}

// SheetDate is when what the catalogue says of memory and speed was last
// compared with NVIDIA's data sheets and with what programs print on the cards.
// What programs print differs by some MiB between drivers.
const SheetDate = "2026-11-29"

// catalogue is ordered by price, the cheapest first. CUDAMiB of the B300 is
// reckoned from the B200's.
var catalogue = []Card{
	{
		Name: "T4", Device: "Tesla T4", Memory: 16, MiB: 15360, CUDAMiB: 14913, Major: 7, Minor: 5, MaxCount: 8, Price: 0.000164,
		Rates:        Rates{FP32: 8.1, FP16: 65, INT8: 130, Bandwidth: 320},
		Architecture: Turing, SMs: 40, Clock: 1590, MemoryClock: 5001, BusWidth: 256, Power: 70, Idle: 9, PCI: 0x1EB810DE,
	}, {
		Name: "L4", Device: "NVIDIA L4", Memory: 24, MiB: 23034, CUDAMiB: 22563, Major: 8, Minor: 9, MaxCount: 8, Price: 0.000222,
		Rates:        Rates{FP32: 30.3, TF32: 60, FP16: 121, BF16: 121, FP8: 242, INT8: 242, Bandwidth: 300},
		Architecture: Ada, SMs: 58, Clock: 2040, MemoryClock: 6251, BusWidth: 192, Power: 72, Idle: 12, PCI: 0x27B810DE,
	}, {
		Name: "A10G", Device: "NVIDIA A10G", Aliases: []string{"A10"}, Memory: 24, MiB: 23028, CUDAMiB: 22588, Major: 8, Minor: 6, MaxCount: 4, Price: 0.000306,
		Rates:        Rates{FP32: 31.2, TF32: 35, FP16: 70, BF16: 70, INT8: 140, Bandwidth: 600},
		Architecture: Ampere, SMs: 80, Clock: 1710, MemoryClock: 6251, BusWidth: 384, Power: 300, Idle: 16, PCI: 0x223710DE,
	}, {
		Name: "L40S", Device: "NVIDIA L40S", Memory: 48, MiB: 46068, CUDAMiB: 45457, Major: 8, Minor: 9, MaxCount: 8, Price: 0.000542,
		Rates:        Rates{FP32: 91.6, TF32: 183, FP16: 362, BF16: 362, FP8: 733, INT8: 733, Bandwidth: 864},
		Architecture: Ada, SMs: 142, Clock: 2520, MemoryClock: 9001, BusWidth: 384, Power: 350, Idle: 33, PCI: 0x26B910DE,
	}, {
		Name: "A100-40GB", Device: "NVIDIA A100-SXM4-40GB", Aliases: []string{"A100"}, Memory: 40, MiB: 40960, CUDAMiB: 40339, Major: 8, Minor: 0, MaxCount: 8, Price: 0.000583,
		Rates:        Rates{FP32: 19.5, TF32: 156, FP16: 312, BF16: 312, INT8: 624, Bandwidth: 1555},
		Architecture: Ampere, SMs: 108, Clock: 1410, MemoryClock: 1215, BusWidth: 5120, Power: 400, Idle: 52, Next: []string{"A100-80GB"}, PCI: 0x20B010DE,
	}, {
		Name: "A100-80GB", Device: "NVIDIA A100-SXM4-80GB", Memory: 80, MiB: 81920, CUDAMiB: 81153, Major: 8, Minor: 0, MaxCount: 8, Price: 0.000694,
		Rates:        Rates{FP32: 19.5, TF32: 156, FP16: 312, BF16: 312, INT8: 624, Bandwidth: 2039},
		Architecture: Ampere, SMs: 108, Clock: 1410, MemoryClock: 1593, BusWidth: 5120, Power: 400, Idle: 62, PCI: 0x20B210DE,
	}, {
		Name: "RTX-PRO-6000", Device: "NVIDIA RTX PRO 6000 Blackwell Server Edition", Memory: 96, MiB: 97887, CUDAMiB: 97249, Major: 12, Minor: 0, MaxCount: 8, Price: 0.000842,
		Rates:        Rates{FP32: 120, TF32: 250, FP16: 500, BF16: 500, FP8: 1000, INT8: 1000, Bandwidth: 1597},
		Architecture: Blackwell, SMs: 188, Clock: 2430, MemoryClock: 12481, BusWidth: 512, Power: 600, Idle: 30, PCI: 0x2BB510DE,
	}, {
		Name: "H100", Device: "NVIDIA H100 80GB HBM3", Memory: 80, MiB: 81559, CUDAMiB: 81090, Major: 9, Minor: 0, MaxCount: 8, Price: 0.001097,
		Rates:        Rates{FP32: 67, TF32: 495, FP16: 989, BF16: 989, FP8: 1979, INT8: 1979, Bandwidth: 3350},
		Architecture: Hopper, SMs: 132, Clock: 1980, MemoryClock: 2619, BusWidth: 5120, Power: 700, Idle: 70, Next: []string{"H200"}, PCI: 0x233010DE,
	}, {
		Name: "H200", Device: "NVIDIA H200", Memory: 141, MiB: 143771, CUDAMiB: 143155, Major: 9, Minor: 0, MaxCount: 8, Price: 0.001261,
		Rates:        Rates{FP32: 67, TF32: 495, FP16: 989, BF16: 989, FP8: 1979, INT8: 1979, Bandwidth: 4800},
		Architecture: Hopper, SMs: 132, Clock: 1980, MemoryClock: 3201, BusWidth: 6144, Power: 700, Idle: 76, PCI: 0x233510DE,
	}, {
		Name: "B200", Device: "NVIDIA B200", Memory: 180, MiB: 183359, CUDAMiB: 182630, Major: 10, Minor: 0, MaxCount: 8, Price: 0.001736,
		Rates:        Rates{FP32: 75, TF32: 1125, FP16: 2250, BF16: 2250, FP8: 4500, INT8: 4500, Bandwidth: 8000},
		Architecture: Blackwell, SMs: 148, Clock: 1965, MemoryClock: 3996, BusWidth: 8192, Power: 1000, Idle: 140, Next: []string{"B300"}, PCI: 0x290110DE,
	}, {
		Name: "B300", Device: "NVIDIA B300 SXM6 AC", Memory: 288, MiB: 275040, CUDAMiB: 274000, Major: 10, Minor: 3, MaxCount: 8,
		Rates:        Rates{FP32: 75, TF32: 1125, FP16: 2250, BF16: 2250, FP8: 4500, INT8: 150, Bandwidth: 8000},
		Architecture: Blackwell, SMs: 148, Clock: 2032, MemoryClock: 3996, BusWidth: 8192, Power: 1100, Idle: 160, PCI: 0x318210DE,
	},
}

// Cards returns the catalogue, the cheapest card first.
func Cards() []Card {
	cards := slices.Clone(catalogue)
	for i := range cards {
		cards[i].Aliases = slices.Clone(cards[i].Aliases)
		cards[i].Next = slices.Clone(cards[i].Next)
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

// ByDevice finds the card that calls itself so, and has that much memory, MiB;
// of the models with the same beginning the one whose memory is nearest.
func ByDevice(device string, mib int) (Card, bool) {
	best, found := Card{}, false
	for _, c := range catalogue {
		if c.Device == device {
			return c, true
		}
		near := strings.Contains(device, strings.TrimSuffix(strings.SplitN(c.Name, "-", 2)[0], "G")) && abs(c.MiB-mib)*10 < c.MiB
		if near && (!found || abs(c.MiB-mib) < abs(best.MiB-mib)) {
			best, found = c, true
		}
	}
	return best, found
}

func abs(n int) int { return max(n, -n) }

// JSON is the catalogue with prices, for programs: an object with the prices of
// CPU and memory, their date and source, and "cards", which is a list of Card.
func (p Prices) JSON() ([]byte, error) {
	cards := Cards()
	for i := range cards {
		cards[i].Price = p.Card(cards[i].Name)
	}
	return json.MarshalIndent(struct {
		PriceDate   string  `json:"price_date"`
		PriceSource string  `json:"price_source"`
		SheetDate   string  `json:"sheet_date"`
		Core        float64 `json:"core_price"`   // US dollars per second and CPU core
		Memory      float64 `json:"memory_price"` // US dollars per second and GiB
		Cards       []Card  `json:"cards"`
	}{p.Date, p.Source, SheetDate, p.Core, p.Memory, cards}, "", " ")
}
