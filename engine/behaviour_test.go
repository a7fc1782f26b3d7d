package engine

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

func TestGenerator(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "count", Generator: true})
		c := a.dial()
		defer c.close()
		number := c.open("generator", "count", "", args(100))
		want := 0
		for {
			f := c.read()
			if f.Type == wire.Opened {
				continue
			}
			if f.Call != number || f.Type != wire.Item {
				if want != 100 || f.Type != wire.Result {
					t.Fatalf("after %d items %v came", want, f.Type)
				}
				break
			}
			if got := unpickle(f.Body); got != want {
				t.Fatalf("item %v came, want %d", got, want)
			}
			want++
		}
	})
}

func TestClass(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "Model", Class: true, Methods: []app.Method{{Name: "double"}, {Name: "triple"}}})
		c := a.dial()
		for range 3 {
			c.expect(c.collect(c.open("call", "Model", "double", args(7)))[0], 14)
			c.expect(c.collect(c.open("call", "Model", "triple", args(7)))[0], 21)
		}
		got := c.collect(c.open("call", "Model", "absent", args(7)))
		if kind, message := c.failure(got[0]); kind != wire.FailRefused || !strings.Contains(message, `no method "absent"`) {
			t.Errorf("%s: %s", kind, message)
		}
		c.close()
		a.stop(false)
		if !strings.Contains(a.text(), "stdout: bye") {
			t.Errorf("the exit hook did not run:\n%s", a.text())
		}
	})
}

func TestEnvironment(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "whoami", Env: map[string]string{"FROM_FUNCTION": "too", "GX_FUNCTION": "lies"}})
		c := a.dial()
		defer c.close()
		c.expect(c.call("whoami", args(0)), "whoami yes too")
	})
}

func TestLargePayloads(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "length"}, app.Function{Name: "big"})
		c := a.dial()
		defer c.close()
		const size = 50 << 20
		payload := args(bytes.Repeat([]byte("x"), size))
		file, err := wire.NewFile()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(payload); err != nil {
			t.Fatal(err)
		}
		open, err := wire.JSON(wire.Open, 77, 0, wire.OpenBody{Function: a.Started().Functions["length"], Kind: "call"})
		if err != nil {
			t.Fatal(err)
		}
		c.write(open, wire.Frame{Header: wire.Header{Type: wire.Input, Call: 77}, File: file, FileSize: int64(len(payload))},
			wire.Frame{Header: wire.Header{Type: wire.End, Call: 77, Index: 1}})
		_ = file.Close()
		c.expect(c.collect(77)[0], size)
		f := c.call("big", args(size))
		if f.File == nil {
			t.Error("a large result did not come as a descriptor")
		}
		c.expect(f, size)
		waitFor(t, "the end of all memory files", func() bool { return openFiles(t) == 0 })
	})
}

// openFiles counts this process' payload files.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); strings.Contains(to, "gx-payload") {
			n++
		}
	}
	return n
}

// plain hides that a connection is a unix socket.
type plain struct{ net.Conn }

func TestPiecesOverAPlainConnection(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "length"}, app.Function{Name: "big"})
	near, far := socketPair(t)
	done := make(chan error, 1)
	go func() { done <- h.ServeClient(t.Context(), a.ID(), plain{far}) }()
	c := &client{t: t, conn: near, r: wire.NewReader(near), w: wire.NewWriter(near), done: done, app: a}
	hello, _ := wire.JSON(wire.Hello, 0, 0, wire.HelloBody{Protocol: wire.Protocol, Role: "client"})
	c.write(hello)
	var ready wire.ReadyBody
	if f := c.read(); f.Decode(&ready) != nil || ready.Descriptors {
		t.Errorf("%+v", ready)
	}
	const size = 3 << 20
	open, _ := wire.JSON(wire.Open, 1, 0, wire.OpenBody{Function: a.Started().Functions["length"], Kind: "call"})
	c.write(open)
	payload := args(bytes.Repeat([]byte("x"), size))
	for len(payload) > 0 {
		n := min(len(payload), 1<<20)
		f := wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1}, Body: payload[:n]}
		if payload = payload[n:]; len(payload) > 0 {
			f.Flags = wire.FlagMore
		}
		c.write(f)
	}
	c.write(wire.Frame{Header: wire.Header{Type: wire.End, Call: 1, Index: 1}})
	c.expect(c.collect(1)[0], size)

	c.next = 1
	number := c.open("call", "big", "", args(size))
	var joiner wire.Joiner
	for {
		f := c.read()
		if f.Call != number || f.File != nil {
			t.Fatalf("%v of call %d", f.Type, f.Call)
		}
		whole, ok, err := joiner.Add(f)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			c.expect(whole, size)
			break
		}
	}
	c.close()
}

func TestSpawn(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "slow"}, app.Function{Name: "fails"}, app.Function{Name: "big"})
		c := a.dial()
		spawn := func(function string, input any) string {
			number := c.open("spawn", function, "", args(input))
			f := c.read()
			var opened wire.OpenedBody
			if f.Type != wire.Opened || f.Call != number || f.Decode(&opened) != nil || !strings.HasPrefix(opened.CallID, "fc-") {
				t.Fatalf("%v came: %+v", f.Type, opened)
			}
			return opened.CallID
		}
		slow := spawn("slow", 0.5)
		fails := spawn("fails", 1)
		big := spawn("big", 1<<20)
		forever := spawn("slow", 60.0)
		c.close() // the calls go on

		c = a.dial()
		defer c.close()
		request := func(op string, params map[string]any) (answer *wire.Frame, result map[string]any, fail *wire.FailBody) {
			c.next++
			f, err := wire.JSON(wire.Request, c.next, 0, wire.RequestBody{Op: op, Params: params})
			if err != nil {
				t.Fatal(err)
			}
			c.write(f)
			for {
				f := c.read()
				if f.Call != c.next {
					t.Fatalf("%v of %d came", f.Type, f.Call)
				}
				if f.Type != wire.Reply {
					answer = &f
					continue
				}
				var body struct {
					Result map[string]any `json:"result"`
					Error  *wire.FailBody `json:"error"`
				}
				if err := json.Unmarshal(f.Body, &body); err != nil {
					t.Fatal(err)
				}
				return answer, body.Result, body.Error
			}
		}
		if answer, result, _ := request("call.get", map[string]any{"call_id": forever, "timeout": 0}); answer != nil || result["status"] != "pending" {
			t.Errorf("%v, %v", answer, result)
		}
		if answer, result, _ := request("call.get", map[string]any{"call_id": forever, "timeout": 0.05}); answer != nil || result["status"] != "pending" {
			t.Errorf("%v, %v", answer, result)
		}
		for range 2 { // an answer can be had more than once
			answer, result, _ := request("call.get", map[string]any{"call_id": slow, "timeout": nil})
			if result["status"] != "done" {
				t.Fatal(result)
			}
			c.expect(*answer, 0.5)
			answer, _, _ = request("call.get", map[string]any{"call_id": big, "index": 0})
			c.expect(*answer, 1<<20)
		}
		answer, _, _ := request("call.get", map[string]any{"call_id": fails})
		if kind, _ := c.failure(*answer); kind != "ValueError" {
			t.Error(kind)
		}
		_, result, _ := request("call.info", map[string]any{"call_id": slow})
		if result["function"] != "slow" || result["inputs"] != 1.0 || result["answered"] != 1.0 || result["done"] != true {
			t.Errorf("%v", result)
		}
		if _, _, fail := request("call.cancel", map[string]any{"call_id": forever}); fail != nil {
			t.Error(fail)
		}
		answer, _, _ = request("call.get", map[string]any{"call_id": forever})
		if kind, _ := c.failure(*answer); kind != wire.FailCancelled {
			t.Error(kind)
		}
		for op, want := range map[string]string{"call.get": wire.FailNotFound, "no.such": wire.FailRefused} {
			if _, _, fail := request(op, map[string]any{"call_id": "fc-none"}); fail == nil || fail.Kind != want {
				t.Errorf("%s: %+v", op, fail)
			}
		}
		if _, _, fail := request("call.get", map[string]any{"call_id": slow, "index": 5}); fail == nil || fail.Kind != wire.FailNotFound {
			t.Errorf("%+v", fail)
		}
	})
}

func TestClientGone(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "slow", Scaling: app.Scaling{Max: 1}})
		c := a.dial()
		c.expect(c.call("slow", args(0.0)), 0.0)
		var inputs [][]byte
		for range 50 {
			inputs = append(inputs, args(60.0))
		}
		c.open("map", "slow", "", inputs...)
		for !a.pools()[0].Busy() {
			time.Sleep(time.Millisecond)
		}
		c.close()
		c = a.dial()
		defer c.close()
		begun := time.Now()
		c.expect(c.call("slow", args(0.0)), 0.0)
		if took := time.Since(begun); took > 50*time.Second {
			t.Errorf("inputs of a client that has gone were in the way for %v", took)
		}
		h.allEnded()
	})
}

func TestCancelOneInput(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "slow"})
	c := a.dial()
	defer c.close()
	number := c.open("map", "slow", "", args(60.0), args(0.1), args(60.0))
	for _, index := range []uint32{0, 2} {
		f, _ := wire.JSON(wire.Cancel, number, index, nil)
		c.write(f)
	}
	got := c.collect(number)
	c.expect(got[1], 0.1)
	for _, index := range []uint32{0, 2} {
		if kind, _ := c.failure(got[index]); kind != wire.FailCancelled {
			t.Errorf("input %d: %s", index, kind)
		}
	}
}

// TestScaling is the hello of the user's source document: five inputs, one warm
// container, whose call took half a second. All of them run at the same time.
func TestScaling(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "meet"}, app.Function{Name: "square"})
		c := a.dial()
		c.expect(c.call("meet", args(0)), 0)
		for _, f := range c.collect(c.open("map", "meet", "", args(5), args(5), args(5), args(5), args(5))) {
			c.expect(f, 5)
		}
		var inputs [][]byte
		for i := range 20_000 {
			inputs = append(inputs, args(i))
		}
		c.collect(c.open("map", "square", "", inputs...))
		n := 0
		for _, k := range h.Containers() {
			if k.Function == "square" {
				n++
			}
		}
		if n > 2*h.host.Probe { // twice: on a busy machine they look slow at first
			t.Errorf("%d containers for trivial inputs", n)
		}
		c.close()
		bill := a.stop(false)
		if i := slices.IndexFunc(bill.Usage, func(u api.Usage) bool { return u.Function == "meet" }); bill.Usage[i].Containers != 5 {
			t.Errorf("%d containers ran 5 inputs at once", bill.Usage[i].Containers)
		}
	})
}

// TestStall: inputs that were given ahead, because others took microseconds, do
// not wait for one that takes long: until all others are answered.
func TestStall(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "held", Scaling: app.Scaling{Min: 2, Max: 2}})
		c := a.dial()
		defer c.close()
		var inputs [][]byte
		for i := range 3000 {
			inputs = append(inputs, args(0))
			if i == 1000 {
				inputs[i] = args(1)
			}
		}
		number := c.open("map", "held", "", inputs...)
		begun := time.Now()
		for answered := 0; answered < len(inputs); {
			f := c.read()
			if f.Call != number || f.Type == wire.Opened {
				continue
			}
			want := 0
			if f.Index == 1000 {
				want = 1
			}
			c.expect(f, want)
			if answered++; answered == len(inputs)-1 {
				h.release()
			}
		}
		t.Logf("took %v", time.Since(begun))
	})
}

func TestWaitingForCapacity(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "held", Memory: app.Limit{Request: 6000}, Scaling: app.Scaling{Max: 3}},
		app.Function{Name: "square", Memory: app.Limit{Request: 6000}}, app.Function{Name: "pid", Memory: app.Limit{Request: 1e6}, CPU: app.Limit{Request: 1000}})
	c := a.dial()
	number := c.open("call", "held", "", args(1))
	waitFor(t, "a container", func() bool { return len(h.Containers()) == 1 })
	// It waits for the first, whose container is then reclaimed.
	other := c.open("call", "square", "", args(5))
	waitFor(t, "word of what it waits for", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.ContainsFunc(a.events, func(e api.SessionMessage) bool {
			return e.Waiting != nil && e.Waiting.Function == "square" && strings.Contains(e.Waiting.For, "of memory")
		})
	})
	h.release()
	c.expect(c.collect(number)[0], 1)
	c.expect(c.collect(other)[0], 25)
	if f := c.call("pid", args(0)); f.Type != wire.Result { // asks for more than there is
		t.Errorf("%v", f.Type)
	}
	c.close()
	a.stop(false)
	if !strings.Contains(a.text(), "it asks for more than this host has") {
		t.Errorf("%s", a.text())
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
	}
}

func TestScaledown(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "square", Scaling: app.Scaling{Window: 0.1}}, app.Function{Name: "pid", MaxInputs: 1})
	c := a.dial()
	defer c.close()
	c.expect(c.call("square", args(1)), 1)
	waitFor(t, "the end of an idle container", func() bool { return len(h.Containers()) == 0 })
	first, second := unpickle(c.call("pid", args(0)).Body), unpickle(c.call("pid", args(0)).Body)
	if first == second {
		t.Error("a container took more inputs than it may")
	}
}

func TestManyLines(t *testing.T) {
	h := newHost(t, "process")
	a := h.start("functions", app.Function{Name: "gigabyte"})
	c := a.dial()
	f := c.call("gigabyte", args(300_000)) // 300 MB
	c.expect(f, 300_000)
	if f.Logged < 300_000 {
		t.Errorf("the result comes after line %d", f.Logged)
	}
	used, err := h.logs.Usage()
	// All of it is kept while the app runs, and little more than all of it.
	if err != nil || used < 280<<20 || used > 400<<20 {
		t.Errorf("%d MiB of log, %v", used>>20, err)
	}
	c.close()
	a.stop(false)
}

func TestStopIgnoringFunction(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "Stubborn", Class: true, Methods: []app.Method{{Name: "stay"}}})
		c := a.dial()
		c.open("call", "Stubborn", "stay", args(600.0))
		waitFor(t, "its start", func() bool { l := h.Containers(); return len(l) == 1 && l[0].Running == 1 })
		begun := time.Now()
		a.stop(true)
		if took := time.Since(begun); took > 25*time.Second { // a class that is not stopped at once has 30 s
			t.Errorf("stopping at once took %v", took)
		}
		if len(h.Apps()) != 0 {
			t.Error("the app is still there")
		}
		if _, idle := h.IdleSince(); !idle {
			t.Error("the host is not idle")
		}
		_ = c.conn.Close()
		<-c.done //nolint:errcheck // how it ended does not matter
	})
}

func TestConcurrency(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "meet", Concurrency: 10, Scaling: app.Scaling{Max: 1}})
		c := a.dial()
		defer c.close()
		c.expect(c.call("meet", args(0)), 0)
		var inputs [][]byte
		for range 10 {
			inputs = append(inputs, args(10))
		}
		for _, f := range c.collect(c.open("map", "meet", "", inputs...)) {
			c.expect(f, 10)
		}
	})
}

func TestCallsFromContainers(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("nested", app.Function{Name: "inner"}, app.Function{Name: "outer"}, app.Function{Name: "fib"})
		c := a.dial()
		defer c.close()
		c.expect(c.call("outer", args(10)), 55+101)
		c.expect(c.call("fib", args(5)), 5)
		h.allEnded()
	})
}
