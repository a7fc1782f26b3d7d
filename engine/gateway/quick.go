package gateway

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

// A small request with a small response costs net/http several times what it
// costs the container. So a connection looks at the bytes that net/http asks it
// for, at the beginning of each request: requests of the plainest form, whose
// whole response is there within a moment, it answers itself. Everything else
// it gives to net/http as it came: whatever has a body in pieces, streams,
// takes long, fails, is refused, upgrades, or is malformed. A request that was
// begun here and turns out to be one of those goes on there; its handler finds
// the exchange with the connection.
type quick struct {
	*net.TCPConn
	g *Gateway

	// Of the goroutine that reads, which net/http sees to.
	buf        []byte
	start, end int       // in buf: bytes that came, and were neither answered nor given on
	owed       int       // of them, those of a request that net/http has begun to read
	fresh      bool      // there was no request yet
	armed      time.Time // when the deadline for reading was set
	takes      time.Time // when that for writing was set
	request    quickRequest
	out        []byte
	broken     error // the client does not take what is written
	timer      *time.Timer
	client     string
	server     string

	begins  atomic.Bool              // what is read next is the beginning of a request
	given   atomic.Bool              // net/http has the connection, for good
	closed  atomic.Bool              // what was pending then has ended
	pending atomic.Pointer[exchange] // that goes on in the handler
}

const (
	quickSize = 8 << 10  // bytes of a request, headers and body
	quickBody = 64 << 10 // bytes of a response's body
	// quickWait is how long the rest of a request, and a response, are waited for
	// here; what takes longer is waited for in net/http, which has its limits, and
	// sees clients that leave.
	quickWait = 50 * time.Millisecond
	// armEvery is how old deadlines may be: setting them costs as much as reading
	// a request.
	armEvery = time.Second
)

// quickListener makes its connections quick ones.
type quickListener struct {
	net.Listener
	g *Gateway
}

// Accept implements net.Listener.
func (l quickListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	q := &quick{TCPConn: tcp, g: l.g, fresh: true, client: tcp.RemoteAddr().String(), server: tcp.LocalAddr().String()}
	q.begins.Store(true)
	return q, nil
}

type quickKey struct{}

// quickContext is a ConnContext: it lets the handler find the connection.
func quickContext(ctx context.Context, conn net.Conn) context.Context {
	if q, ok := conn.(*quick); ok {
		return context.WithValue(ctx, quickKey{}, q)
	}
	return ctx
}

// quickState is a ConnState: it tells the connection where requests begin.
func quickState(conn net.Conn, state http.ConnState) {
	if q, ok := conn.(*quick); ok && state == http.StateIdle && !q.given.Load() {
		q.begins.Store(true)
	}
}

// begun is the exchange of a request that was begun before net/http had it; nil
// = it was not. One whose exchange has ended with its connection, before its
// handler began, is over: it must not be begun again.
func begun(r *http.Request) (x *exchange, over bool) {
	q, ok := r.Context().Value(quickKey{}).(*quick)
	if !ok {
		return nil, false
	}
	x = q.pending.Swap(nil)
	return x, x == nil && q.closed.Load() // in this order: Close has them in the other
}

// Close implements net.Conn.
func (q *quick) Close() error {
	q.closed.Store(true)
	if x := q.pending.Swap(nil); x != nil { // its handler has not begun, and will do nothing
		x.status = statusGone
		x.leave()
		x.end()
		x.route.held.Add(-1)
	}
	return q.TCPConn.Close()
}

// Read implements net.Conn for net/http: what it returns was not answered here.
func (q *quick) Read(p []byte) (int, error) {
	if q.owed == 0 && q.begins.Load() {
		if err := q.serve(); err != nil {
			return 0, err
		}
		q.begins.Store(false)
		_ = q.SetWriteDeadline(time.Time{})
		_ = q.SetReadDeadline(time.Now().Add(headerPatience))
		q.armed, q.takes = time.Time{}, time.Time{}
	}
	if q.start < q.end {
		if q.owed == 0 { // behind the request that net/http has: where it ends, and the next begins, is not known here
			q.giveAll()
		}
		n := copy(p, q.buf[q.start:q.start+q.owed])
		q.start += n
		q.owed -= n
		return n, nil
	}
	n, err := q.TCPConn.Read(p)
	if n > 0 {
		q.giveAll()
		q.buf, q.out = nil, nil
	}
	return n, err
}

// giveAll gives the connection to net/http, with all that has come.
func (q *quick) giveAll() {
	q.given.Store(true)
	q.owed = q.end - q.start
}

// serve answers requests until there is one for net/http, whose bytes are owed
// to it then.
func (q *quick) serve() error {
	for {
		if q.start == q.end {
			q.start, q.end = 0, 0
			if err := q.fill(); err != nil {
				return err
			}
		}
		what, size := q.request.read(q.buf[q.start:q.end])
		if what == unfinished {
			for until := time.Now().Add(quickWait); what == unfinished && q.more(size, until); {
				what, size = q.request.read(q.buf[q.start:q.end])
			}
		}
		if what == plain || what == special {
			if what == plain && q.answer() {
				q.start += size
				q.fresh = false
				if q.broken != nil {
					return q.broken
				}
				continue
			}
			q.owed = size
			return nil
		}
		q.giveAll()
		return nil
	}
}

// fill reads the beginning of a request.
func (q *quick) fill() error {
	if q.buf == nil {
		q.buf = make([]byte, quickSize)
	}
	if now := time.Now(); !q.fresh && now.Sub(q.armed) > armEvery {
		// The first request's deadline, and that of one after a handler, are net/http's.
		q.armed = now
		_ = q.SetReadDeadline(now.Add(keepAlive))
	}
	n, err := q.TCPConn.Read(q.buf[q.end:])
	q.end += n
	if n > 0 {
		return nil
	}
	return err
}

// more reads more of a request that is not whole, of size bytes if that is
// known; false = net/http has to wait for the rest. All of it has to come by
// until, in however many pieces.
func (q *quick) more(size int, until time.Time) bool {
	if size > len(q.buf) {
		return false
	}
	if q.start > 0 {
		q.start, q.end = 0, copy(q.buf, q.buf[q.start:q.end])
	}
	if q.end == len(q.buf) {
		return false
	}
	_ = q.SetReadDeadline(until)
	n, err := q.TCPConn.Read(q.buf[q.end:])
	q.end += n
	q.armed = time.Time{}
	return err == nil && n > 0
}

// answer answers the request, and returns true, or leaves it to net/http.
func (q *quick) answer() bool {
	r := &q.request
	if q.g.cfg.TrustProxy { // what it says is not among the fields
		return false
	}
	p := locate(r.host, r.path)
	if !p.known || p.label == "" || strings.HasPrefix(r.path, ownPath) || strings.Contains(r.query, resultParam) || q.g.page(p.label) != nil {
		return false
	}
	to := q.g.find(p.label)
	if to == nil || to.Web.ProxyAuth || to.Web.Kind == app.WebServer {
		return false
	}
	if to.held.Add(1) > maxHeld {
		to.held.Add(-1)
		return false
	}
	x := q.g.newExchange(to, p, r.method)
	h := wire.WebHead{
		Target: to.Method, Method: r.method, Path: p.path, Query: r.query, HTTP: "1.1", Scheme: "http", Root: p.root,
		Client: q.client, Server: q.server, Headers: r.fields,
	}
	if x.submit(&h, r.body, false) != nil {
		to.held.Add(-1)
		return false
	}
	if !q.reply(x) {
		q.pending.Store(x)
		return false
	}
	x.end()
	to.held.Add(-1)
	return true
}

// reply writes the response if that is there within a moment, and whole; else
// the exchange is as it was.
func (q *quick) reply(x *exchange) bool {
	f, got := x.take()
	if !got {
		if q.timer == nil {
			q.timer = time.NewTimer(quickWait)
		} else {
			q.timer.Reset(quickWait)
		}
		for waits := true; waits && !got; f, got = x.take() {
			select {
			case <-x.woken:
			case <-q.timer.C:
				waits = false
			}
		}
		q.timer.Stop()
		if !got {
			return false
		}
	}
	a, err := wire.ParseWebResponse(f.Body)
	whole := err == nil && f.Type == wire.WebResponse && !a.More && len(a.Body) <= quickBody
	now := time.Now()
	if whole {
		q.out, whole = appendResponse(q.out[:0], &a, x.gateway.today.date(now))
	}
	if !whole {
		x.untake(f)
		return false
	}
	x.status = a.Status
	if now.Sub(q.takes) > q.g.stall/60 {
		q.takes = now
		_ = q.SetWriteDeadline(now.Add(q.g.stall))
	}
	if _, q.broken = q.Write(q.out); q.broken != nil {
		x.status = statusGone
	}
	if cap(q.out) > 2*quickSize {
		q.out = nil
	}
	return true
}

// today is the date of responses, which changes once a second.
type today struct {
	mu     sync.Mutex
	second int64
	text   string
}

func (t *today) date(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := now.Unix(); s != t.second {
		t.second, t.text = s, now.UTC().Format(http.TimeFormat)
	}
	return t.text
}
