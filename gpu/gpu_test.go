package gpu

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
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
		if c.MiB < c.Memory*900 || c.MiB > c.Memory*1100 || c.MaxCount < 1 || c.Major < 7 {
			t.Errorf("%+v", c)
		}
	}
}

func TestCost(t *testing.T) {
	got := Cost("H100", 2, 4, 8<<30, 10*time.Second)
	want := 10 * (2*0.001097 + 4*CorePrice + 8*MemoryPrice)
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
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
