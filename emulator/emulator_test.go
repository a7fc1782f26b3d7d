package emulator

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	oci "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/gpu/gputest"
)

func newEmulator(t *testing.T, stock map[string]int) *Emulator {
	t.Helper()
	dir := t.TempDir()
	e, err := New(Config{Dir: filepath.Join(dir, "gpu"), RunDir: filepath.Join(dir, "run"), Stock: stock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "run")); !os.IsNotExist(err) {
			t.Error("pages are left: ", err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	t.Run("Unlimited", func(t *testing.T) { gputest.Run(t, newEmulator(t, nil)) })
	t.Run("Inventory", func(t *testing.T) { gputest.Run(t, newEmulator(t, map[string]int{"A100-80GB": 2, "T4": 1})) })
}

func grant(t *testing.T, e *Emulator, container string, c gpu.Choice) *lease {
	t.Helper()
	l, err := e.Grant(t.Context(), container, c)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*lease)
}

// The page of a container has the cards, and their use follows the container.
func TestPage(t *testing.T) {
	e := newEmulator(t, nil)
	e.cancel() // the test itself looks, and says what time it is
	e.done.Wait()
	l := grant(t, e, "co-1", gpu.Choice{Card: "A100-80GB", Count: 2})
	b, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	h, cards, err := page.Decode(b)
	if err != nil || h.CUDA != 12080 || len(cards) != 2 || cards[0].Name != "NVIDIA A100-SXM4-80GB" || cards[0].UUID == cards[1].UUID ||
		cards[0].Memory != 81920<<20 || cards[0].CUDAMemory != 81153<<20 || cards[0].Major != 8 {
		t.Fatalf("%+v, %+v, %v", h, cards, err)
	}

	process, err := page.Open(l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	if err := process.Occupy(1, 0, 7, 3<<30); err != nil {
		t.Fatal(err)
	}
	var used time.Duration
	l.Observe(gpu.Observer{Load: func() (time.Duration, error) { return used, nil }})
	now := l.at
	for range 12 { // it computes all the time
		now = now.Add(time.Second)
		used += time.Second
		if err := l.sample(now); err != nil {
			t.Fatal(err)
		}
	}
	devices, err := l.Devices()
	if err != nil || devices[0].Util != 100 || devices[0].Heat <= heat(0) || devices[0].Power <= 62 || devices[1].Used != 3<<30 || devices[0].Used != 0 {
		t.Errorf("%+v, %v", devices, err)
	}
	l.observer.Alive = func(pid int) bool { return pid != 7 }
	if devices, err = l.Devices(); err != nil || devices[1].Used != 0 {
		t.Errorf("what a killed process leaves counts: %+v, %v", devices, err)
	}
	if err := os.Truncate(l.path, 1<<20); err != nil { // as a process in the container can
		t.Fatal(err)
	}
	for range 12 { // and then not
		now = now.Add(time.Second)
		if err := l.sample(now); err != nil {
			t.Fatal(err)
		}
	}
	if devices, err = l.Devices(); err != nil || devices[0].Util != 0 {
		t.Errorf("%+v, %v", devices, err)
	}
	if info, err := os.Stat(l.path); err != nil || info.Size() != page.Size {
		t.Errorf("%v, %v", info.Size(), err)
	}
}

// Cards are listed at any time, also while they are being granted.
func TestListedMeanwhile(t *testing.T) {
	e := newEmulator(t, nil)
	granted := make(chan struct{})
	var listing sync.WaitGroup
	listing.Go(func() {
		for {
			select {
			case <-granted:
				return
			default:
			}
			if _, err := e.Devices(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		if err := grant(t, e, "co-1", gpu.Choice{Card: "T4", Count: 2}).Release(); err != nil {
			t.Error(err)
		}
	}
	close(granted)
	listing.Wait()
}

// What the emulator changes in a container is CDI, which the library of CDI
// reads and injects.
func TestCDI(t *testing.T) {
	e := newEmulator(t, nil)
	l := grant(t, e, "co-1", gpu.Choice{Card: "T4", Count: 2})
	spec, err := l.Spec([]string{"PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gx.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dir), cdi.WithAutoRefresh(false))
	if err != nil {
		t.Fatal(err)
	}
	container := &oci.Spec{Process: &oci.Process{Env: []string{"PATH=/bin", "CUDA_VISIBLE_DEVICES=7"}}}
	if unresolved, err := cache.InjectDevices(container, Kind+"=co-1"); err != nil {
		t.Fatal(unresolved, err)
	}
	env := container.Process.Env
	for _, want := range []string{"GX_GPU_PAGE=/__gx/gpu/page", "CUDA_VISIBLE_DEVICES=0,1", "NVIDIA_VISIBLE_DEVICES=" + l.cards[0].uuid + "," + l.cards[1].uuid} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %v", want, env)
		}
	}
	if n := strings.Count(strings.Join(env, "\n"), "CUDA_VISIBLE_DEVICES="); n != 1 {
		t.Errorf("CUDA_VISIBLE_DEVICES is there %d times", n)
	}
	targets := map[string]string{}
	for _, m := range container.Mounts {
		targets[m.Destination] = m.Source
		if _, err := os.Stat(m.Source); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{page.Path, root, "/dev/nvidia1", "/dev/nvidiactl", "/usr/bin/nvidia-smi", "/usr/lib/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1"} {
		if targets[want] == "" {
			t.Errorf("nothing is mounted at %s: %v", want, targets)
		}
	}
}

func TestFaults(t *testing.T) {
	e := newEmulator(t, map[string]int{"T4": 1})
	for _, c := range []struct {
		fault gpu.Fault
		page  page.Fault
		event string
		lost  bool
	}{
		{gpu.Fault{Kind: gpu.FaultOOM}, page.OutOfMemory, "", false},
		{gpu.Fault{Kind: gpu.FaultLost}, page.Lost, "[gpu-health] [CRITICAL] ", true},
		{gpu.Fault{Kind: gpu.FaultXid, Xid: 94}, page.ECC, "XID: Xid 94: contained uncorrectable ECC error", false},
		{gpu.Fault{Kind: gpu.FaultXid, Xid: 63}, page.NoFault, "[gpu-health] [WARN] ", false},
		{gpu.Fault{Kind: gpu.FaultXid, Xid: 31}, page.IllegalAddress, "page fault", false},
	} {
		l := grant(t, e, "co-1", gpu.Choice{Card: "T4", Count: 1})
		var lines []string
		l.Observe(gpu.Observer{Health: func(e gpu.Event) { lines = append(lines, e.Line()) }})
		if err := l.Fail(c.fault); err != nil {
			t.Fatal(err)
		}
		if got, err := l.page.Fault(0); err != nil || got != c.page {
			t.Errorf("%+v: the page says %d, %v", c.fault, got, err)
		}
		if got := strings.Join(lines, "\n"); !strings.Contains(got, c.event) || (got == "") != (c.event == "") {
			t.Errorf("%+v: told %q", c.fault, got)
		}
		if d, err := l.Devices(); err != nil || d[0].Lost != c.lost {
			t.Errorf("%+v: %+v, %v", c.fault, d, err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if err := l.Fail(c.fault); err == nil {
			t.Error("it has no card any more")
		}
	}
}

func TestFiles(t *testing.T) {
	e := newEmulator(t, nil)
	text, err := os.ReadFile(filepath.Join(e.files, "catalogue.json"))
	if err != nil || !strings.Contains(string(text), `"price_date"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// Byte code stays as long as the source is the same.
func TestBytecode(t *testing.T) {
	dir := t.TempDir()
	write := func() {
		t.Helper()
		if _, _, err := writeFiles(dir, gpu.Prices{}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	compiled := filepath.Join(dir, namePython, "gx_cuda", "__pycache__", "page.cpython-311.pyc")
	if err := os.MkdirAll(filepath.Dir(compiled), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(compiled, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	write()
	if _, err := os.Stat(compiled); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, namePython, "gx_cuda", "page.py"), []byte("older = True"), 0o644); err != nil {
		t.Fatal(err)
	}
	write()
	if _, err := os.Stat(compiled); err == nil {
		t.Error("the byte code of other source is still there")
	}
}

// A template's cards are nobody's.
func TestPretend(t *testing.T) {
	e := newEmulator(t, map[string]int{"T4": 1})
	l, err := e.Pretend(t.Context(), "te-1", gpu.Choice{Card: "T4", Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := e.Devices(t.Context()); err != nil || len(list) != 1 || list[0].Container != "" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := grant(t, e, "co-1", gpu.Choice{Card: "T4", Count: 1}).Release(); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}
