//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// web: a small JSON endpoint with one container, driven by wrk, against uvicorn
// with one worker: the same application, the same image, without isolation and
// asked directly.
func web(ctx context.Context, l *lab) ([]row, error) {
	app, err := startApp(ctx, l, "run", filepath.Join(l.apps, "web", "serve.py"))
	if err != nil {
		return nil, err
	}
	defer app.stop()
	line, err := app.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the app did not say where it is: %w\n%s", err, app.stderr.String())
	}
	var urls map[string]string
	if err := json.Unmarshal([]byte(line), &urls); err != nil {
		return nil, fmt.Errorf("%w: %q", err, line)
	}
	host, err := hostOf(l)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, one := range []struct{ name, what, target string }{
		{"bare", "bare ASGI", "applications:bare"}, {"fast", "FastAPI", "applications:web"},
	} {
		jail, err := jailOf(ctx, "bench-web", one.name)
		if err != nil {
			return nil, err
		}
		peer, err := jail.uvicorn(ctx, "/root", one.target)
		if err != nil {
			return nil, err
		}
		got, err := hammered(ctx, one.what, urls[one.name], peer.url, []string{host, jail.pid}, []string{strconv.Itoa(peer.cmd.Process.Pid)})
		peer.stop()
		if err != nil {
			return nil, err
		}
		rows = append(rows, got...)
	}
	sockets, err := manySockets(ctx, urls["bare"])
	return append(rows, sockets...), err
}

// hammered drives both sides by turns, short ones: other work on the machine
// harms both alike. The ratio is the median of the turns' own.
func hammered(ctx context.Context, what, ours, theirs string, own, other []string) ([]row, error) {
	const rounds = 9
	for _, url := range []string{ours, theirs} { // warm up
		if _, err := wrk(ctx, url, 16, time.Second); err != nil {
			return nil, err
		}
	}
	var a, b turns
	for range rounds {
		if err := a.turn(ctx, ours, own); err != nil {
			return nil, err
		}
		if err := b.turn(ctx, theirs, other); err != nil {
			return nil, err
		}
	}
	rate, slow := paired(a.rate, b.rate), paired(a.p99, b.p99)
	return []row{
		{What: what + ", requests a second", Ours: fmt.Sprintf("%.0f/s", median(a.rate)), Peer: fmt.Sprintf("uvicorn: %.0f/s", median(b.rate)), Ratio: median(rate), Spread: spread(rate), Aim: "1x", Owe: "0.8x", Good: above(median(rate), 1, 0.8)},
		{What: "  p99 of 16 connections", Ours: ms(median(a.p99)), Peer: "uvicorn: " + ms(median(b.p99)), Ratio: median(slow), Spread: spread(slow), Aim: "1.5x", Owe: "2x", Good: below(median(slow), 1.5, 2)},
		{What: "  one connection, p50", Ours: us(1000 * median(a.single)), Peer: "uvicorn: " + us(1000*median(b.single)), Ratio: median(paired(a.single, b.single))},
		{What: "  so much the gateway adds", Ours: us(1000 * median(apart(a.single, b.single)))},
		{What: "  processor time of a request, host and runner", Ours: fmt.Sprintf("%.0f µs", median(a.cpu)), Peer: fmt.Sprintf("uvicorn: %.0f µs", median(b.cpu)), Ratio: median(paired(a.cpu, b.cpu))},
	}, nil
}

// turns are one side's figures: of 16 connections, of one, and microseconds of
// processor time.
type turns struct{ rate, p99, single, cpu []float64 }

func (t *turns) turn(ctx context.Context, url string, processes []string) error {
	before, err := used(processes)
	if err != nil {
		return err
	}
	many, err := wrk(ctx, url, 16, 2*time.Second)
	if err != nil {
		return err
	}
	after, err := used(processes)
	if err != nil {
		return err
	}
	one, err := wrk(ctx, url, 1, time.Second)
	if err != nil {
		return err
	}
	t.rate, t.p99, t.single = append(t.rate, many.rate), append(t.p99, many.p99), append(t.single, one.p50)
	t.cpu = append(t.cpu, (after-before)*1e6/many.count)
	return nil
}

// used is the processor time of processes, in seconds.
func used(processes []string) (total float64, err error) {
	for _, pid := range processes {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] { // utime, stime in hundredths of a second
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, err
			}
			total += ticks / 100
		}
	}
	return total, nil
}

func paired(a, b []float64) (ratios []float64) {
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

func apart(a, b []float64) (differences []float64) {
	for i := range a {
		differences = append(differences, a[i]-b[i])
	}
	return differences
}

func spread(ratios []float64) string {
	return fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios))
}

// load is what wrk tells: requests a second, and milliseconds.
type load struct{ count, rate, p50, p99 float64 }

var (
	wrkCount   = regexp.MustCompile(`(\d+) requests in`)
	wrkRate    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkShare   = regexp.MustCompile(`(50|99)%\s+([0-9.]+)(us|ms|s)`)
	wrkBad     = regexp.MustCompile(`(?m)^\s*(Non-2xx.*|Socket errors.*)$`)
	wrkFactors = map[string]float64{"us": 0.001, "ms": 1, "s": 1000}
)

// wrk drives a URL. Its name is resolved here: wrk asks a resolver that knows
// nothing of names below localhost.
func wrk(ctx context.Context, url string, connections int, duration time.Duration) (load, error) {
	host, rest := strings.CutPrefix(url, "http://")
	if !rest {
		return load{}, fmt.Errorf("%s is no http URL", url)
	}
	name, path, _ := strings.Cut(host, "/")
	_, port, err := net.SplitHostPort(name)
	if err != nil {
		return load{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(int(duration.Seconds()))+"s", "--latency",
		"-H", "Host: "+name, "http://127.0.0.1:"+port+"/"+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if bad := wrkBad.Find(out); bad != nil {
		return load{}, fmt.Errorf("wrk of %s: %s", url, bytes.TrimSpace(bad))
	}
	var l load
	if m := wrkRate.FindSubmatch(out); m != nil {
		l.rate, _ = strconv.ParseFloat(string(m[1]), 64)
	}
	for _, m := range wrkShare.FindAllSubmatch(out, -1) {
		value, _ := strconv.ParseFloat(string(m[2]), 64)
		if value *= wrkFactors[string(m[3])]; string(m[1]) == "50" {
			l.p50 = value
		} else {
			l.p99 = value
		}
	}
	if m := wrkCount.FindSubmatch(out); m != nil {
		l.count, _ = strconv.ParseFloat(string(m[1]), 64)
	}
	if l.rate == 0 || l.count == 0 || l.p99 == 0 {
		return load{}, fmt.Errorf("wrk said something else:\n%s", out)
	}
	return l, nil
}

// manySockets opens 200 WebSockets and leaves them idle: what they cost.
func manySockets(ctx context.Context, url string) ([]row, error) {
	const count = 200
	at, err := neturl.Parse(url)
	if err != nil {
		return nil, err
	}
	at.Scheme = "ws"
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+at.Port())
	}}
	echo := func(c *websocket.Conn) error {
		if err := c.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
			return err
		}
		_, text, err := c.ReadMessage()
		if err == nil && string(text) != "x" {
			err = fmt.Errorf("%q came back", text)
		}
		return err
	}
	var list []*websocket.Conn
	defer func() {
		for _, c := range list {
			_ = c.Close()
		}
	}()
	began := time.Now()
	for range count {
		c, res, err := dialer.DialContext(ctx, at.String()+"/", nil)
		if err != nil {
			return nil, fmt.Errorf("the WebSocket number %d: %w", len(list)+1, err)
		}
		_ = res.Body.Close()
		list = append(list, c)
		if err := echo(c); err != nil {
			return nil, err
		}
	}
	opened := time.Since(began)
	time.Sleep(2 * time.Second)
	var took []float64
	for _, c := range list {
		began := time.Now()
		if err := echo(c); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return []row{{What: fmt.Sprintf("%d idle WebSockets, to open one", count), Ours: ms(float64(opened.Microseconds()) / 1000 / count)}, {What: "  a message there and back, p50", Ours: ms(median(took))}}, nil
}

// process is a program that runs beside the benchmark.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	out    *bufio.Reader
	stderr *printed
	url    string
}

// printed is what a program that runs has printed.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// startApp runs gx with what ends when its standard input does.
func startApp(ctx context.Context, l *lab, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, l.gx, args...)
	cmd.Env = l.env
	return start(cmd)
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, stderr: &printed{}}
	cmd.Stderr = p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(stdout)
	return p, cmd.Start()
}

func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	timer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait() // how it ends is of no interest
}

// jail is the file system of a running container, by its first process.
type jail struct{ pid, root string }

// jailOf waits for a container of a function.
func jailOf(ctx context.Context, app, function string) (jail, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		pid, err := processWith("GX_APP_NAME="+app, "GX_FUNCTION="+function)
		if err != nil {
			return jail{}, err
		}
		if pid != "" {
			return jail{pid, filepath.Join("/proc", pid, "root")}, nil
		}
		select {
		case <-ctx.Done():
			return jail{}, errors.New("no container of " + app + " has come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// hostOf is the process of the lab's host.
func hostOf(l *lab) (pid string, err error) {
	pid, err = processWith("GX_RUNTIME_DIR="+filepath.Join(l.dir, "run"), "GX_STATE_DIR=", "_=host")
	if err == nil && pid == "" {
		err = errors.New("the lab's host is not found")
	}
	return pid, err
}

// processWith finds a process by its environment; "_=host" stands for one whose
// command is `gx host start`.
func processWith(variables ...string) (pid string, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		all := len(environ) > 0
		for _, v := range variables {
			if v == "_=host" {
				all = all && bytes.Contains(command, []byte("\x00host\x00start"))
			} else {
				all = all && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+v))
			}
		}
		if all {
			return e.Name(), nil
		}
	}
	return "", nil
}

// uvicorn starts one in the container's file system, on the machine's network.
func (j jail) uvicorn(ctx context.Context, dir, target string, more ...string) (*process, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	args := append([]string{j.root, "/bin/sh", "-c", `cd "$0" && exec python3 -m uvicorn "$@"`, dir, target, "--host", "127.0.0.1", "--port", port, "--workers", "1", "--no-access-log", "--log-level", "warning"}, more...)
	cmd := exec.CommandContext(ctx, "chroot", args...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	p.url = "http://127.0.0.1:" + port
	for range 400 {
		if res, err := http.Get(p.url); err == nil { //nolint:noctx // it is over in a moment
			_ = res.Body.Close()
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("uvicorn does not answer:\n%s", p.stderr.String())
}
