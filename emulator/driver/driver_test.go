package driver

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/gpu"
)

// The binaries are those of the sources that lie beside them.
func TestBuiltFromSources(t *testing.T) {
	noted, err := os.ReadFile("prebuilt/sources.txt")
	if err != nil {
		t.Fatal(err)
	}
	first, sums, _ := strings.Cut(string(noted), "\n")
	for _, line := range strings.Split(strings.TrimSpace(sums), "\n") {
		want, name, _ := strings.Cut(line, "  ")
		text, err := os.ReadFile(filepath.Join("src", name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed since the binaries were built: run make driver", name)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("src/all.sh", dir).CombinedOutput(); err != nil {
		t.Skipf("the compilers for both architectures are not here: %v\n%s", err, out)
	}
	own, err := os.ReadFile(filepath.Join(dir, "sources.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if mine, _, _ := strings.Cut(string(own), "\n"); mine != first {
		t.Skipf("built with %q, and here is %q", first, mine)
	}
	for _, name := range []string{"amd64/libnvidia-ml.so.1", "amd64/nvidia-smi", "arm64/libnvidia-ml.so.1", "arm64/nvidia-smi"} {
		built, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(filepath.Join("prebuilt", name)); err != nil || !bytes.Equal(kept, built) {
			t.Errorf("%s is not what its sources give: run make driver (%v)", name, err)
		}
	}
}

// The library has every function of nvml.h and asks for nothing.
func TestSymbols(t *testing.T) {
	names, err := os.ReadFile("src/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		d, ok := For(arch)
		if !ok {
			t.Fatalf("there is none for %s", arch)
		}
		f, err := elf.NewFile(bytes.NewReader(d.Library))
		if err != nil {
			t.Fatal(err)
		}
		if needed, err := f.ImportedLibraries(); err != nil || len(needed) > 0 {
			t.Errorf("%s: it needs %v, %v", arch, needed, err)
		}
		symbols, err := f.DynamicSymbols()
		if err != nil {
			t.Fatal(err)
		}
		has := map[string]bool{}
		for _, s := range symbols {
			if s.Section == elf.SHN_UNDEF && s.Name != "" {
				t.Errorf("%s: it asks for %s", arch, s.Name)
			}
			has[s.Name] = true
		}
		for _, name := range strings.Fields(string(names)) {
			if !has[name] {
				t.Errorf("%s: %s is missing", arch, name)
			}
		}
	}
	if _, ok := For("s390x"); ok {
		t.Error("there is none for it")
	}
}

// lab is a page and the programs that read it.
type lab struct {
	t    *testing.T
	dir  string
	page *page.File
	smi  string
	env  []string
}

func newLab(t *testing.T, models ...string) *lab {
	t.Helper()
	d, ok := For(runtime.GOARCH)
	if !ok || runtime.GOOS != "linux" {
		t.Skip("nothing is built for this machine")
	}
	l := &lab{t: t, dir: t.TempDir()}
	var cards []page.Card
	for i, name := range models {
		m, ok := gpu.Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		total, cuda := uint64(m.MiB)<<20, uint64(m.CUDAMiB)<<20
		cards = append(cards, page.Card{
			Name: m.Device, UUID: fmt.Sprintf("GPU-0000000%d-1111-2222-3333-444444444444", i), Bus: fmt.Sprintf("00000000:%02X:00.0", 0x3b+i),
			Memory: total, Reserved: total - cuda, CUDAMemory: cuda, Major: m.Major, Minor: m.Minor, Architecture: int(m.Architecture), SMs: m.SMs,
			MaxClock: m.Clock, MaxMemClock: m.MemoryClock, BusWidth: m.BusWidth, PowerLimit: m.Power * 1000,
		})
	}
	path := filepath.Join(l.dir, "page")
	var err error
	if l.page, err = page.Create(path, page.Header{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: 12080}, cards); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.page.Close() })
	l.smi = filepath.Join(l.dir, "nvidia-smi")
	for name, data := range map[string][]byte{"nvidia-smi": d.SMI, "libnvidia-ml.so.1": d.Library} {
		if err := os.WriteFile(filepath.Join(l.dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.env = append(os.Environ(), page.Variable+"="+path, "LD_LIBRARY_PATH="+l.dir, "PATH="+l.dir+":"+os.Getenv("PATH"))
	return l
}

func (l *lab) run(name string, args ...string) (out string, code int) {
	l.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = l.env
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		l.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestSMI(t *testing.T) {
	l := newLab(t, "A100-80GB", "T4")
	l.must(l.page.Set(0, page.Reading{Utilisation: 97, MemoryUtilisation: 48, Temperature: 61, Power: 312_400, Clock: 1410, MemoryClock: 1593}))
	l.must(l.page.Set(1, page.Reading{Temperature: 31, Power: 9_050, Clock: 300, MemoryClock: 5001}))
	l.must(l.page.Occupy(0, 0, os.Getpid(), 3<<30))
	l.must(l.page.Occupy(0, 1, 1<<22, 9<<30)) // a process that is gone: no pid is that high
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-L"}, "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-00000000-1111-2222-3333-444444444444)\nGPU 1: Tesla T4 (UUID: GPU-00000001-1111-2222-3333-444444444444)\n"},
		{[]string{"--query-gpu=name,memory.total,memory.used", "--format=csv"}, "name, memory.total [MiB], memory.used [MiB]\nNVIDIA A100-SXM4-80GB, 81920 MiB, 3072 MiB\nTesla T4, 15360 MiB, 0 MiB\n"},
		{[]string{"--query-gpu", "index, uuid,driver_version,compute_cap", "--format", "csv,noheader", "-i", "1"}, "1, GPU-00000001-1111-2222-3333-444444444444, 570.124.06, 7.5\n"},
		{[]string{"--query-gpu=utilization.gpu,power.draw,temperature.gpu,clocks.sm,gpu_serial", "--format=csv,noheader,nounits"}, "97, 312.40, 61, 1410, [N/A]\n0, 9.05, 31, 300, [N/A]\n"},
		{[]string{"--query-gpu=count,memory.free", "--format=csv,nounits,noheader", "--id=GPU-00000000-1111-2222-3333-444444444444"}, "2, 78081\n"},
		{[]string{"--query-compute-apps=pid,used_memory", "--format=csv"}, fmt.Sprintf("pid, used_memory [MiB]\n%d, 3072 MiB\n", os.Getpid())},
	} {
		if out, code := l.run(l.smi, c.args...); out != c.want || code != 0 {
			t.Errorf("%v: %d\n%s\nwant\n%s", c.args, code, out, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--query-gpu=nonsense", "--format=csv"}, 2, `Field "nonsense" is not a valid field to query.`},
		{[]string{"--query-gpu=name"}, 2, "--format="},
		{[]string{"topo", "-m"}, 2, `"topo" is not known to gx's nvidia-smi`},
		{[]string{"-i", "7"}, 6, "No devices were found"},
		{[]string{"--help-query-gpu"}, 0, `"clocks.current.graphics" or "clocks.gr"`},
		{[]string{"-h"}, 0, "--query-gpu=FIELDS"},
		{[]string{"--version"}, 0, "CUDA Version        : 12.8"},
		{[]string{"-q"}, 0, "    Product Name                              : NVIDIA A100-SXM4-80GB\n    Product Architecture                      : Ampere\n"},
		{[]string{"-q"}, 0, "        Total                                 : 81920 MiB\n"},
		{[]string{"-q"}, 0, "        Power Draw                            : 312.40 W\n"},
	} {
		if out, code := l.run(l.smi, c.args...); !strings.Contains(out, c.want) || code != c.code {
			t.Errorf("%v: %d\n%s", c.args, code, out)
		}
	}
}

// The table is as wide everywhere as its first line.
func TestTable(t *testing.T) {
	l := newLab(t, "A100-80GB", "RTX-PRO-6000", "T4")
	l.must(l.page.Set(0, page.Reading{Utilisation: 100, Temperature: 61, Power: 399_400}))
	l.must(l.page.Occupy(0, 0, os.Getpid(), 70<<30))
	check := func(want ...string) {
		t.Helper()
		out, _ := l.run(l.smi)
		lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
		for _, line := range lines[1:] {
			if len(line) != 91 && strings.HasPrefix(line, "|") {
				t.Errorf("%d wide: %s", len(line), line)
			}
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not in\n%s", w, out)
			}
		}
	}
	check("| NVIDIA-SMI 570.124.06             Driver Version: 570.124.06     CUDA Version: 12.8     |", "   71680MiB /  81920MiB |    100%      Default |",
		"|   1  NVIDIA RTX PRO 6000 Bla...     On  |", "399W /  400W |", "71680MiB |\n")
	l.must(l.page.Fail(0, page.Lost))
	check("GPU is lost.  Reboot the system to recover this GPU")
	if _, code := l.run(l.smi); code != 15 {
		t.Errorf("exit status %d", code)
	}
	l.env = []string{page.Variable + "=/nowhere"}
	if out, code := l.run(l.smi); code != 9 || !strings.Contains(out, "has failed because it couldn't communicate with the NVIDIA driver") {
		t.Errorf("%d: %s", code, out)
	}
}

// A process in the container may write over every end of a text.
func TestTexts(t *testing.T) {
	l := newLab(t, "T4")
	path := filepath.Join(l.dir, "page")
	b, err := os.ReadFile(path)
	l.must(err)
	for _, text := range [][2]int{{16, 64}, {128, 128 + 112}, {128 + 136, 128 + 160}} { // versions; name and uuid; bus
		copy(b[text[0]:text[1]], bytes.Repeat([]byte{'A'}, text[1]-text[0]))
	}
	l.must(os.WriteFile(path, b, 0o600))
	out, code := l.run(l.smi, "--query-gpu=name,uuid,pci.bus_id,driver_version", "--format=csv,noheader")
	a := func(n int) string { return strings.Repeat("A", n) }
	if want := strings.Join([]string{a(63), a(47), a(23), a(23)}, ", ") + "\n"; out != want || code != 0 {
		t.Errorf("%d: %q, and not %q", code, out, want)
	}
}

// python finds an interpreter that has a module.
func python(t *testing.T, module string) string {
	t.Helper()
	for _, p := range []string{os.Getenv("GX_TEST_PYTHON"), "../../.cache/venv/bin/python", "python3"} {
		path, err := exec.LookPath(p)
		if err == nil && exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	t.Skipf("no Python with %s: make test installs it", module)
	return ""
}

const askNVML = `
import os, threading, time
import pynvml as n
n.nvmlInit()
assert n.nvmlSystemGetDriverVersion() in ("570.124.06", b"570.124.06")
assert n.nvmlSystemGetCudaDriverVersion() == 12080
assert n.nvmlDeviceGetCount() == 2
h = n.nvmlDeviceGetHandleByIndex(0)
assert n.nvmlDeviceGetName(h) == "NVIDIA A100-SXM4-80GB"
assert n.nvmlDeviceGetUUID(h) == "GPU-00000000-1111-2222-3333-444444444444"
assert n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID("GPU-00000001-1111-2222-3333-444444444444")) == 1
m = n.nvmlDeviceGetMemoryInfo(h)
assert m.total == 81920 << 20 and m.used == (767 << 20) + (3 << 30) and m.free + m.used == m.total, m
m = n.nvmlDeviceGetMemoryInfo(h, version=n.nvmlMemory_v2)
assert m.used == 3 << 30 and m.reserved == 767 << 20, m
assert n.nvmlDeviceGetUtilizationRates(h).gpu == 97
assert n.nvmlDeviceGetCudaComputeCapability(h) == (8, 0)
assert n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU) == 61
assert n.nvmlDeviceGetPowerUsage(h) == 312400 and n.nvmlDeviceGetEnforcedPowerLimit(h) == 400000
assert n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM) == 1410 and n.nvmlDeviceGetMaxClockInfo(h, n.NVML_CLOCK_MEM) == 1593
assert n.nvmlDeviceGetNumGpuCores(h) == 6912 and n.nvmlDeviceGetMemoryBusWidth(h) == 5120
assert n.nvmlDeviceGetArchitecture(h) == n.NVML_DEVICE_ARCH_AMPERE
p = n.nvmlDeviceGetPciInfo(h)
assert p.busId == "00000000:3B:00.0" and p.bus == 0x3b, p
assert [(q.pid, q.usedGpuMemory) for q in n.nvmlDeviceGetComputeRunningProcesses(h)] == [(int(os.environ["HOLDER"]), 3 << 30)]
assert n.nvmlDeviceGetGraphicsRunningProcesses(h) == []
for name in ("nvmlDeviceGetFanSpeed", "nvmlDeviceGetSerial"):
    try:
        getattr(n, name)(h)
        raise SystemExit(name)
    except n.NVMLError_NotSupported:
        pass
try:
    n.nvmlDeviceGetHandleByIndex(2)
    raise SystemExit("a third card")
except n.NVMLError_InvalidArgument:
    pass
s = n.nvmlEventSetCreate()
n.nvmlDeviceRegisterEvents(h, n.nvmlEventTypeXidCriticalError, s)
try:
    n.nvmlEventSetWait(s, 30)
    raise SystemExit("an event")
except n.NVMLError_Timeout:
    pass
print("ready", flush=True)
e = n.nvmlEventSetWait(s, 60000)
assert e.eventType == n.nvmlEventTypeXidCriticalError and e.eventData == 79, (e.eventType, e.eventData)
try:
    n.nvmlDeviceGetName(h)
    raise SystemExit("a lost card has a name")
except n.NVMLError_GpuIsLost:
    pass
n.nvmlEventSetFree(s)
n.nvmlShutdown()
print("done", flush=True)
`

// What users' programs ask by nvidia-ml-py.
func TestPyNVML(t *testing.T) {
	l := newLab(t, "A100-80GB", "T4")
	path := python(t, "pynvml")
	l.must(l.page.Set(0, page.Reading{Utilisation: 97, Temperature: 61, Power: 312_400, Clock: 1410, MemoryClock: 1593}))
	l.must(l.page.Occupy(0, 3, os.Getpid(), 3<<30))
	cmd := exec.Command(path, "-c", askNVML)
	cmd.Env = slices.Concat(l.env, []string{fmt.Sprintf("HOLDER=%d", os.Getpid())})
	var stderr strings.Builder
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	l.must(err)
	l.must(cmd.Start())
	if line, _ := bufio.NewReader(pipe).ReadString('\n'); line == "ready\n" {
		l.must(l.page.Fail(0, page.Lost))
		l.must(l.page.Xid(0, 79))
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// Tools that are in use: one asks NVML, the other parses nvidia-smi.
func TestTools(t *testing.T) {
	l := newLab(t, "L40S")
	l.must(l.page.Set(0, page.Reading{Utilisation: 42, Temperature: 55, Power: 200_000}))
	l.must(l.page.Occupy(0, 0, os.Getpid(), 10<<30))
	t.Run("gpustat", func(t *testing.T) {
		out, code := l.run(python(t, "gpustat"), "-m", "gpustat", "--no-color", "--no-header")
		if code != 0 || !strings.Contains(out, "NVIDIA L40S") || !strings.Contains(out, "55") || !strings.Contains(out, "42 %") || !strings.Contains(out, "/ 46068 MB") {
			t.Errorf("%d: %s", code, out)
		}
	})
	t.Run("GPUtil", func(t *testing.T) {
		out, code := l.run(python(t, "GPUtil, setuptools"), "-c", "import setuptools, GPUtil\nfor g in GPUtil.getGPUs(): print(g.id, g.name, g.load, g.memoryTotal, g.memoryUsed, g.temperature, g.driver)")
		if code != 0 || !strings.Contains(out, "0 NVIDIA L40S 0.42 46068.0 10240.0 55.0 570.124.06") {
			t.Errorf("%d: %s", code, out)
		}
	})
}

// The library is opened by programs of any libc, on any architecture that an
// emulator of processors is here for.
func TestOtherSystems(t *testing.T) {
	l := newLab(t, "T4")
	emulator, err := exec.LookPath("qemu-aarch64")
	if err != nil || runtime.GOARCH == "arm64" {
		t.Skip("no qemu-aarch64")
	}
	d, _ := For("arm64")
	l.must(os.WriteFile(l.smi, d.SMI, 0o755))
	out, code := l.run(emulator, l.smi, "--query-gpu=name,memory.total", "--format=csv,noheader")
	if code != 0 || out != "Tesla T4, 15360 MiB\n" {
		t.Errorf("%d: %s", code, out)
	}
	if out, code = l.run(emulator, l.smi); code != 0 || !slices.Contains(strings.Split(out, "\n"), "| NVIDIA-SMI 570.124.06             Driver Version: 570.124.06     CUDA Version: 12.8     |") {
		t.Errorf("%d: %s", code, out)
	}
}
