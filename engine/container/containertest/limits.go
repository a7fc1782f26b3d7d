package containertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gx-dev/gx/engine/container"
)

func testMounts(t *testing.T, f *fixture) {
	ro, rw := t.TempDir(), t.TempDir()
	file := filepath.Join(t.TempDir(), "file")
	for path, text := range map[string]string{filepath.Join(ro, "in"): "from the host\n", file: "one file\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := f.sh(`cat /ro/in /deep/er/file; echo x 2>/dev/null >/ro/in && echo wrote; echo x 2>/dev/null >/ro/new && echo made; echo back >/rw/out`)
	s.Mounts = append(s.Mounts, container.Mount{Source: ro, Target: "/ro", ReadOnly: true},
		container.Mount{Source: rw, Target: "/rw"}, container.Mount{Source: file, Target: "/deep/er/file", ReadOnly: true})
	if out, exit := f.finish(t, s); out != "from the host\none file\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	if text, err := os.ReadFile(filepath.Join(rw, "out")); string(text) != "back\n" {
		t.Errorf("written by the container: %q, %v", text, err)
	}
	if text, _ := os.ReadFile(filepath.Join(ro, "in")); string(text) != "from the host\n" {
		t.Errorf("read-only file is now %q", text)
	}
}

func testUnixSocket(t *testing.T, f *fixture) {
	dir, err := os.MkdirTemp("", "gx-sock") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "host.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			fmt.Fprintf(conn, "you said %s", line)
		}
	}()
	s := f.python(`import os, socket
s = socket.socket(socket.AF_UNIX); s.connect(os.environ["SOCK"]); s.sendall(b"hello\n")
print(s.makefile().readline(), end="")`)
	s.Env = append(s.Env, "SOCK=/__test/run/host.sock")
	s.Mounts = append(s.Mounts, container.Mount{Source: dir, Target: "/__test/run", ReadOnly: true})
	if out, exit := f.finish(t, s); out != "you said hello\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

const mib = 1 << 20

func testOutOfMemory(t *testing.T, f *fixture) {
	s := f.python(`print("start", flush=True)
b = []
while True: b.append(bytearray(1 << 20))`)
	s.Memory = 64 * mib
	out, exit := f.finish(t, s)
	if out != "start\n" || !exit.OOMKilled || exit.Code != 137 || exit.Signal != syscall.SIGKILL {
		t.Errorf("%q %+v", out, exit)
	}
	if exit.Peak < 32*mib || exit.Peak > 64*mib {
		t.Errorf("peak %d", exit.Peak)
	}
}

func testChildOutOfMemory(t *testing.T, f *fixture) {
	s := f.sh(`python3 -S -c 'b = bytearray(200 << 20)'; echo child $?; exit 4`)
	s.Memory = 64 * mib
	out, exit := f.finish(t, s)
	if out != "child 137\n" || exit.Code != 4 || !exit.OOMKilled {
		t.Errorf("%q %+v", out, exit)
	}
}

func testPidLimit(t *testing.T, f *fixture) {
	s := f.python(`import os, signal
n = 0
try:
    while n < 200:
        if os.fork() == 0: signal.pause()
        n += 1
except OSError: pass
print(n)`)
	s.Pids = 32
	out, exit := f.finish(t, s)
	if out != "31\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

func testCPULimit(t *testing.T, f *fixture) {
	s := f.python(`import time
end = time.monotonic() + 1.5
while time.monotonic() < end: pass
print(time.process_time())`)
	s.CPU = 0.25
	out, exit := f.finish(t, s)
	var used float64
	if _, err := fmt.Sscan(out, &used); err != nil || exit.Code != 0 {
		t.Fatalf("%q %+v", out, exit)
	}
	if used > 0.7 { // 0.375 and one period's burst
		t.Errorf("used %.2f s of CPU in 1.5 s with a quarter core", used)
	}
}

func testDiskLimit(t *testing.T, f *fixture) {
	s := f.python(`import os, time
with open("/big", "wb") as f:
    for _ in range(48): f.write(os.urandom(1 << 20))
print("written", flush=True)
time.sleep(600)`)
	s.Disk = 16 * mib
	_, exit := f.finish(t, s)
	if exit.Code == 137 && !strings.Contains(exit.Reason, "16 MiB") {
		t.Errorf("killed without a reason: %+v", exit)
	}
	if exit.Code == 0 {
		t.Errorf("wrote three times its limit: %+v", exit)
	}
}

func testWritableLayer(t *testing.T, f *fixture) {
	first := f.run(t, f.sh(`echo mine >/file; rm -f /etc/hostname; mkdir -p /tmp/x; echo ready; sleep 600`))
	first.out.await(t, "ready")
	s := f.sh(`cat /file 2>/dev/null; test -e /etc/hostname && echo hostname; test -e /tmp/x || echo clean`)
	if out, exit := f.finish(t, s); out != "hostname\nclean\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	first.wait(t)
	for _, lower := range f.base.Root.Lower {
		if _, err := os.Stat(filepath.Join(lower, "file")); err == nil {
			t.Errorf("%s was written to", lower)
		}
	}
}

func testManyLayers(t *testing.T, f *fixture) {
	s := f.sh(`cat /layer; ls /each | wc -l`)
	layers := make([]string, 0, 60+len(s.Root.Lower))
	long := filepath.Join(t.TempDir(), strings.Repeat("long-", 20), "with:colon,and comma")
	for i := range 60 {
		dir := filepath.Join(long, fmt.Sprint(i))
		if err := os.MkdirAll(filepath.Join(dir, "each"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"layer", fmt.Sprintf("each/%d", i)} {
			if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "layer %d\n", i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		layers = append(layers, dir)
	}
	s.Root.Lower = append(layers, s.Root.Lower...)
	if out, exit := f.finish(t, s); strings.Fields(out)[1] != "0" || strings.Fields(out)[2] != "60" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

func testNamespaces(t *testing.T, f *fixture) {
	s := f.python(`import os, socket
print(os.getpid(), socket.gethostname(), sorted(p for p in os.listdir("/proc") if p.isdigit()))
print(os.readlink("/proc/self/ns/ipc"), os.path.exists("/proc/1/root/home"))`)
	s.Hostname = "box"
	out, exit := f.finish(t, s)
	if !strings.HasPrefix(out, "1 box ['1']\n") || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	if own, _ := os.Readlink("/proc/self/ns/ipc"); strings.Contains(out, own) {
		t.Errorf("shares the IPC namespace %s", own)
	}
	if out, _ := f.finish(t, f.sh("df -P /dev/shm | tail -1; stat -c %a /; test -w /proc/sys/kernel/hostname || echo ro")); !strings.Contains(out, "/dev/shm") || !strings.HasSuffix(out, "755\nro\n") {
		t.Errorf("%q", out)
	}
}

func testNoPrivileges(t *testing.T, f *fixture) {
	out, exit := f.finish(t, f.python(`import ctypes, os
want = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}
for line in open("/proc/self/status"):
    k, v = line.split(":")
    if k in want: print(k, int(v, 16))
libc = ctypes.CDLL(None, use_errno=True)
def refused(name, *a):
    r = getattr(libc, name)(*a)
    print(name, r, os.strerror(ctypes.get_errno()) if r else "")
refused("mount", b"none", b"/mnt", b"tmpfs", 0, None)
refused("unshare", 0x10000000)
refused("ptrace", 16, 1, 0, 0)
refused("keyctl", 0, 0, 0) if hasattr(libc, "keyctl") else None
refused("syscall", 321, 0, 0, 0)
for p in ("/proc/kcore", "/proc/keys", "/proc/sysrq-trigger"):
    try:
        with open(p, "r+b") as f: print(p, len(f.read(1)))
    except OSError as e: print(p, type(e).__name__)
try: os.mknod("/dev/sda", 0o660 | 0o60000, 0x800); print("made a device")
except OSError: pass
import socket
for family in (38, 40): # AF_ALG, AF_VSOCK
    try: socket.socket(family, socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM); print("opened family", family)
    except OSError: pass
`))
	want := `CapInh 0
CapPrm 0
CapEff 0
CapBnd 0
CapAmb 0
NoNewPrivs 1
Seccomp 2
mount -1 Operation not permitted
unshare -1 Operation not permitted
`
	if !strings.HasPrefix(out, want) || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
	for _, bad := range []string{"syscall 0", "made a device", "opened family 40", "/proc/kcore 1", "sysrq-trigger 0"} {
		if strings.Contains(out, bad) {
			t.Errorf("%s: %q", bad, out)
		}
	}
}

func testNetworkNone(t *testing.T, f *fixture) {
	s := f.python(`import socket
print(sorted(name for _, name in socket.if_nameindex()))
l = socket.create_server(("127.0.0.1", 0)); socket.create_connection(l.getsockname()); print("loopback")
try: socket.create_connection(("192.0.2.1", 80), 3)
except OSError as e: print(e.strerror)`)
	s.Network = container.NetworkNone
	if out, exit := f.finish(t, s); out != "['lo']\nloopback\nNetwork is unreachable\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

func testNetworkOutbound(t *testing.T, f *fixture) {
	// A service on the host's loopback and on all its addresses.
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	neighbour := f.run(t, f.python(`import socket, time
l = socket.create_server(("0.0.0.0", 9000))
print(socket.gethostbyname(socket.gethostname()), flush=True)
time.sleep(600)`))
	neighbour.out.await(t, "\n")
	defer func() { _ = neighbour.Kill() }()
	neighbour.out.mu.Lock()
	address := strings.TrimSpace(neighbour.out.buf.String())
	neighbour.out.mu.Unlock()
	// The host reaches a container.
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", net.JoinHostPort(address, "9000"))
	if err != nil {
		t.Errorf("host to container: %v", err)
	} else {
		conn.Close()
	}
	s := f.python(`import socket, sys
print(sorted(name for _, name in socket.if_nameindex()))
def reach(host, port):
    try: socket.create_connection((host, port), 1).close(); return "reached"
    except OSError: return "refused"
gateway = [int(f[2], 16).to_bytes(4, "little") for f in map(str.split, open("/proc/net/route")) if f[1] == "00000000"]
gateway = ".".join(map(str, gateway[0]))
port = int(sys.argv[1])
print("loopback", reach("127.0.0.1", port)); print("gateway", reach(gateway, port)); print("neighbour", reach(sys.argv[2], 9000))
print("own", socket.gethostbyname(socket.gethostname()) != sys.argv[2])
for a in sys.argv[3:]: print("host", reach(a, port))`)
	s.Args = append(s.Args, port, address)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	want := "['eth0', 'lo']\nloopback refused\ngateway refused\nneighbour refused\nown True\n"
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			s.Args = append(s.Args, n.IP.String())
			want += "host refused\n"
		}
	}
	if out, exit := f.finish(t, s); out != want || exit.Code != 0 {
		t.Errorf("got %q, want %q; %+v", out, want, exit)
	}
}

func testNetworkHost(t *testing.T, f *fixture) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := f.python(`import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5); print("reached")`)
	s.Args = append(s.Args, port)
	s.Network = container.NetworkHost
	if out, exit := f.finish(t, s); out != "reached\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}
