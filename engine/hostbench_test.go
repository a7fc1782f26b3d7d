package engine

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/wire"
)

// echoes is a runtime whose containers are goroutines that answer each input
// with itself: what remains is the host's own work.
type echoes struct{ socket string }

func (echoes) Name() string        { return "echo" }
func (echoes) Isolation() []string { return nil }
func (echoes) Close() error        { return nil }

type echo struct {
	id   string
	conn net.Conn
	done chan struct{}
}

func (r echoes) Start(_ context.Context, spec container.Spec) (container.Container, error) {
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		return nil, err
	}
	c := &echo{id: spec.ID, conn: conn, done: make(chan struct{})}
	go c.run(strings.TrimPrefix(spec.ExtraEnv()[0], "GX_TOKEN="))
	return c, nil
}

func (c *echo) run(token string) {
	defer close(c.done)
	defer func() { _ = c.conn.Close() }()
	r, w := wire.NewReader(c.conn), wire.NewWriter(c.conn)
	hello, _ := wire.JSON(wire.Hello, 0, 0, wire.HelloBody{Protocol: wire.Protocol, Role: "runner", Token: token})
	if w.Write(hello) != nil {
		return
	}
	var batch []wire.Frame
	for {
		f, err := r.Read()
		if err != nil || f.Type == wire.Stop {
			return
		}
		switch f.Type {
		case wire.Start:
			batch = append(batch, wire.Frame{Header: wire.Header{Type: wire.Ready}})
		case wire.Input:
			f.Type = wire.Result
			batch = append(batch, f)
		}
		// Also behind a frame that it does not answer: a host that is slow asks for
		// inputs back.
		if len(batch) > 0 && !r.More() {
			if w.Write(batch...) != nil {
				return
			}
			batch = batch[:0]
		}
	}
}

func (c *echo) ID() string                      { return c.id }
func (c *echo) Signal(syscall.Signal) error     { return nil }
func (c *echo) Kill() error                     { return c.conn.Close() }
func (c *echo) Done() <-chan struct{}           { return c.done }
func (c *echo) Exit() container.Exit            { return container.Exit{} }
func (c *echo) Stats() (container.Stats, error) { return container.Stats{}, nil }
func sdkDir(string) (string, error)             { return "/nowhere", nil }
func echoImages() *machineImages {
	return &machineImages{config: build.Config{Python: "python"}, root: build.Root{Venv: "/nowhere"}}
}

// echoHost is a host with such containers.
func echoHost(b *testing.B) *host {
	b.Helper()
	dir := b.TempDir()
	h := &host{t: b, dir: dir, images: echoImages(), runtime: &watched{byID: map[string]container.Container{}}}
	h.runtime.Runtime = echoes{socket: dir + "/runners/host.sock"}
	var err error
	h.Engine, err = New(b.Context(), Config{
		Dir: dir, RunDir: dir, Runtime: h.runtime, Images: h.images, SDK: sdkDir, Capacity: pool.Capacity{CPU: 8, Memory: 8 << 30},
	})
	if err != nil {
		b.Fatal(err)
	}
	hosts.Add(1)
	b.Cleanup(h.close)
	return h
}

// BenchmarkHostCall is a call through the host and back, without Python.
func BenchmarkHostCall(b *testing.B) {
	h := echoHost(b)
	a := h.start("functions", app.Function{Name: "square"})
	c := a.dial()
	in := args(7)
	c.call("square", in)
	b.ReportAllocs()
	for b.Loop() {
		c.call("square", in)
	}
	b.StopTimer()
	c.close()
}

// BenchmarkHostMap is one call with many inputs, likewise.
func BenchmarkHostMap(b *testing.B) {
	h := echoHost(b)
	a := h.start("functions", app.Function{Name: "square", Scaling: app.Scaling{Min: 4, Max: 4}})
	c := a.dial()
	waitForContainers(b, h, 4)
	b.ReportAllocs()
	b.ResetTimer()
	mapInputs(b, c)
	b.StopTimer()
	c.close()
}

func waitForContainers(b *testing.B, h *host, n int) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		ready := 0
		for _, k := range h.Containers() {
			if k.State == "ready" {
				ready++
			}
		}
		if ready >= n {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("%d containers are ready", ready)
		}
	}
}
