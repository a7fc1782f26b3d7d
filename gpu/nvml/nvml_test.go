//go:build linux

package nvml

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	oci "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gx-dev/gx/emulator/driver"
	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/gpu/gputest"
)

// helper builds the helper program, once.
var helper = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gx-nvml-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gx-nvml")
	out, err := exec.Command("go", "build", "-o", path, "./helper").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %.300s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := helper(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func program(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("the helper needs a C compiler: ", err)
	}
	path, err := helper()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// pretended is a machine whose library is the emulator's.
func pretended(t *testing.T) (Config, *page.File) {
	t.Helper()
	d, ok := driver.For(runtime.GOARCH)
	if !ok {
		t.Skip("no library for this architecture")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libnvidia-ml.so.1"), d.Library, 0o755); err != nil {
		t.Fatal(err)
	}
	var cards []page.Card
	for i, name := range []string{"A100-80GB", "A100-80GB", "T4"} {
		m, _ := gpu.Lookup(name)
		cards = append(cards, page.Card{
			Name: m.Device, UUID: fmt.Sprintf("GPU-0000000%d-1111-2222-3333-444444444444", i), Bus: fmt.Sprintf("00000000:%02X:00.0", i+1),
			Memory: uint64(m.MiB) << 20, Reserved: 500 << 20, CUDAMemory: uint64(m.CUDAMiB) << 20, Major: m.Major, Minor: m.Minor, PowerLimit: m.Power * 1000,
		})
	}
	path := filepath.Join(dir, "page")
	f, err := page.Create(path, page.Header{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: 12080}, cards)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	specs := filepath.Join(dir, "cdi")
	if err := os.Mkdir(specs, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu",
		"containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"], "mounts": [{"hostPath": "/usr", "containerPath": "/usr/nvidia", "options": ["ro", "bind"]}]},
		"devices": [{"name": "0", "containerEdits": {"env": ["CARD=0"]}}, {"name": "GPU-00000001-1111-2222-3333-444444444444", "containerEdits": {"env": ["CARD=1"]}}, {"name": "2", "containerEdits": {"env": ["CARD=2"]}}]}`
	if err := os.WriteFile(filepath.Join(specs, "nvidia.json"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Helper: program(t), Env: []string{"LD_LIBRARY_PATH=" + dir, page.Variable + "=" + path}, SpecDirs: []string{specs}}, f
}

func open(t *testing.T, cfg Config) *Provider {
	t.Helper()
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestConformance(t *testing.T) {
	cfg, _ := pretended(t)
	p := open(t, cfg)
	if got := gpu.StockString(p.Stock()); got != "1 × T4, 2 × A100-80GB" {
		t.Errorf("the stock is %s", got)
	}
	gputest.Run(t, p)
}

func TestCDI(t *testing.T) {
	cfg, _ := pretended(t)
	p := open(t, cfg)
	l, err := p.Grant(t.Context(), "co-1", gpu.Choice{Card: "A100-80GB", Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	edits, err := l.Edits(nil)
	if err != nil {
		t.Fatal(err)
	}
	container := &oci.Spec{}
	if err := (&cdi.ContainerEdits{ContainerEdits: edits}).Apply(container); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(container.Process.Env, "NVIDIA_VISIBLE_DEVICES=void") || len(container.Mounts) != 1 {
		t.Errorf("%+v", container)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	cfg.SpecDirs = []string{t.TempDir()}
	p = open(t, cfg)
	if l, err = p.Grant(t.Context(), "co-1", gpu.Choice{Card: "T4", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Edits(nil); err == nil || !strings.Contains(err.Error(), "nvidia-ctk cdi generate") {
		t.Errorf("without a specification: %v", err)
	}
}

// How a card is, and what happens to it, is told by the helper.
func TestEvents(t *testing.T) {
	cfg, f := pretended(t)
	p := open(t, cfg)
	l, err := p.Grant(t.Context(), "co-1", gpu.Choice{Card: "T4", Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan gpu.Event, 1)
	l.Observe(gpu.Observer{Health: func(e gpu.Event) { events <- e }})
	if err := errors.Join(f.Set(2, page.Reading{Utilisation: 50, Temperature: 60, Power: 33_000}), f.Occupy(2, 0, os.Getpid(), 1<<30)); err != nil {
		t.Fatal(err)
	}
	d, err := l.Devices()
	if err != nil || d[0].Util != 50 || d[0].Heat != 60 || d[0].Power != 33 || d[0].Used != 1<<30 || d[0].Container != "co-1" {
		t.Errorf("%+v, %v", d, err)
	}
	time.Sleep(1100 * time.Millisecond) // the helper waits for events in turns, which must not matter
	if err := errors.Join(f.Fail(2, page.Lost), f.Xid(2, 79)); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-events:
		if e.Xid != 79 || !e.Critical || e.UUID != d[0].UUID {
			t.Errorf("%+v", e)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was told")
	}
	if d, err = l.Devices(); err != nil || !d[0].Lost {
		t.Errorf("%+v, %v", d, err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if l, err := p.Grant(t.Context(), "co-2", gpu.Choice{Card: "T4", Count: 1}); !errors.Is(err, gpu.ErrNone) || !strings.Contains(err.Error(), "1 have failed") {
		t.Errorf("a card that is lost was granted: %v, %v", l, err)
	}
}

// A helper that dies is replaced at the next question.
func TestHelperDies(t *testing.T) {
	cfg, _ := pretended(t)
	p := open(t, cfg)
	if err := p.helper.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.helper.ended
	if list, err := p.Devices(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestNoLibrary(t *testing.T) {
	cfg := Config{Helper: program(t), Env: []string{"LD_LIBRARY_PATH=/nowhere"}}
	if Present() {
		t.Skip("there is a driver")
	}
	if p, err := New(t.Context(), cfg); err == nil {
		_ = p.Close()
		t.Error("there is no library")
	}
	cfg.Helper = "/nowhere"
	if p, err := New(t.Context(), cfg); err == nil {
		_ = p.Close()
		t.Error("there is no helper")
	}
}

// TestRealCards holds the provider to its contract on this machine's cards:
// make test-gpu.
func TestRealCards(t *testing.T) {
	if !Present() {
		t.Skip("this machine has no NVIDIA card")
	}
	p := open(t, Config{Helper: program(t)})
	t.Log(gpu.StockString(p.Stock()))
	gputest.Run(t, p)
}
