package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// fieldsOf are the headers of a request that came.
func fieldsOf(in *call.Input) map[string]string {
	texts := textsOf(in)[9:]
	fields := map[string]string{}
	for i := 0; i+1 < len(texts); i += 2 {
		fields[texts[i]] = texts[i+1]
	}
	return fields
}

// textsOf are the texts of a request's head, see wire.WebHead.
func textsOf(in *call.Input) []string {
	n := uint32(in.Body[0]) | uint32(in.Body[1])<<8 | uint32(in.Body[2])<<16
	return strings.Split(string(in.Body[4:4+n]), "\n")
}

// The address of a response that waits is no token.
func TestParkedResponsesAskForTheToken(t *testing.T) {
	asked := make(chan struct{})
	g, f := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		<-asked
		reply(in, wire.WebResponse, response(200, "12345678", false))
		reply(in, wire.Result, nil)
	})
	e := endpoint(f, "ap-1", "shop", "f", "shop")
	e.Web.ProxyAuth = true
	require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{e}))
	g.cfg.Allowed = func(_ context.Context, key, secret string) bool { return key == "k" && secret == "s" }
	g.cfg.Redirect = time.Millisecond
	const request = "GET /%s HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n%s\r\n"
	const token = "Modal-Key: k\r\nModal-Secret: s\r\n"
	status, rest := g.ask(t, fmt.Sprintf(request, "", token))
	require.Contains(t, status, " 303")
	_, location, _ := strings.Cut(rest, "Location: ")
	location, _, _ = strings.Cut(location, "\r\n")
	close(asked)
	g.cfg.Redirect = time.Minute
	status, rest = g.ask(t, fmt.Sprintf(request, location, ""))
	require.Contains(t, status, " 401")
	require.NotContains(t, rest, "12345678")
	status, rest = g.ask(t, fmt.Sprintf(request, location, token))
	require.Contains(t, status, " 200")
	require.Contains(t, rest, "12345678")
}

// What a client says of the way that its request took, and its token, do not
// reach the application, on whichever way it is read.
func TestHeadersThatAreWithheld(t *testing.T) {
	seen := make(chan map[string]string, 1)
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		seen <- fieldsOf(in)
		reply(in, wire.WebResponse, answerWith(200, "", false))
		reply(in, wire.Result, nil)
	})
	for _, more := range []string{"", "Connection: close\r\n"} {
		status, _ := g.ask(t, "GET /shop/ HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Prefix: /evil\r\nx-forwarded-for: 1.2.3.4\r\nX-FORWARDED-ANYTHING: x\r\nForwarded: for=1.2.3.4\r\n"+
			"Gx-Key: k\r\nModal-Secret: s\r\nX-Other: kept\r\n"+more+"\r\n", more == "")
		require.Contains(t, status, " 200")
		fields := <-seen
		delete(fields, "connection")
		require.Equal(t, map[string]string{"host": "localhost", "x-other": "kept"}, fields)
	}
}

// Behind a proxy that is trusted applications are told what that says, and
// nothing that its client has made it pass on before.
func TestTrustedProxy(t *testing.T) {
	seen := make(chan []string, 1)
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		seen <- textsOf(in)
		reply(in, wire.WebResponse, answerWith(200, "", false))
		reply(in, wire.Result, nil)
	})
	for _, c := range []struct {
		trust                        bool
		fields, client, scheme, host string
	}{
		{false, "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n", "127.0.0.1", "http", "localhost"},
		{true, "", "127.0.0.1", "http", "localhost"},
		{true, "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\nX-Forwarded-Proto: http, https\r\nX-Forwarded-Host: api.example.com\r\n", "1.2.3.4", "https", "api.example.com"},
		{true, "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n", "2001:db8::1", "http", "localhost"},
		{true, "X-Forwarded-For: unknown\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Prefix: /evil\r\n", "127.0.0.1", "http", "localhost"},
	} {
		g.cfg.TrustProxy = c.trust
		status, rest := g.ask(t, "GET /shop/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+c.fields+"\r\n")
		require.Contains(t, status, " 200", rest)
		head := <-seen
		scheme, root, client, host := head[5], head[6], head[7], head[10]
		ip, _, err := net.SplitHostPort(client)
		require.NoError(t, err)
		require.Equal(t, []string{c.client, c.scheme, c.host, "/shop"}, []string{ip, scheme, host, root}, c.fields)
	}
}

// Who takes nothing of what it has asked for holds no container, and no handler.
func TestClientsThatTakeNothing(t *testing.T) {
	large := strings.Repeat("x", 60<<10)
	for name, answer := range map[string]func(in *call.Input, frames chan wire.Frame){
		"whole": func(in *call.Input, _ chan wire.Frame) {
			reply(in, wire.WebResponse, answerWith(200, large, false))
			reply(in, wire.Result, nil)
		},
		"whole, by net/http": func(in *call.Input, _ chan wire.Frame) {
			reply(in, wire.WebResponse, answerWith(200, large, false, "connection", "keep-alive"))
			reply(in, wire.Result, nil)
		},
		"streamed": func(in *call.Input, frames chan wire.Frame) {
			reply(in, wire.WebResponse, answerWith(200, large, true))
			for range 15 {
				reply(in, wire.WebData, []byte(large))
			}
			reply(in, wire.WebEnd, []byte(large))
			reply(in, wire.Result, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := serving(t, func(_ *target, in *call.Input, frames chan wire.Frame) { answer(in, frames) })
			g.stall = 100 * time.Millisecond
			c := g.dial(t)
			require.NoError(t, c.Conn.(*net.TCPConn).SetReadBuffer(1024))
			request := strings.Repeat("GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000)
			// The gateway stops reading when nothing is taken of its answers, and closes then.
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			for {
				if _, err := io.WriteString(c, request); err != nil {
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
					break
				}
			}
			require.Eventually(t, func() bool { return g.find("shop").held.Load() == 0 }, time.Minute, 5*time.Millisecond)
		})
	}
}

// userServer is an endpoint of kind web_server whose server is a test's handler.
func userServer(t *testing.T, handler http.HandlerFunc) *Gateway {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g, f := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			t.Error(err)
			return
		}
		call.Deliver([]call.Answer{{Input: in, Frame: wire.Frame{Header: wire.Header{Type: wire.WebConn, Attempt: 1}, File: file}}})
	})
	e := endpoint(f, "ap-1", "shop", "f", "shop")
	e.Web = app.Web{Kind: app.WebServer, Port: 8000}
	require.NoError(t, g.Register(t.Context(), "ap-1", []Endpoint{e}))
	return g
}

// A user's own server is behind the same limits as what the runner speaks to.
func TestLimitsOfUsersServers(t *testing.T) {
	left := make(chan struct{}, 1)
	g := userServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/headers":
			_ = json.NewEncoder(w).Encode(r.Header)
		case "/takes":
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintf(w, "%d %v", n, err)
		case "/gives":
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					left <- struct{}{}
					return
				}
			}
		case "/echo":
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, buffered)
		}
	})
	g.stall = time.Second

	c := g.dial(t)
	c.say("POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nall of it")
	c.hear(200, "9 <nil>")
	c.say("POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	c.hear(200, "3 <nil>")

	c.say("GET /shop/headers HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 1.2.3.4\r\nGx-Key: k\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	var fields http.Header
	require.NoError(t, json.NewDecoder(res.Body).Decode(&fields))
	require.NoError(t, res.Body.Close())
	require.Equal(t, "/shop", fields.Get("X-Forwarded-Prefix"))
	require.Equal(t, "127.0.0.1", fields.Get("X-Forwarded-For"))
	require.Equal(t, "http", fields.Get("X-Forwarded-Proto"))
	require.NotContains(t, fields, "X-Forwarded-Port")
	require.NotContains(t, fields, "X_forwarded_for", "to CGI it is the same name")
	require.NotContains(t, fields, "Gx-Key")

	status, rest := g.ask(t, "POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
	require.Contains(t, status, " 413", rest)
	status, rest = g.ask(t, "POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
	require.Contains(t, status, " 408", rest)
	status, rest = g.ask(t, "POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nhalf")
	require.Empty(t, status, rest) // it was cut
	status, rest = g.ask(t, "POST /shop/takes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	require.Contains(t, status, " 400", rest)

	c = g.dial(t)
	require.NoError(t, c.Conn.(*net.TCPConn).SetReadBuffer(1024))
	c.say("GET /shop/gives HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case <-left:
	case <-time.After(time.Minute):
		t.Fatal("the server goes on for a client that takes nothing")
	}

	c = g.dial(t)
	c.say("GET /shop/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	res, err = http.ReadResponse(c.r, nil) //nolint:bodyclose // there is none
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	time.Sleep(2 * g.stall) // nobody has to say anything
	c.say("hello")
	text := make([]byte, 5)
	_, err = io.ReadFull(c.r, text)
	require.NoError(t, err)
	require.Equal(t, "hello", string(text))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return g.find("shop").held.Load() == 0 }, time.Minute, 5*time.Millisecond)
}

// Who asks a user's own server for what takes long is sent to ask again, and gets
// the response to the one request that was made.
func TestUsersServersTakeLong(t *testing.T) {
	asked, bodies := make(chan struct{}), make(chan string, 10)
	answer := sync.OnceFunc(func() { close(asked) })
	defer answer()
	g := userServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(body)
		switch r.URL.Path {
		case "/upgrades":
			time.Sleep(5 * time.Millisecond)
			w.WriteHeader(http.StatusUpgradeRequired)
		case "/forgotten":
			<-r.Context().Done()
			bodies <- "forgotten"
		default:
			<-asked
			w.Header().Set("X-Method", r.Method)
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, strings.Repeat("12345678", 100_000))
		}
	})
	location := func(rest string) string {
		_, location, _ := strings.Cut(rest, "Location: ")
		location, _, _ = strings.Cut(location, "\r\n")
		require.Regexp(t, `^\?__gx_result=[0-9a-f]{32}$`, location)
		return location
	}
	const poll = "GET /shop/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	g.cfg.Redirect = time.Millisecond
	status, rest := g.ask(t, "GET /shop/upgrades HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: x\r\n\r\n")
	require.Contains(t, status, " 426", rest)
	require.Empty(t, <-bodies)
	status, rest = g.ask(t, "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
	require.Contains(t, status, " 303", rest)
	status, rest = g.ask(t, fmt.Sprintf(poll, location(rest)))
	require.Contains(t, status, " 303", rest)
	g.cfg.Redirect = time.Hour
	again := g.dial(t) // who leaves meanwhile may ask again
	again.say(fmt.Sprintf(poll, location(rest)))
	require.Eventually(t, func() bool { return g.parked.size() == 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, again.Close())
	require.Eventually(t, func() bool { return g.parked.size() == 1 }, 10*time.Second, time.Millisecond)
	answer()
	status, rest = g.ask(t, fmt.Sprintf(poll, location(rest)))
	require.Contains(t, status, " 201", rest)
	require.Contains(t, rest, "X-Method: POST\r\n")
	require.Equal(t, 100_000, strings.Count(rest, "12345678"))
	require.Equal(t, "hello", <-bodies)
	require.Empty(t, bodies)

	g.cfg.Redirect = time.Millisecond
	status, rest = g.ask(t, fmt.Sprintf(poll, "forgotten"))
	require.Contains(t, status, " 303", rest)
	require.Empty(t, <-bodies)
	token, _ := strings.CutPrefix(location(rest), "?__gx_result=")
	g.parked.take(token).leave() // as when nobody has asked in time
	require.Equal(t, "forgotten", <-bodies)
	require.Eventually(t, func() bool { return g.find("shop").held.Load() == 0 }, 10*time.Second, time.Millisecond)
}

// size is how many wait.
func (p *parked) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// What clients do that are old, odd or hostile.
func TestOddClients(t *testing.T) {
	g, _ := serving(t, func(_ *target, in *call.Input, frames chan wire.Frame) {
		path, body := pathOf(in)
		if fieldsOf(in)["x-upload"] != "" {
			reply(in, wire.WebCredit, wire.AppendCredit(1<<20))
			for fr := range frames {
				if body += string(fr.Body); fr.Type != wire.WebData {
					break
				}
			}
		}
		reply(in, wire.WebResponse, answerWith(200, path+" "+body, false))
		reply(in, wire.Result, nil)
	})
	for name, one := range map[string]struct {
		request, status, body string
		half                  bool
	}{
		"HTTP/1.0":                  {request: "GET /shop/a HTTP/1.0\r\nHost: localhost\r\n\r\n", status: " 200", body: "/a "},
		"half closed":               {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\n\r\n", status: " 200", body: "/a ", half: true},
		"another upgrade":           {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n", status: " 200", body: "/a "},
		"the server itself":         {request: "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", status: " 200"},
		"OPTIONS":                   {request: "OPTIONS /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", status: " 200", body: "/a "},
		"a method of its own":       {request: "PROPFIND /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", status: " 200", body: "/a "},
		"CONNECT":                   {request: "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", status: " 421"},
		"an absolute address":       {request: "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", status: " 421"},
		"many headers":              {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Repeat("A: b\r\n", 5000) + "\r\n", status: " 200", body: "/a "},
		"too many headers":          {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("A: b\r\n", 50000) + "\r\n", status: " 431"},
		"a chunked body":            {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nX-Upload: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n", status: " 200", body: "/a hello"},
		"both lengths":              {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nX-Upload: 1\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /shop/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", status: " 200", body: "/a "},
		"two lengths":               {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello", status: " 400"},
		"a length with a sign":      {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello", status: " 400"},
		"an unknown coding":         {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", status: " 501"},
		"a NUL in a header":         {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", status: " 400"},
		"a carriage return in one":  {request: "GET /shop/a HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n", status: " 400"},
		"a space before the colon":  {request: "GET /shop/a HTTP/1.1\r\nHost : localhost\r\n\r\n", status: " 400"},
		"a promise that none knows": {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", status: " 417"},
		"waits to be asked":         {request: "POST /shop/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", status: " 100", body: "/a hello"},
		"a path that goes up":       {request: "GET /shop/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", status: " 200", body: "/../../etc/passwd "},
	} {
		t.Run(name, func(t *testing.T) {
			status, rest := g.ask(t, one.request, one.half)
			require.Contains(t, status, one.status, rest)
			require.NotContains(t, rest, "smuggled")
			if one.body != "" {
				require.True(t, strings.HasSuffix(rest, "\r\n\r\n"+one.body), "%q", rest)
			}
		})
	}
	require.Eventually(t, func() bool { return g.find("shop").held.Load() == 0 }, time.Minute, 5*time.Millisecond)
}

// A message that is larger than any may be closes its WebSocket, with the code
// that says so, and the container is told.
func TestGiantMessages(t *testing.T) {
	closed := make(chan []byte, 1)
	g, _ := serving(t, func(_ *target, in *call.Input, frames chan wire.Frame) {
		reply(in, wire.WebResponse, answerWith(101, "", true))
		reply(in, wire.WebCredit, wire.AppendCredit(1<<20))
		for fr := range frames {
			if fr.Type == wire.WebMessage {
				closed <- fr.Body
				break
			}
		}
		reply(in, wire.Result, nil)
	})
	c := g.dial(t)
	c.say("GET /shop/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil) //nolint:bodyclose // there is none
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	c.say("\x82\xff\x00\x00\x00\x7f\xff\xff\xff\xff0000") // a binary message of 2 terabytes announces itself
	head := make([]byte, 4)
	_, err = io.ReadFull(c.r, head)
	require.NoError(t, err)
	require.Equal(t, byte(0x88), head[0], "it closes")
	require.Equal(t, 1009, int(head[2])<<8|int(head[3]))
	require.Equal(t, byte(wire.MessageClose), (<-closed)[0])
}
