package page

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var (
	header = Header{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: 12080}
	a100   = Card{
		Name: "NVIDIA A100-SXM4-80GB", UUID: "GPU-01234567-89ab-cdef-0123-456789abcdef", Bus: "00000000:3B:00.0",
		Memory: 81920 << 20, Reserved: 500 << 20, CUDAMemory: 81000 << 20, Major: 8, Minor: 0, Architecture: 7, SMs: 108,
		MaxClock: 1410, MaxMemClock: 1593, BusWidth: 5120, PowerLimit: 400_000,
	}
)

func TestEncodeDecode(t *testing.T) {
	cards := []Card{a100, a100}
	cards[1].UUID = "GPU-11111111-89ab-cdef-0123-456789abcdef"
	b, err := Encode(header, cards)
	if err != nil {
		t.Fatal(err)
	}
	h, got, err := Decode(b)
	if err != nil || h != header || !reflect.DeepEqual(got, cards) {
		t.Errorf("got %+v, %+v, %v", h, got, err)
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"short":      func(b []byte) []byte { return b[:100] },
		"magic":      func(b []byte) []byte { b[0] = 'x'; return b },
		"version":    func(b []byte) []byte { b[offVersion] = 2; return b },
		"no card":    func(b []byte) []byte { b[offCards] = 0; return b },
		"many cards": func(b []byte) []byte { b[offCards] = MaxCards + 1; return b },
	} {
		if _, _, err := Decode(spoil(append([]byte(nil), b...))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	long := a100
	long.Name = strings.Repeat("x", 64)
	if _, err := Encode(header, []Card{long}); err == nil {
		t.Error("a name without an end")
	}
	if _, err := Encode(header, nil); err == nil {
		t.Error("a page without a card")
	}
}

// The documented offsets, which readers in other languages rely on.
func TestLayout(t *testing.T) {
	b, err := Encode(header, []Card{a100, a100})
	if err != nil {
		t.Fatal(err)
	}
	card := b[128+512:]
	for _, c := range []struct {
		what string
		got  int
		want int
	}{
		{"version", get32(b[8:]), 1}, {"cards", get32(b[12:]), 2}, {"CUDA", get32(b[64:]), 12080},
		{"MiB", get32(card[114:]) >> 4, 81920}, {"capability", get32(card[180:]), 0x800}, {"architecture", get32(card[184:]), 7},
		{"SMs", get32(card[216:]), 108}, {"power limit", get32(card[176:]), 400_000}, {"bus", get32(card[508:]), 5120},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	if text(b[16:40]) != header.Driver || text(b[40:64]) != header.NVML || text(card[64:112]) != a100.UUID || text(card[136:160]) != a100.Bus {
		t.Error("a text is elsewhere")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	f, err := Create(path, header, []Card{a100, a100})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Create(path, header, []Card{a100}); err == nil {
		t.Error("made over another one")
	}
	process, err := Open(path) // as one in the container would see it
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()

	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(f.Set(1, Reading{Utilisation: 97, Temperature: 61, Power: 312_000, Clock: 1410, Throttle: 4}))
	check(f.Fail(1, ECC))
	check(f.Xid(1, 94))
	check(f.Xid(1, 63))
	check(process.Occupy(1, 0, 7, 3<<30))
	check(process.Occupy(1, 15, 8, 1<<30))
	fault, err := process.Fault(1)
	if err != nil || fault != ECC {
		t.Errorf("fault %d, %v", fault, err)
	}
	b, err := os.ReadFile(path)
	check(err)
	card := b[128+512:]
	for offset, want := range map[int]int{160: 97, 168: 61, 172: 312_000, 188: 2, 192: 63, 196: 2, 200: 1410, 208: 4, 212: 1} {
		if got := get32(card[offset:]); got != want {
			t.Errorf("at %d: %d, want %d", offset, got, want)
		}
	}
	u, err := f.Usage(1, nil)
	if err != nil || u.Memory != 4<<30 || u.Peak != 4<<30 || len(u.Processes) != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	u, err = f.Usage(1, func(pid int) bool { return pid == 8 })
	if err != nil || u.Memory != 1<<30 || !reflect.DeepEqual(u.Processes, []Process{{PID: 8, Memory: 1 << 30}}) {
		t.Errorf("%+v, %v", u, err)
	}
	if err := f.Fail(2, Lost); err == nil {
		t.Error("there is no third card")
	}
}

// What a container does to its page is no trouble of who reads it on the host.
func TestFileCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	f, err := Create(path, header, []Card{a100, a100})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for card := range 2 {
		if err := f.Occupy(card, 0, 7, 3<<30); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, HeaderSize+CardSize); err != nil {
		t.Fatal(err)
	}
	for card, want := range []uint64{3 << 30, 0} {
		if u, err := f.Usage(card, nil); err != nil || u.Memory != want {
			t.Errorf("card %d: %+v, %v", card, u, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := Encode(header, []Card{a100})
	f.Add(b)
	f.Add([]byte(Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, cards, err := Decode(b)
		if err == nil && (len(cards) == 0 || len(cards) > MaxCards || len(h.Driver) > 24) {
			t.Errorf("%+v, %+v", h, cards)
		}
	})
}
