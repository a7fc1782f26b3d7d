package gateway

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

const (
	// inlineBody is the largest body that is read before its request goes to a
	// container: a client that is slow to send it keeps no container waiting.
	inlineBody = 64 << 10
	pieceSize  = 64 << 10 // bytes of a larger body that are read at once
	// lastPiece is how long the end of a body may take to be seen once the response
	// is over. A deadline that came behind the end would meet net/http's own read,
	// and end the connection's next request.
	lastPiece = 20 * time.Millisecond
)

// serve answers a request.
func (x *exchange) serve(w http.ResponseWriter, r *http.Request) {
	defer x.end()
	if !x.gateway.admits(x.route, r) {
		x.status = http.StatusUnauthorized
		refuse(w, x.status, "%s", authHelp)
		return
	}
	switch {
	case x.route.Web.Kind == app.WebServer:
		x.proxy(w, r)
	case isWebSocket(r):
		x.webSocket(w, r)
	default:
		x.plain(w, r)
	}
}

// plain answers a request that is no WebSocket.
func (x *exchange) plain(w http.ResponseWriter, r *http.Request) {
	body, more, ok := x.smallBody(w, r)
	if !ok || !x.begin(w, r, "http", body, more) {
		return
	}
	if !more {
		x.respond(w, r, true)
		return
	}
	control := http.NewResponseController(w)
	// The response may begin while the body comes. What cannot do so is HTTP/1.0.
	_ = control.EnableFullDuplex()
	sent := make(chan struct{})
	go func() { // ends before the request does
		defer close(sent)
		x.upload(control, r)
	}()
	defer func() {
		select {
		case <-sent:
		case <-time.After(lastPiece): // it is in the middle
			_ = control.SetReadDeadline(time.Now())
			<-sent
		}
	}()
	x.respond(w, r, false)
}

// smallBody reads a small body; more says that it is not small.
func (x *exchange) smallBody(w http.ResponseWriter, r *http.Request) (body []byte, more, ok bool) {
	switch {
	case r.ContentLength == 0:
		return nil, false, true
	case r.ContentLength > maxBody:
		x.status = http.StatusRequestEntityTooLarge
		refuse(w, x.status, "a body of %d bytes; at most %d are allowed", r.ContentLength, int64(maxBody))
		return nil, false, false
	case r.ContentLength < 0 || r.ContentLength > inlineBody:
		return nil, true, true
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(x.gateway.stall))
	body = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		x.status = http.StatusRequestTimeout
		refuse(w, x.status, "the body did not come: %v", err)
		return nil, false, false
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, false, true
}

// upload passes a large body on, as the container takes it.
func (x *exchange) upload(control *http.ResponseController, r *http.Request) {
	var piece []byte
	for total := int64(0); x.spend(r.Context()); {
		if len(piece) < pieceSize/4 {
			piece = make([]byte, pieceSize) // what was sent is not ours any more
		}
		_ = control.SetReadDeadline(time.Now().Add(x.gateway.stall))
		n, err := r.Body.Read(piece)
		if total += int64(n); total > maxBody {
			err = fmt.Errorf("a body of more than %d bytes", int64(maxBody))
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = control.SetReadDeadline(time.Time{})
			x.send(frame(wire.WebEnd, piece[:n:n]))
			return
		case err != nil: // the client is gone, or gives nothing
			x.target.HangUp(x.in)
			return
		}
		if n > 0 {
			x.charge(n)
			x.send(frame(wire.WebData, piece[:n:n]))
			piece = piece[n:]
		}
	}
}

// respond gives the client the response. If that takes long and whole, the
// request's body, has come, the client is sent to ask for it again.
func (x *exchange) respond(w http.ResponseWriter, r *http.Request, whole bool) {
	var late chan struct{}
	if whole {
		late = make(chan struct{})
		timer := x.gateway.cfg.Clock.AfterFunc(x.gateway.cfg.Redirect, func() { close(late) })
		defer timer.Stop()
	}
	for {
		f, got := x.next(r.Context(), late)
		switch {
		case !got && r.Context().Err() != nil:
			if x.parks = x.token != ""; !x.parks { // else it may ask again
				x.leave()
			}
			x.lost()
		case !got:
			x.redirect(w, r)
			return
		}
		switch f.Type {
		case wire.WebResponse:
			x.answer(w, r, f)
			return
		case wire.Result:
			x.status = http.StatusBadGateway
			refuse(w, x.status, "%s ended without a response", x.route.Function)
			return
		case wire.Error, wire.Fail:
			x.failed(w, f)
			return
		}
		closeFile(f) // nothing else comes before the head
	}
}

// statusGone is what the log says of clients that did not wait.
const statusGone = 499

// lost ends a request whose client has left, or has not sent its body in time:
// that it gets nothing is not to look like an empty response.
func (x *exchange) lost() {
	x.status = statusGone
	panic(http.ErrAbortHandler)
}

// answer writes a response whose head has come.
func (x *exchange) answer(w http.ResponseWriter, r *http.Request, f wire.Frame) {
	a, err := wire.ParseWebResponse(f.Body)
	if err != nil || a.Status < 200 {
		x.status = http.StatusBadGateway
		x.leave()
		refuse(w, x.status, "%s answered with what is no response: status %d %v", x.route.Function, a.Status, err)
		return
	}
	h := http.Header{}
	for _, f := range a.Headers {
		h.Add(f.Name, f.Value)
	}
	length := declared(h, r.Method, a.Status)
	if n := int64(len(a.Body)); length >= 0 && (n > length || n < length && !a.More) {
		x.status = http.StatusBadGateway
		x.leave()
		x.say(fmt.Sprintf("%s answered with a body of %d bytes, and a Content-Length of %d", x.route.Function, n, length))
		refuse(w, x.status, "%s answered with a body of another length than it says", x.route.Function)
		return
	}
	x.status = a.Status
	if len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil // net/http would guess one
	}
	maps.Copy(w.Header(), h)
	x.gateway.hurry(w)
	w.WriteHeader(a.Status)
	if len(a.Body) > 0 {
		_, err = w.Write(a.Body)
	}
	if !a.More {
		return
	}
	control := http.NewResponseController(w)
	taken := len(a.Body)
	left := length - int64(len(a.Body)) // below zero if it is not known
	for err == nil || errors.Is(err, http.ErrBodyNotAllowed) {
		if !x.more() {
			_ = control.SetWriteDeadline(time.Now().Add(x.gateway.stall))
			if err = control.Flush(); err != nil {
				break
			}
		}
		if taken >= wire.WebWindow/4 {
			x.send(frame(wire.WebCredit, wire.AppendCredit(taken)))
			taken = 0
		}
		f, got := x.next(r.Context(), nil)
		if !got {
			break
		}
		switch f.Type {
		case wire.WebData, wire.WebEnd:
			if len(f.Body) > 0 {
				_ = control.SetWriteDeadline(time.Now().Add(x.gateway.stall))
				_, err = w.Write(f.Body)
				taken += len(f.Body)
				left -= int64(len(f.Body))
			}
			switch {
			case length >= 0 && (left < 0 || left > 0 && f.Type == wire.WebEnd):
				x.say(fmt.Sprintf("the response of %s was cut off: it says a Content-Length of %d, and has %d bytes", x.route.Function, length, length-left))
				err = http.ErrContentLength
			case (f.Type == wire.WebEnd || left == 0) && err == nil:
				return // a client that has all of it may be gone before the end comes
			}
		default: // it ended in the middle
			closeFile(f)
			x.leave()
			x.cut(f)
			x.broke = true
			panic(http.ErrAbortHandler) // so that the client does not take it for whole
		}
	}
	x.leave()
	x.broke = true
	if r.Context().Err() == nil && r.Method != http.MethodHead {
		panic(http.ErrAbortHandler)
	}
}

// end notes the request. Whoever asks for its response next has it after that.
func (x *exchange) end() {
	x.logAccess()
	if x.parks {
		x.parks = false
		x.gateway.parked.put(x)
	}
}

// declared is how long the body of a response is by its head; -1 = it does not
// say, or there is none.
func declared(h http.Header, method string, status int) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 || method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		return -1
	}
	return n
}

// redirect sends a client to ask for its response again: many give up on one
// that takes minutes to begin.
func (x *exchange) redirect(w http.ResponseWriter, r *http.Request) {
	x.parks = true
	x.name()
	query := r.URL.Query()
	query.Set(resultParam, x.token)
	// The same path, whatever it is: one of two slashes would be another host.
	x.gateway.hurry(w)
	w.Header().Set("Location", "?"+query.Encode())
	x.status = http.StatusSeeOther
	w.WriteHeader(x.status)
}
