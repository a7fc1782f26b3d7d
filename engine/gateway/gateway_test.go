package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/wire"
)

func TestLocate(t *testing.T) {
	for _, one := range []struct {
		host, path string
		want       place
	}{
		{"shop.localhost:7272", "/a/b", place{label: "shop", path: "/a/b", known: true}},
		{"SHOP.LocalHost.", "/", place{label: "shop", path: "/", known: true}},
		{"localhost:7272", "/shop/a%20b", place{label: "shop", root: "/shop", path: "/a%20b", known: true}},
		{"127.0.0.1:7272", "/shop", place{label: "shop", root: "/shop", path: "/", known: true}},
		{"127.1.2.3", "/shop/", place{label: "shop", root: "/shop", path: "/", known: true}},
		{"[::1]:7272", "/", place{path: "/", known: true}},
		{"localhost", "//x", place{path: "/x", known: true}},
		{"example.com", "/shop/", place{}},
		{"localhost.example.com", "/shop/", place{}},
		{"10.0.0.1", "/shop/", place{}},
		{".localhost", "/", place{path: "/"}},
		{"", "/shop/", place{}},
	} {
		require.Equal(t, one.want, locate(one.host, one.path), "%s%s", one.host, one.path)
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("shop.localhost:1", "/x")
	f.Add("[::1%25lo]:80", "//")
	f.Fuzz(func(t *testing.T, host, path string) {
		if p := locate(host, path); p.known && p.root != "" && p.root != "/"+p.label {
			t.Errorf("%+v", p)
		}
	})
}

func TestLabels(t *testing.T) {
	for _, label := range []string{"a", "a-b", "0", strings.Repeat("a", 63)} {
		require.NoError(t, CheckLabel(label))
	}
	for _, label := range []string{"", "-a", "a-", "A", "a.b", "a_b", "é", strings.Repeat("a", 64), "a\n"} {
		require.Error(t, CheckLabel(label), "%q", label)
	}
	require.Equal(t, "my-app-f-dev", DefaultLabel("My App", "f", "", true))
	require.Equal(t, "app-model-ask", DefaultLabel("app", "Model", "ask", false))
	long := strings.Repeat("x", 100)
	one, other := DefaultLabel(long, "f", "", true), DefaultLabel(long, "g", "", true)
	require.NotEqual(t, one, other)
	require.NoError(t, CheckLabel(one))
	require.True(t, strings.HasSuffix(one, "-dev"))
}

// target is a function whose containers a test is.
type target struct {
	answer func(in *call.Input, frames chan wire.Frame)
	gone   chan struct{}
	once   sync.Once

	mu     sync.Mutex
	frames map[*call.Input]chan wire.Frame
}

func (f *target) Name() string   { return "f" }
func (f *target) Module() string { return "app" }
func (f *target) Release()       {}

func (f *target) Submit(list []*call.Input) {
	for _, in := range list {
		frames := make(chan wire.Frame, 100)
		f.mu.Lock()
		f.frames[in] = frames
		f.mu.Unlock()
		go f.answer(in, frames)
	}
}

func (f *target) Cancel(*call.Call, uint32, bool) {}

func (f *target) Stream(in *call.Input, frames ...wire.Frame) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fr := range frames {
		f.frames[in] <- fr
	}
	return true
}

func (f *target) HangUp(*call.Input) { f.once.Do(func() { close(f.gone) }) }

func serving(t *testing.T, answer func(*target, *call.Input, chan wire.Frame)) (*Gateway, *target) {
	t.Helper()
	g := New(Config{Registry: call.NewRegistry(clock.Real{}, nil), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Addr: "127.0.0.1:0"})
	t.Cleanup(g.Close)
	f := &target{frames: map[*call.Input]chan wire.Frame{}, gone: make(chan struct{})}
	f.answer = func(in *call.Input, frames chan wire.Frame) { answer(f, in, frames) }
	require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{endpoint(f, "ap-1", "shop", "f", "shop")}))
	return g, f
}

func endpoint(f *target, id, name, function, label string) Endpoint {
	return Endpoint{
		Label: label, App: id, AppName: name, Function: function, Web: app.Web{Kind: app.WebASGI},
		Target: func(string) (call.Streams, error) {
			if f == nil {
				return nil, errors.New("there is none")
			}
			return f, nil
		},
		Log: func([]api.LogLine) {},
	}
}

func reply(in *call.Input, t wire.Type, body []byte) {
	in.Done = t == wire.Result || t == wire.Error || t == wire.Fail
	call.Deliver([]call.Answer{{Input: in, Frame: wire.Frame{Header: wire.Header{Type: t, Attempt: 1}, Body: body}}})
}

// response is the body of a WebResponse.
func response(status int, body string, more bool) []byte {
	head := fmt.Sprint(status, "\ncontent-length\n", 8)
	n := uint32(len(head))
	if more {
		n |= 1 << 31
	}
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}, head+body...)
}

// ask is what comes back on a connection of its own, until its end; half says
// that the client's side ends first.
func (g *Gateway) ask(t *testing.T, text string, half ...bool) (status string, rest string) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.listening()))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	if len(half) > 0 && half[0] {
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	}
	data, _ := io.ReadAll(bufio.NewReader(conn)) // it may be cut
	status, rest, _ = strings.Cut(string(data), "\r\n")
	return status, rest
}

func TestRequests(t *testing.T) {
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		reply(in, wire.WebResponse, response(200, "12345678", false))
		reply(in, wire.Result, nil)
	})
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n":                                 "200",
		"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":                                 "200",
		"GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n":                                "404",
		"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n":                                   "421",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n":                                   "400",
		"GET / HTTP/1.1\r\nConnection: close\r\n\r\n":                                                         "400",
		"GET / HTTP/9.9\r\nHost: shop.localhost\r\n\r\n":                                                      "505",
		"\x16\x03\x01\x00\xa5\r\n\r\n":                                                                        "400",
		"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n":            "431",
		"GET /__gx/swagger-ui/LICENSE HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n":          "200",
		"GET /__gx/swagger-ui/../x HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n":             "404",
		"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n": "413",
	} {
		status, rest := g.ask(t, request)
		require.Contains(t, status, " "+want, "%.80q\n%s", request, rest)
	}
}

// A client that is sent to ask again stays at this host, whatever its path.
func TestRedirectsHere(t *testing.T) {
	asked := make(chan struct{})
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		<-asked
		reply(in, wire.WebResponse, response(200, "12345678", false))
		reply(in, wire.Result, nil)
	})
	g.cfg.Redirect = time.Millisecond
	const request = "GET //evil.example/x%s HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n"
	status, rest := g.ask(t, fmt.Sprintf(request, "?a=1"))
	require.Contains(t, status, " 303")
	_, location, _ := strings.Cut(rest, "Location: ")
	location, _, _ = strings.Cut(location, "\r\n")
	require.Regexp(t, `^\?__gx_result=[0-9a-f]{32}&a=1$`, location)
	close(asked)
	g.cfg.Redirect = time.Minute
	status, rest = g.ask(t, fmt.Sprintf(request, location))
	require.Contains(t, status, " 200")
	require.Contains(t, rest, "12345678")
}

// A response that ends in its middle is cut: it is not to be taken for a whole.
func TestCutResponses(t *testing.T) {
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		reply(in, wire.WebResponse, response(200, "1234", true))
		fail, err := wire.JSON(wire.Fail, 0, 0, wire.FailBody{Kind: wire.FailLost, Message: "it died"})
		if err != nil {
			t.Error(err)
		}
		reply(in, wire.Fail, fail.Body)
	})
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/shop/", g.listening())) //nolint:noctx // a test
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
	}
	require.Error(t, err)
}

// An application that says a length that its response does not have is told so,
// and its client does not take the response for a whole one.
func TestWrongLengths(t *testing.T) {
	var mu sync.Mutex
	var said []string
	g, f := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		path, _ := pathOf(in)
		first, then, _ := strings.Cut(path[1:], "-")
		status := 200
		if first == "" {
			status = 304
		}
		reply(in, wire.WebResponse, answerWith(status, first, then != "", "content-length", "3"))
		for then != "" {
			piece, rest, more := strings.Cut(then, "-")
			kind := wire.WebData
			if !more {
				kind = wire.WebEnd
			}
			reply(in, kind, []byte(piece))
			then = rest
		}
		reply(in, wire.Result, nil)
	})
	e := endpoint(f, "ap-1", "shop", "f", "shop")
	e.Log = func(lines []api.LogLine) {
		mu.Lock()
		defer mu.Unlock()
		for _, l := range lines {
			said = append(said, l.Text)
		}
	}
	require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{e}))
	for path, want := range map[string]string{
		"abc": "200", "a-bc": "200", "a-b-c": "200", "": "304", "ab": "502", "abcd": "502", "abcd-": "502", "a-b": "cut", "a-bcd": "cut",
	} {
		mu.Lock()
		said = nil
		mu.Unlock()
		status, rest := g.ask(t, "GET /shop/"+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		mu.Lock()
		told := strings.Contains(strings.Join(said, "\n"), "Content-Length of 3")
		mu.Unlock()
		switch want {
		case "200":
			require.Contains(t, status, " 200", path)
			require.True(t, strings.HasSuffix(rest, "\r\n\r\nabc"), "%s: %q", path, rest)
			require.False(t, told, path)
		case "cut":
			require.NotContains(t, rest, "\r\n\r\nabc", path)
			require.True(t, told, path)
		default:
			require.Contains(t, status, " "+want, path)
			require.Equal(t, want == "502", told, path)
		}
	}
}

// A client that leaves is told to the container.
func TestDisconnect(t *testing.T) {
	began := make(chan struct{})
	g, f := serving(t, func(*target, *call.Input, chan wire.Frame) { close(began) })
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.listening()))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	<-began
	require.NoError(t, conn.Close())
	select {
	case <-f.gone:
	case <-time.After(time.Minute):
		t.Fatal("the container was not told")
	}
}

// What Target finds wrong with a query is the client's to mend, also of small
// requests that the gateway reads itself.
func TestBadRequest(t *testing.T) {
	g, f := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		reply(in, wire.WebResponse, response(200, "answered", false))
		reply(in, wire.Result, nil)
	})
	e := endpoint(f, "ap-1", "shop", "f", "shop")
	e.Target = func(query string) (call.Streams, error) {
		if query != "x=1" {
			return nil, BadRequest{fmt.Errorf("the query is %q", query)}
		}
		return f, nil
	}
	require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{e}))
	for _, host := range []string{"shop.localhost", "shop.localhost\r\nTransfer-Encoding: chunked"} {
		end := "\r\nConnection: close\r\n\r\n"
		if strings.Contains(host, "chunked") {
			end += "0\r\n\r\n"
		}
		status, body := g.ask(t, "POST /?x=2 HTTP/1.1\r\nHost: "+host+end)
		require.Contains(t, status, "400")
		require.Contains(t, body, `gx: the query is "x=2"`)
		status, body = g.ask(t, "POST /?x=1 HTTP/1.1\r\nHost: "+host+end)
		require.Contains(t, status, "200")
		require.Contains(t, body, "answered")
	}
}

func TestRegister(t *testing.T) {
	g, _ := serving(t, func(*target, *call.Input, chan wire.Frame) {})
	ctx := t.Context()
	for text, list := range map[string][]Endpoint{
		"would both have the label": {endpoint(nil, "ap-2", "two", "a", "x"), endpoint(nil, "ap-2", "two", "b", "x")},
		"which belongs to f":        {endpoint(nil, "ap-2", "two", "f", "shop")},
		"no dash at either end":     {endpoint(nil, "ap-2", "two", "f", "-")},
	} {
		require.ErrorContains(t, g.Register(ctx, "ap-2", list), text)
		require.ErrorContains(t, g.Check(list), text)
	}
	// An app's own function may take a label over from another of its own.
	require.NoError(t, g.Register(ctx, "ap-1", []Endpoint{endpoint(nil, "ap-1", "shop", "g", "shop")}))
	require.Equal(t, "g", g.find("shop").Function)
	// A second run of the app has its labels, until it ends.
	require.NoError(t, g.Register(ctx, "ap-3", []Endpoint{endpoint(nil, "ap-3", "shop", "g", "shop")}))
	require.Equal(t, "ap-3", g.find("shop").App)
	g.Unregister("ap-3")
	require.Equal(t, "ap-1", g.find("shop").App)
	status, _ := g.ask(t, "GET /shop/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	require.Contains(t, status, "503")
	g.Unregister("ap-1")
	_, body := g.ask(t, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	require.Contains(t, body, "no web endpoint is running")
}

// Where the default port is taken the next one is; one that was named is not
// exchanged for another.
func TestPortsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	g := New(Config{Registry: call.NewRegistry(clock.Real{}, nil), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Addr: taken.Addr().String()})
	defer g.Close()
	err = g.Register(t.Context(), "ap-1", []Endpoint{endpoint(nil, "ap-1", "shop", "f", "shop")})
	require.ErrorContains(t, err, "in use by another program")
	require.ErrorContains(t, err, "GX_WEB_ADDR")
	one := New(Config{Registry: call.NewRegistry(clock.Real{}, nil), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)})
	defer one.Close()
	two := New(Config{Registry: call.NewRegistry(clock.Real{}, nil), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)})
	defer two.Close()
	for _, g := range []*Gateway{one, two} {
		require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{endpoint(nil, "ap-1", "shop", "f", "shop")}))
	}
	require.NotEqual(t, one.listening(), two.listening())
}
