package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/wire"
)

// What is answered without net/http is read as net/http reads it.
func FuzzQuickRequest(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a%20b/%2f?x=1&y=%zz HTTP/1.1\r\nhost:a\r\nContent-Length: 3\r\n\r\nabcGET",
		"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /?? HTTP/1.1\r\nHost: a\r\nX:\t y z \r\nx: 2\r\n\r\n",
		"GET /a:b;c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"HEAD /. HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET /[] HTTP/1.1\r\nHost: a\r\nX-\xc3: \xc3\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var q quickRequest
		what, size := q.read(bytes.Clone(data))
		if what != plain && what != special {
			return
		}
		source := bufio.NewReader(bytes.NewReader(data))
		r, err := http.ReadRequest(source)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(body, q.body) {
			t.Fatalf("the body is %q %v, not %q", body, err, q.body)
		}
		if rest, _ := io.ReadAll(source); size != len(data)-len(rest) {
			t.Fatalf("the request has %d bytes, not %d", len(data)-len(rest), size)
		}
		if r.Method != q.method || r.Host != q.host || r.URL.EscapedPath() != q.path || r.URL.RawQuery != q.query {
			t.Fatalf("%q %q %q %q, not %+v", r.Method, r.Host, r.URL.EscapedPath(), r.URL.RawQuery, q)
		}
		theirs, ours := headers(r, r.Host), slices.Clone(q.fields)
		order := func(a, b wire.WebHeader) int { return strings.Compare(a.Name+"\n"+a.Value, b.Name+"\n"+b.Value) }
		slices.SortFunc(theirs, order)
		slices.SortFunc(ours, order)
		if !slices.Equal(theirs, ours) {
			t.Fatalf("%q, not %q", theirs, ours)
		}
	})
}

// What is written without net/http is what it would have written.
func FuzzQuickResponse(f *testing.F) {
	f.Add(uint16(200), "content-type", "text/plain", "content-length", "3", []byte("abc"))
	f.Add(uint16(404), "X-A", " a ", "date", "now", []byte{})
	f.Add(uint16(204), "x\r\n", "a\nb", "", "", []byte("x"))
	f.Fuzz(func(t *testing.T, status uint16, name1, value1, name2, value2 string, body []byte) {
		a := wire.WebAnswer{Status: int(status), Headers: []wire.WebHeader{{Name: name1, Value: value1}, {Name: name2, Value: value2}}, Body: body}
		text, ok := appendResponse(nil, &a, "today")
		if !ok {
			return
		}
		source := bufio.NewReader(bytes.NewReader(text))
		res, err := http.ReadResponse(source, nil)
		if err != nil {
			t.Fatalf("%v of %q", err, text)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(got, body) || res.StatusCode != int(status) || source.Buffered() > 0 {
			t.Fatalf("%q %v of %q", got, err, text)
		}
		for _, f := range a.Headers {
			if !slices.Contains(res.Header.Values(f.Name), strings.Trim(f.Value, " \t")) {
				t.Fatalf("%q is not in %q", f, res.Header)
			}
		}
	})
}

// client is a connection with a gateway that a test writes to, and reads.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (g *Gateway) dial(t *testing.T) *client {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.listening()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) say(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(c.t, err)
}

// hear reads a response, and returns its headers.
func (c *client) hear(status int, body string) http.Header {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, status, res.StatusCode)
	require.Equal(c.t, body, string(got), "%v", res.Header)
	return res.Header
}

// answerWith is the body of a WebResponse.
func answerWith(status int, body string, more bool, fields ...string) []byte {
	head := fmt.Sprint(status)
	for _, text := range fields {
		head += "\n" + text
	}
	n := uint32(len(head))
	if more {
		n |= 1 << 31
	}
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}, head+body...)
}

// pathOf is the path of a request that came, and its body.
func pathOf(in *call.Input) (path, body string) {
	n := uint32(in.Body[0]) | uint32(in.Body[1])<<8 | uint32(in.Body[2])<<16
	return strings.Split(string(in.Body[4:4+n]), "\n")[2], string(in.Body[4+n:])
}

// One connection carries requests of every kind one after the other, in pieces
// and several at once: which of the two ways each takes is nothing that its
// client sees.
func TestEveryRequestOfAConnection(t *testing.T) {
	slow := make(chan struct{})
	g, _ := serving(t, func(f *target, in *call.Input, frames chan wire.Frame) {
		path, body := pathOf(in)
		switch path {
		case "/streams":
			reply(in, wire.WebResponse, answerWith(200, "12", true))
			reply(in, wire.WebData, []byte("34"))
			reply(in, wire.WebEnd, []byte("56"))
		case "/waits":
			<-slow
			reply(in, wire.WebResponse, answerWith(200, "at last", false))
		case "/uploads":
			reply(in, wire.WebCredit, wire.AppendCredit(1<<20))
			total := 0
			for fr := range frames {
				if total += len(fr.Body); fr.Type == wire.WebEnd {
					break
				}
			}
			reply(in, wire.WebResponse, answerWith(200, fmt.Sprint(total), false))
		case "/none":
			reply(in, wire.WebResponse, answerWith(204, "", false))
		case "/large":
			reply(in, wire.WebResponse, answerWith(200, strings.Repeat("x", 200<<10), false))
		case "/lies":
			reply(in, wire.WebResponse, answerWith(200, "x", false, "x-a", "b"))
		default:
			reply(in, wire.WebResponse, answerWith(200, path+" "+body, false, "content-type", "text/plain", "x-a", "1", "x-a", "2"))
		}
		reply(in, wire.Result, nil)
	})
	c := g.dial(t)
	get := func(path string) string { return "GET /shop" + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
	for range 2 {
		c.say(get("/a"))
		fields := c.hear(200, "/a ")
		require.Equal(t, []string{"1", "2"}, fields.Values("X-A"))
		require.NotEmpty(t, fields.Get("Date"))
		c.say(get("/streams"))
		c.hear(200, "123456")
		c.say("HEAD /shop/b HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodHead})
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		c.say(get("/none"))
		c.hear(204, "")
		c.say(get("/large"))
		c.hear(200, strings.Repeat("x", 200<<10))
		c.say(get("/lies"))
		require.NotContains(t, c.hear(200, "x"), "Content-Type") // nothing is guessed
		c.say(get("/a") + get("/streams") + get("/b") + get("/c"))
		c.hear(200, "/a ")
		c.hear(200, "123456")
		c.hear(200, "/b ")
		c.hear(200, "/c ")
	}
	c = g.dial(t)
	post := "POST /shop/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
	for _, at := range []int{1, 20, 40, len(post) - 5, len(post) - 1} {
		c.say(post[:at])
		time.Sleep(5 * time.Millisecond)
		c.say(post[at:])
		c.hear(200, "/p hello")
	}
	c.say("POST /shop/waits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
	time.Sleep(2 * quickWait)
	close(slow)
	c.hear(200, "at last")
	c.say(post)
	c.hear(200, "/p hello")
	c.say(strings.Replace(post, "/shop/", "/none/", 1)) // nobody reads its body
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.Equal(t, 404, res.StatusCode)
	_, _ = io.ReadAll(res.Body)
	require.NoError(t, res.Body.Close())
	c.say(post)
	c.hear(200, "/p hello")
	c.say("POST /shop/uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	c.hear(200, "5")
	c.say(post)
	c.hear(200, "/p hello")
	c.say("GET /shop/z HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	c.hear(200, "/z ")
	_, err = c.r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, g.find("shop").held.Load())
}

// A head that never ends, and one that is none, are not waited for longer than
// net/http would.
func TestHeadsThatAreNone(t *testing.T) {
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		reply(in, wire.WebResponse, answerWith(200, "", false))
		reply(in, wire.Result, nil)
	})
	for _, text := range []string{
		"GET / HTTP/1.1\nHost: shop.localhost\n\n", // as net/http has it: line feeds are enough
		"GET / HTTP/1.0\r\nHost: shop.localhost\r\n\r\n",
		"hello\r\n", "GARBAGE\r\n", "\r\n\r\n\r\n\r\n", "\x16\x03\x01", "GET / HTTP/1.1\r\nHost: shop.localhost\r\nA B: c\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
	} {
		c := g.dial(t)
		c.say("GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		c.hear(200, "")
		c.say(text)
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		began := time.Now()
		_, err := io.ReadAll(c.r)
		require.NoError(t, err)
		require.Less(t, time.Since(began), headerPatience/2, "%q", text)
	}
	require.Zero(t, g.find("shop").held.Load())
}

// A client that leaves while its response is waited for is told to the
// container, although nothing reads its connection at first.
func TestQuickClientLeaves(t *testing.T) {
	g, f := serving(t, func(*target, *call.Input, chan wire.Frame) {})
	c := g.dial(t)
	c.say("GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, c.Close())
	select {
	case <-f.gone:
	case <-time.After(time.Minute):
		t.Fatal("the container was not told")
	}
}

func BenchmarkQuickRequest(b *testing.B) {
	data := []byte("GET /bench-web-bare-dev/ HTTP/1.1\r\nHost: localhost:7272\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n")
	var q quickRequest
	b.ReportAllocs()
	for b.Loop() {
		if what, _ := q.read(data); what != plain {
			b.Fatal(what)
		}
	}
}

// Many connections at once get each its own responses, however their requests
// change between the two ways.
func TestManyConnections(t *testing.T) {
	g, _ := serving(t, func(_ *target, in *call.Input, _ chan wire.Frame) {
		path, body := pathOf(in)
		switch {
		case strings.Contains(path, "slow"):
			time.Sleep(quickWait + time.Duration(len(path)%7)*time.Millisecond)
		case strings.Contains(path, "close"): // to the moment at which the one way ends
			time.Sleep(quickWait - time.Millisecond/2)
		}
		if strings.Contains(path, "streams") {
			reply(in, wire.WebResponse, answerWith(200, path, true))
			reply(in, wire.WebEnd, []byte(" "+body))
		} else {
			reply(in, wire.WebResponse, answerWith(200, path+" "+body, false))
		}
		reply(in, wire.Result, nil)
	})
	kinds := []string{"quick", "quick", "streams", "quick", "slow", "quick", "close", "slowstreams"}
	var clients sync.WaitGroup
	for i := range 30 {
		clients.Go(func() {
			own := http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
			defer own.CloseIdleConnections()
			for j := range 40 {
				path := fmt.Sprintf("/%s/%d/%d", kinds[(i+j)%len(kinds)], i, j)
				text := strings.Repeat(path, j%5*500)
				res, err := own.Post(fmt.Sprintf("http://127.0.0.1:%d/shop%s", g.listening(), path), "text/plain", strings.NewReader(text)) //nolint:noctx // a test
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || string(got) != path+" "+text {
					t.Errorf("%s: %d %v, %d bytes: %.100q", path, res.StatusCode, err, len(got), got)
					return
				}
			}
		})
	}
	clients.Wait()
	require.Eventually(t, func() bool { return g.find("shop").held.Load() == 0 }, time.Minute, time.Millisecond)
}

// pair is a connection: what a client has of it, and what a gateway has.
func pair(t *testing.T) (near net.Conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close() })
	far, err = l.AcceptTCP()
	require.NoError(t, err)
	return near, far
}

// A host that ends closes connections while requests of theirs, which were
// begun, are on their way to their handlers: none is begun twice.
func TestClosedBeforeItsHandler(t *testing.T) {
	g, f := serving(t, func(*target, *call.Input, chan wire.Frame) {})
	near, far := pair(t)
	q := &quick{TCPConn: far, g: g, fresh: true}
	_, err := io.WriteString(near, "POST /shop/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi")
	require.NoError(t, err)
	require.NoError(t, q.serve()) // no response comes: net/http has it
	require.NotNil(t, q.pending.Load())
	require.NoError(t, q.Close())
	<-f.gone
	r := httptest.NewRequestWithContext(quickContext(t.Context(), q), http.MethodPost, "http://localhost/shop/", strings.NewReader("hi"))
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { g.ServeHTTP(httptest.NewRecorder(), r) })
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Len(t, f.frames, 1)
	require.Zero(t, g.find("shop").held.Load())
}

// TestQuickDrips has a client that sends its request byte by byte: net/http has
// it soon, and with it the time that a head may take.
func TestQuickDrips(t *testing.T) {
	near, far := pair(t)
	q := &quick{TCPConn: far, fresh: true}
	given := make(chan error, 1)
	go func() { given <- q.serve() }()
	_, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: a\r\nX: ")
	require.NoError(t, err)
	for end := time.After(time.Minute); ; {
		select {
		case err := <-given:
			require.NoError(t, err)
			require.True(t, q.given.Load())
			require.NoError(t, q.Close())
			return
		case <-end:
			_ = q.Close()
			t.Fatal("it waits for as long as something comes")
		case <-time.After(quickWait / 5):
			_, err := near.Write([]byte("a"))
			require.NoError(t, err)
		}
	}
}
