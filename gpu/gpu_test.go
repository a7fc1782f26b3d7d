package gpu

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"T4", "T4"},
		{"l4", "L4"},
		{"A10", "A10G"},
		{"A10G", "A10G"},
		{"A10G:4", "A10G:4"},
		{"A100", "A100-40GB"},
		{"a100-40gb", "A100-40GB"},
		{"A100-80GB", "A100-80GB"},
		{"A100-80GB:2", "A100-80GB:2"},
		{" H100 : 8 ", "H100:8"},
		{"H100!", "H100!"},
		{"H100!:8", "H100!:8"},
		{"H200", "H200"},
		{"B200", "B200"},
		{"B200+:2", "B200+:2"},
		{"B300", "B300"},
		{"L40S", "L40S"},
		{"RTX-PRO-6000", "RTX-PRO-6000"},
		{"any", "T4 L4 A10G"},
		{"ANY:8", "T4:8 L4:8"},
		{"T4:1", "T4"},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		var words []string
		for _, r := range got {
			words = append(words, r.String())
		}
		if s := strings.Join(words, " "); s != c.want {
			t.Errorf("Parse(%q) = %s, want %s", c.in, s, c.want)
		}
	}
	for _, in := range []string{"", ":", "T5", "T4:", "T4:0", "T4:-1", "T4:x", "T4:9", "A10:5", "any!", "any:9", "H100!!", "T4:1:2", strings.Repeat("A", 1000)} {
		if got, err := Parse(in); !errors.Is(err, ErrRequest) {
			t.Errorf("Parse(%q) = %v, %v; want an error", in, got, err)
		}
	}
}

func TestParseAll(t *testing.T) {
	got, err := ParseAll([]string{"H100", "", "A100:2"})
	want := []Request{{Card: "H100", Count: 1}, {Card: "A100-40GB", Count: 2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ParseAll(nil); got != nil || err != nil {
		t.Errorf("no GPU: %v, %v", got, err)
	}
	if _, err := ParseAll(slices.Repeat([]string{"T4"}, 17)); !errors.Is(err, ErrRequest) {
		t.Errorf("too many alternatives: %v", err)
	}
}

func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	last := 0.0
	for _, c := range Cards() {
		for _, name := range append(c.Aliases, c.Name) {
			if seen[strings.ToLower(name)] {
				t.Errorf("%s is there twice", name)
			}
			seen[strings.ToLower(name)] = true
		}
		if c.Price != 0 && c.Price < last {
			t.Errorf("%s is not in the order of prices", c.Name)
		}
		last = max(last, c.Price)
		if c.MiB < c.Memory*900 || c.MiB > c.Memory*1100 || c.MaxCount < 1 || c.Major < 7 ||
			c.CUDAMiB >= c.MiB || c.CUDAMiB*100 < c.MiB*96 || c.SMs == 0 || c.Rates.FP32 == 0 || c.Rates.FP16 < c.Rates.FP32 || c.Rates.Bandwidth < 300 || c.Power <= c.Idle {
			t.Errorf("%+v", c)
		}
	}
}

func TestPrices(t *testing.T) {
	list := ListPrices()
	got := list.PerSecond("H100", 2, 4, 8<<30)
	want := 2*0.001097 + 4*CorePrice + 8*MemoryPrice
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
	own, err := list.With(map[string]float64{"a10": 0.0002, "cpu": 0})
	if err != nil || own.Card("A10G") != 0.0002 || own.Card("T4") != 0.000164 || own.Core != 0 {
		t.Errorf("%+v, %v", own, err)
	}
	for name, price := range map[string]float64{"T5": 1, "T4": -1, "L4": 7} {
		if _, err := list.With(map[string]float64{name: price}); err == nil {
			t.Errorf("%s for %v is no price", name, price)
		}
	}
	text, err := own.JSON()
	var read struct {
		PriceDate string `json:"price_date"`
		Cards     []Card
	}
	if err != nil || json.Unmarshal(text, &read) != nil || len(read.Cards) != len(Cards()) || read.Cards[2].Price != 0.0002 || read.PriceDate == "" {
		t.Errorf("%s, %v", text, err)
	}
}

func TestChoices(t *testing.T) {
	stock := map[string]int{"A100-80GB": 2, "H200": 8, "T4": 1}
	for _, c := range []struct {
		in     []string
		stock  map[string]int
		want   string
		failed string
	}{
		{[]string{"H100"}, nil, "H100", ""},
		{[]string{"B200+:2"}, nil, "2 × B200", ""},
		{[]string{"H100"}, stock, "H200", ""},
		{[]string{"H100!"}, stock, "", "has none of"},
		{[]string{"A100"}, stock, "A100-80GB", ""},
		{[]string{"A100-40GB:4", "T4"}, stock, "T4", ""},
		{[]string{"any"}, stock, "T4", ""},
		{[]string{"H100", "A100-80GB:2", "T4"}, stock, "H200, 2 × A100-80GB, T4", ""},
		{[]string{"B200+"}, map[string]int{"B300": 1}, "B300", ""},
		{[]string{"T4:2"}, stock, "", "1 × T4, 2 × A100-80GB, 8 × H200"},
		{[]string{"T4"}, map[string]int{}, "", "no GPU at all"},
		{nil, stock, "", ""},
	} {
		requests, err := ParseAll(c.in)
		if err != nil {
			t.Fatal(err)
		}
		list, err := Choices(requests, c.stock)
		var words []string
		for _, choice := range list {
			words = append(words, choice.String())
		}
		if got := strings.Join(words, ", "); got != c.want || (err == nil) != (c.failed == "") || err != nil && !strings.Contains(err.Error(), c.failed) {
			t.Errorf("%v of %v: %q, %v; want %q, %q", c.in, c.stock, got, err, c.want, c.failed)
		}
		for _, choice := range list {
			if c.in[0] == "H100" && choice.Card == "H200" && choice.Price != "H100" {
				t.Errorf("an upgrade is paid as %s", choice.Price)
			}
		}
	}
}

func TestParseStock(t *testing.T) {
	got, err := ParseStock(" A100-80GB:8, t4:4,T4 ")
	if err != nil || !maps.Equal(got, map[string]int{"A100-80GB": 8, "T4": 5}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseStock("unlimited"); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseStock("none"); got == nil || len(got) != 0 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"T5", "T4:0", "T4:x", ",", "any", "H100!", "T4:100000"} {
		if got, err := ParseStock(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestByDevice(t *testing.T) {
	for _, c := range []struct {
		device string
		mib    int
		want   string
	}{
		{"NVIDIA A100-SXM4-80GB", 81920, "A100-80GB"}, {"NVIDIA A100 80GB PCIe", 81920, "A100-80GB"}, {"NVIDIA A100-PCIE-40GB", 40960, "A100-40GB"},
		{"NVIDIA A10", 23028, "A10G"}, {"NVIDIA H100 PCIe", 81559, "H100"}, {"Tesla T4", 15360, "T4"}, {"NVIDIA GeForce RTX 4090", 24564, ""}, {"NVIDIA L40S", 46068, "L40S"},
	} {
		if card, ok := ByDevice(c.device, c.mib); card.Name != c.want || ok != (c.want != "") {
			t.Errorf("%s is a %q", c.device, card.Name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"T4", "A100-80GB:2", "H100!:8", "B200+", "any:3", ":", "T4:99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := Parse(s)
		if err != nil {
			return
		}
		for _, r := range list {
			again, err := Parse(r.String())
			if err != nil || len(again) != 1 || again[0] != r {
				t.Errorf("%q gives %v, which does not read back: %v, %v", s, r, again, err)
			}
		}
	})
}
