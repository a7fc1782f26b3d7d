package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/emulator"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/process"
	"github.com/gx-dev/gx/engine/container/runc"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/sdk"
	"github.com/gx-dev/gx/wire"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == runc.ReaperCommand {
		os.Exit(runc.RunReaper())
	}
	os.Exit(run(m))
}

// run removes what the tests share when they are over.
func run(m *testing.M) int {
	var err error
	if sdkCache, err = os.MkdirTemp("", "gx-e-sdk-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(sdkCache) }()
	return m.Run()
}

// machineImages is a build engine whose one image is the machine's own Python:
// what building costs is other packages' to test.
type machineImages struct {
	root   build.Root
	config build.Config

	mu   sync.Mutex
	pins int
	gone atomic.Bool // what was made earlier is not there any more
}

func (e *machineImages) Name() string { return "machine" }

func (e *machineImages) Build(_ context.Context, req build.Request, events func(build.Event)) (build.Image, error) {
	for _, s := range req.Recipe.Steps {
		for _, f := range s.Files {
			r, err := req.Open(f.SHA256)
			if err != nil {
				return nil, err
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return nil, err
			}
			_ = r.Close()
		}
	}
	if events != nil {
		events(build.Event{Kind: build.EventDone})
	}
	return machineImage{e}.Retain(), nil
}
func (e *machineImages) Open(_ context.Context, kept build.Kept) (build.Image, error) {
	if kept.Ref != "machine" || e.gone.Load() {
		return nil, build.ErrGone
	}
	return machineImage{e}.Retain(), nil
}
func (e *machineImages) Usage(context.Context) (build.Usage, error) { return build.Usage{}, nil }
func (e *machineImages) Prune(context.Context, int64, bool) (build.Usage, error) {
	return build.Usage{}, nil
}
func (e *machineImages) Close() error { return nil }

type machineImage struct{ e *machineImages }

func (i machineImage) ID() string           { return "im-0123456789abcdef" }
func (i machineImage) Root() build.Root     { return i.e.root }
func (i machineImage) Config() build.Config { return i.e.config }
func (i machineImage) Unhonoured() []string { return nil }
func (i machineImage) Kept() build.Kept     { return build.Kept{ID: i.ID(), Ref: "machine"} }
func (i machineImage) Retain() build.Image  { i.e.count(1); return i }
func (i machineImage) Release()             { i.e.count(-1) }

func (e *machineImages) count(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pins += n
}

// sharedDir is a folder that all containers of a host and its test have.
const sharedDir = "/shared"

type mounts []container.Mount

func (m mounts) Env() []string             { return []string{"FROM_NETWORK=1", "SHARED=" + sharedDir} }
func (m mounts) Mounts() []container.Mount { return m }

// watched is a runtime whose containers a test can kill.
type watched struct {
	container.Runtime

	mu    sync.Mutex
	byID  map[string]container.Container
	order []string // their ids, as they were started
}

func (w *watched) Start(ctx context.Context, spec container.Spec) (container.Container, error) {
	c, err := w.Runtime.Start(ctx, spec)
	if err == nil {
		w.mu.Lock()
		w.byID[c.ID()] = c
		w.order = append(w.order, c.ID())
		w.mu.Unlock()
	}
	return c, err
}

// runtime is the runtime with what else it can do for an engine.
func (w *watched) runtime() container.Runtime {
	if o, able := w.Runtime.(container.Overlayer); able {
		return struct {
			*watched
			container.Overlayer
		}{w, o}
	}
	return w
}

// started are the containers, in the order of their starts.
func (w *watched) started() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.order)
}

// kill kills a container as somebody else on the machine would.
func (w *watched) kill(t testing.TB, id string) {
	w.mu.Lock()
	c := w.byID[id]
	w.mu.Unlock()
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// host is an engine under test.
type host struct {
	*Engine
	t       testing.TB
	runtime *watched
	images  *machineImages
	dir     string
	cfg     Config
	faults  []string // of apps that are started
}

// onRuntimes runs a test on each runtime that works here.
func onRuntimes(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	for _, name := range []string{"process", "runc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newHost(t, name))
		})
	}
}

// output is a test's, for as long as the test runs: what is said later would be
// its failure.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = io.Discard
}

// sdkCache is where the SDK is for all tests.
var sdkCache string

var sdkOnce = sync.OnceValues(func() (string, error) { return sdk.Extract(sdkCache) })

func newHost(t testing.TB, runtimeName string) *host {
	t.Helper()
	return newHostWith(t, runtimeName, nil)
}

// newHostWith is newHost with so many GPUs; nil = as many as are asked for.
func newHostWith(t testing.TB, runtimeName string, stock map[string]int) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "gx-e-") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: dir, images: &machineImages{}}
	out := &output{w: t.Output()}
	t.Cleanup(out.end) // the last to run
	log := slog.New(slog.NewTextHandler(out, nil))
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skip("no system Python: ", err)
	}
	h.images.config = build.Config{Python: python, Version: "3", Env: []string{"FROM_IMAGE=yes"}}
	var network mounts
	h.runtime = &watched{byID: map[string]container.Container{}}
	switch runtimeName {
	case "process":
		venv := filepath.Join(dir, "venv")
		if out, err := exec.Command(python, "-m", "venv", "--without-pip", "--system-site-packages", venv).CombinedOutput(); err != nil {
			if err := os.MkdirAll(filepath.Join(venv, "bin"), 0o755); err != nil {
				t.Fatal(err, string(out))
			}
			if err := os.Symlink(python, filepath.Join(venv, "bin", "python")); err != nil {
				t.Fatal(err)
			}
		}
		h.images.root = build.Root{Venv: venv}
		h.runtime.Runtime, err = process.New(t.Context(), process.Config{Dir: filepath.Join(dir, "c"), Log: log})
	case "runc":
		if os.Geteuid() != 0 {
			t.Skip("containers by runc need root")
		}
		h.images.root, network = machineRoot(t, dir)
		h.runtime.Runtime, err = runc.New(t.Context(), runc.Config{Dir: filepath.Join(dir, "c"), RunDir: filepath.Join(dir, "r"), Log: log})
	}
	if err != nil {
		t.Skip("this runtime does not work here: ", err)
	}
	gpus, err := emulator.New(emulator.Config{Dir: filepath.Join(dir, "gpu"), RunDir: filepath.Join(dir, "pages"), Stock: stock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gpus.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(dir, "shared"), 0o777); err != nil {
		t.Fatal(err)
	}
	network = append(network, container.Mount{Source: filepath.Join(dir, "shared"), Target: sharedDir})
	h.cfg = Config{
		GPUs: gpus,
		Dir:  filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Runtime: h.runtime.runtime(), Images: h.images, Network: network,
		SDK: func(string) (string, error) { return sdkOnce() }, Log: log,
		Capacity: pool.Capacity{CPU: 8, Memory: 8 << 30},
	}
	if h.Engine, err = New(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	hosts.Add(1)
	t.Cleanup(h.close)
	return h
}

// release lets functions that are held go on.
func (h *host) release() {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "shared", "released"), nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// restart ends the engine and starts another one on what it has left.
func (h *host) restart() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := h.Close(ctx)
	if err == nil {
		h.Engine, err = New(context.Background(), h.cfg)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// allEnded waits until no call is open: one is counted as ended just after its
// last answer was written.
func (h *host) allEnded() {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); h.registry.Open() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Errorf("%d calls are open", h.registry.Open())
			return
		}
	}
}

// close ends the host and finds what it has left.
func (h *host) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		h.t.Error(err)
	}
	if err := h.runtime.Close(); err != nil {
		h.t.Error(err)
	}
	if h.images.pins != 0 {
		h.t.Errorf("%d pins of images are left", h.images.pins)
	}
	if used := h.ledger.Used(); used.Containers != 0 {
		h.t.Errorf("%+v is still set aside", used)
	}
	noGoroutines(h.t)
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Error(err)
	}
}

// hosts counts those that live: tests run at the same time.
var hosts atomic.Int64

// noGoroutines finds goroutines of the engine that are left, when there is no
// other host.
func noGoroutines(t testing.TB) {
	t.Helper()
	if hosts.Add(-1) > 0 {
		return
	}
	deadline := time.Now().Add(time.Minute)
	for {
		buf := make([]byte, 4<<20)
		buf = buf[:runtime.Stack(buf, true)]
		bad := ""
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "gx/engine") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*") {
				bad = g
			}
		}
		if bad == "" || hosts.Load() > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("a goroutine is left:\n%s", bad)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// machineRoot is a file system that has the machine's own programs.
func machineRoot(t testing.TB, dir string) (build.Root, mounts) {
	t.Helper()
	lower := filepath.Join(dir, "lower")
	for _, d := range []string{"usr", "etc", "tmp", "root", "mnt", "shared"} {
		if err := os.MkdirAll(filepath.Join(lower, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The machine's /usr, into which files may be put, as into an image's.
	usr := t.TempDir() // which goes after the host, and after the mount
	for _, d := range []string{"shown", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(usr, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shown := filepath.Join(usr, "shown")
	if err := unix.Mount("overlay", shown, "overlay", 0, fmt.Sprintf("lowerdir=/usr,upperdir=%s/upper,workdir=%[1]s/work", usr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(shown, 0); err != nil {
			t.Error(err)
		}
	})
	list := mounts{{Source: shown, Target: "/usr"}}
	for _, name := range []string{"bin", "lib", "lib64"} {
		path := filepath.Join("/", name)
		if to, err := os.Readlink(path); err == nil {
			if err := os.Symlink(to, filepath.Join(lower, name)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := os.Stat(path); err == nil {
			list = append(list, container.Mount{Source: path, Target: path, ReadOnly: true})
		}
	}
	return build.Root{Lower: []string{lower}}, list
}

// put uploads a file of testdata, to appear in /root.
func (h *host) put(name string) app.File {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		h.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	if err := h.PutBlob(context.Background(), hash, bytes.NewReader(data)); err != nil {
		h.t.Fatal(err)
	}
	return app.File{Remote: "/root/" + name, SHA256: hash, Size: int64(len(data)), Mode: 0o644}
}

// running is an app under test.
type running struct {
	*App
	h      *host
	t      testing.TB
	mu     sync.Mutex
	lines  []api.LogLine
	events []api.SessionMessage
	over   chan struct{}
}

// start starts an app of functions of a module of testdata.
func (h *host) start(module string, functions ...app.Function) *running {
	h.t.Helper()
	m := app.Manifest{Version: app.ManifestVersion, Name: "test", Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}}, Force: -1}},
		Mounts: []app.Mount{{Files: []app.File{h.put(module + ".py")}}}}
	for _, f := range functions {
		if f.Qualname == "" {
			f.Qualname = f.Name
		}
		f.Module, f.Mounts = module, []int{0}
		m.Functions = append(m.Functions, f)
	}
	return h.startManifest(m)
}

// image is the one that there is, built.
func (h *host) image() string {
	h.t.Helper()
	id, _, err := h.Build(context.Background(), api.BuildRequest{Image: app.Image{Steps: []app.Step{{Op: app.OpDebianSlim}}, Force: -1}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *host) startManifest(m app.Manifest) *running {
	h.t.Helper()
	a, err := h.StartApp(context.Background(), api.SessionRequest{Manifest: m, Images: []string{h.image()}, Faults: h.faults, FaultSeed: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	r := &running{App: a, h: h, t: h.t, over: make(chan struct{})}
	go func() {
		defer close(r.over)
		for m := range a.Events(context.Background()) {
			r.mu.Lock()
			if m.Log != nil {
				r.lines = append(r.lines, *m.Log)
			} else {
				r.events = append(r.events, m)
			}
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *running) stop(now bool) api.Stopped {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := r.Stop(ctx, now); err != nil {
		r.t.Fatal(err)
	}
	<-r.over
	return r.Stopped()
}

// text is what was printed so far, one line for each.
func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.lines {
		fmt.Fprintf(&b, "%s: %s\n", l.Stream, l.Text)
	}
	return b.String()
}

// client is a connection that speaks frames, for one goroutine.
type client struct {
	t    testing.TB
	conn *net.UnixConn
	r    *wire.Reader
	w    *wire.Writer
	next uint32
	done chan error
	app  *running
}

func (r *running) dial() *client {
	r.t.Helper()
	near, far := socketPair(r.t)
	c := &client{t: r.t, conn: near, r: wire.NewReader(near), w: wire.NewWriter(near), done: make(chan error, 1), app: r}
	go func() { c.done <- r.h.ServeClient(context.Background(), r.ID(), far) }()
	hello, err := wire.JSON(wire.Hello, 0, 0, wire.HelloBody{Protocol: wire.Protocol, Role: "client"})
	if err != nil {
		r.t.Fatal(err)
	}
	c.write(hello)
	if f := c.read(); f.Type != wire.Ready {
		r.t.Fatalf("%v came, not Ready", f.Type)
	}
	return c
}

func socketPair(t testing.TB) (near, far *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gx-s-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if near, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if far, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func (c *client) write(frames ...wire.Frame) {
	c.t.Helper()
	if err := c.w.Write(frames...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() wire.Frame {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	f, err := c.r.Read()
	if err != nil {
		c.t.Fatalf("reading: %v; the app printed:\n%s", err, c.app.text())
	}
	return f
}

func (c *client) close() {
	c.t.Helper()
	_ = c.conn.Close()
	select {
	case err := <-c.done:
		if err != nil {
			c.t.Error(err)
		}
	case <-time.After(time.Minute):
		c.t.Error("the host does not let go of a closed connection")
	}
}

// open opens a call with inputs and ends it; it returns the call's number.
func (c *client) open(kind, function, method string, inputs ...[]byte) uint32 {
	c.t.Helper()
	return c.openID(c.app.Started().Functions[function], kind, method, inputs...)
}

// openID is open for a function's id.
func (c *client) openID(id, kind, method string, inputs ...[]byte) uint32 {
	c.t.Helper()
	c.next++
	open, err := wire.JSON(wire.Open, c.next, 0, wire.OpenBody{Function: id, Kind: kind, Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	frames := []wire.Frame{open}
	for i, in := range inputs {
		frames = append(frames, wire.Frame{Header: wire.Header{Type: wire.Input, Call: c.next, Index: uint32(i)}, Body: in})
	}
	frames = append(frames, wire.Frame{Header: wire.Header{Type: wire.End, Call: c.next, Index: uint32(len(inputs))}})
	c.write(frames...)
	return c.next
}

// collect reads the answers of a call until its End, by index.
func (c *client) collect(number uint32) map[uint32]wire.Frame {
	c.t.Helper()
	got := map[uint32]wire.Frame{}
	for {
		f := c.read()
		if f.Call != number {
			c.t.Fatalf("a %v frame of call %d came, waiting for %d", f.Type, f.Call, number)
		}
		switch f.Type {
		case wire.Opened:
		case wire.End:
			return got
		case wire.Item:
		default:
			if _, twice := got[f.Index]; twice {
				c.t.Fatalf("input %d was answered twice", f.Index)
			}
			got[f.Index] = f
		}
	}
}

// call calls a function with one input and returns its answer.
func (c *client) call(function string, input []byte) wire.Frame {
	c.t.Helper()
	got := c.collect(c.open("call", function, "", input))
	if len(got) != 1 {
		c.t.Fatalf("%d answers came", len(got))
	}
	return got[0]
}

// callFails calls a function that is expected to fail, and returns how.
func (c *client) callFails(function string, input []byte) (kind, message string) {
	c.t.Helper()
	f := c.call(function, input)
	return c.failure(f)
}

func (c *client) failure(f wire.Frame) (kind, message string) {
	c.t.Helper()
	switch f.Type {
	case wire.Fail:
		var body wire.FailBody
		if err := f.Decode(&body); err != nil {
			c.t.Fatal(err)
		}
		return body.Kind, body.Message
	case wire.Error:
		e, _, err := wire.DecodeError(f.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		return e.Type, e.Message
	}
	c.t.Fatalf("%v came: %q", f.Type, f.Body)
	return "", ""
}

// expect is the value of a Result, which must be a small int, a str or bytes.
func (c *client) expect(f wire.Frame, want any) {
	c.t.Helper()
	if f.Type != wire.Result {
		kind, message := c.failure(f)
		c.t.Fatalf("%s: %s", kind, message)
	}
	data, err := f.ReadPayload(wire.MaxPayload)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := unpickle(data); got != want {
		c.t.Fatalf("got %v, want %v", got, want)
	}
}
