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
	"strconv"
	"strings"
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
	jail, err := jailOf(ctx, "bench-web")
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, one := range []struct{ name, what, target string }{
		{"bare", "bare ASGI", "applications:bare"}, {"fast", "FastAPI", "applications:web"},
	} {
		peer, err := jail.uvicorn(ctx, "/root", one.target)
		if err != nil {
			return nil, err
		}
		got, err := hammered(ctx, one.what, urls[one.name], peer.url)
		peer.stop()
		if err != nil {
			return nil, err
		}
		rows = append(rows, got...)
	}
	sockets, err := manySockets(ctx, urls["bare"])
	return append(rows, sockets...), err
}

// hammered drives both sides by turns.
func hammered(ctx context.Context, what, ours, theirs string) ([]row, error) {
	const rounds = 3
	var a, b, one, other []load
	for _, url := range []string{ours, theirs} { // warm up
		if _, err := wrk(ctx, url, 16, time.Second); err != nil {
			return nil, err
		}
	}
	for range rounds {
		for _, side := range []struct {
			url          string
			many, single *[]load
		}{{ours, &a, &one}, {theirs, &b, &other}} {
			many, err := wrk(ctx, side.url, 16, 4*time.Second)
			if err != nil {
				return nil, err
			}
			single, err := wrk(ctx, side.url, 1, 2*time.Second)
			if err != nil {
				return nil, err
			}
			*side.many, *side.single = append(*side.many, many), append(*side.single, single)
		}
	}
	rate := func(l load) float64 { return l.rate }
	p50 := func(l load) float64 { return l.p50 }
	p99 := func(l load) float64 { return l.p99 }
	of := func(list []load, f func(load) float64) float64 {
		var values []float64
		for _, l := range list {
			values = append(values, f(l))
		}
		return median(values)
	}
	rates, slow := of(a, rate)/of(b, rate), of(a, p99)/of(b, p99)
	return []row{
		{What: what + ", requests a second", Ours: fmt.Sprintf("%.0f/s", of(a, rate)), Peer: fmt.Sprintf("uvicorn: %.0f/s", of(b, rate)), Ratio: rates, Aim: "1x", Owe: "0.8x", Good: above(rates, 1, 0.8)},
		{What: "  p99 of 16 connections", Ours: ms(of(a, p99)), Peer: "uvicorn: " + ms(of(b, p99)), Ratio: slow, Aim: "1.5x", Owe: "2x", Good: below(slow, 1.5, 2)},
		{What: "  one connection, p50", Ours: ms(of(one, p50)), Peer: "uvicorn: " + ms(of(other, p50)), Ratio: of(one, p50) / of(other, p50)},
	}, nil
}

// load is what wrk tells: requests a second, and milliseconds.
type load struct{ rate, p50, p99 float64 }

var (
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
	if l.rate == 0 || l.p99 == 0 {
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
	stderr *bytes.Buffer
	url    string
}

// startApp runs gx with what ends when its standard input does.
func startApp(ctx context.Context, l *lab, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, l.gx, args...)
	cmd.Env = l.env
	return start(cmd)
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, stderr: &bytes.Buffer{}}
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

// jail is the file system of a running container.
type jail struct{ root string }

// jailOf waits for a container of an app.
func jailOf(ctx context.Context, app string) (jail, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return jail{}, err
		}
		for _, e := range entries {
			environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
			if bytes.Contains(environ, []byte("GX_APP_NAME="+app+"\x00")) {
				return jail{"/proc/" + e.Name() + "/root"}, nil
			}
		}
		select {
		case <-ctx.Done():
			return jail{}, errors.New("no container of " + app + " has come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// uvicorn starts one in the container's file system, on the machine's network.
func (j jail) uvicorn(ctx context.Context, dir, target string, more ...string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
