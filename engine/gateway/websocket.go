package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

const (
	maxMessage = 16 << 20         // bytes of one message
	pingEvery  = 20 * time.Second // to see that the client is there
	pongWithin = 20 * time.Second
	// closeWithin is how long a side has to answer the other's closing.
	closeWithin = 5 * time.Second
)

func isWebSocket(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// webSocket answers a request for a WebSocket.
func (x *exchange) webSocket(w http.ResponseWriter, r *http.Request) {
	if x.route.Web.Kind == app.WebWSGI {
		x.status = http.StatusNotImplemented
		refuse(w, x.status, "%s is a WSGI application, which has no WebSockets", x.route.Function)
		return
	}
	if !x.begin(w, r, "ws", nil, false) {
		return
	}
	for {
		f, got := x.next(r.Context(), nil)
		if !got {
			x.leave()
			x.lost()
		}
		switch f.Type {
		case wire.WebResponse:
			a, err := wire.ParseWebResponse(f.Body)
			if err != nil || a.Status != http.StatusSwitchingProtocols {
				x.answer(w, r, f)
				return
			}
			x.accept(w, r, a)
			return
		case wire.Result, wire.Error, wire.Fail:
			if f.Type == wire.Result {
				x.status = http.StatusForbidden
				refuse(w, x.status, "%s did not accept the WebSocket", x.route.Function)
				return
			}
			x.failed(w, f)
			return
		}
		closeFile(f)
	}
}

// accept makes the connection a WebSocket and passes messages on until one side
// closes it.
func (x *exchange) accept(w http.ResponseWriter, r *http.Request, a wire.WebAnswer) {
	h := http.Header{}
	for _, f := range a.Headers {
		switch strings.ToLower(f.Name) {
		case "connection", "upgrade", "sec-websocket-accept", "sec-websocket-extensions", "date", "server":
		default:
			h.Add(f.Name, f.Value)
		}
	}
	// Whom the page belongs to that connects is the application's to look at.
	up := websocket.Upgrader{HandshakeTimeout: headerPatience, CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, h)
	if err != nil { // the client was told
		x.status = http.StatusBadRequest
		x.leave()
		return
	}
	x.status = http.StatusSwitchingProtocols
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		x.readMessages(ctx, conn)
	})
	x.writeMessages(ctx, conn)
	cancel()
	_ = conn.Close()
	reading.Wait()
	x.leave()
}

// readMessages passes the client's messages on until it closes, or is gone.
func (x *exchange) readMessages(ctx context.Context, conn *websocket.Conn) {
	conn.SetReadLimit(maxMessage)
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(pingEvery + pongWithin)) }
	_ = alive("")
	conn.SetPongHandler(alive)
	conn.SetCloseHandler(func(int, string) error { return nil }) // see below
	for x.spend(ctx) {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			code, reason := websocket.CloseAbnormalClosure, ""
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				code, reason = closed.Code, closed.Text
				_ = conn.WriteControl(websocket.CloseMessage, closeMessage(code, ""), time.Now().Add(closeWithin))
			}
			x.send(frame(wire.WebMessage, closing(code, reason)))
			return
		}
		_ = alive("")
		body := make([]byte, 1+len(data))
		body[0] = wire.MessageBinary
		if kind == websocket.TextMessage {
			body[0] = wire.MessageText
		}
		copy(body[1:], data)
		x.charge(len(body))
		x.send(frame(wire.WebMessage, body))
	}
}

// closing is the body of a WebMessage that closes.
func closing(code int, reason string) []byte {
	body := binary.LittleEndian.AppendUint16([]byte{wire.MessageClose}, uint16(code))
	return append(body, reason...)
}

// closeMessage is the body of a close frame. Codes that only say why there was
// none cannot be sent.
func closeMessage(code int, reason string) []byte {
	switch code {
	case websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure, websocket.CloseTLSHandshake, 0:
		return nil
	}
	const most = 123
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "")
	}
	return websocket.FormatCloseMessage(code, reason)
}

// writeMessages passes the container's messages on until it closes, or the
// client is gone.
func (x *exchange) writeMessages(ctx context.Context, conn *websocket.Conn) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	taken := 0
	for {
		f, got := x.take()
		if !got {
			select {
			case <-x.woken:
			case <-ping.C:
				if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pongWithin)) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
			continue
		}
		switch f.Type {
		case wire.WebMessage:
			_ = conn.SetWriteDeadline(time.Now().Add(x.gateway.stall))
			closed, err := write(conn, f.Body)
			if closed {
				select { // the client answers by closing too
				case <-ctx.Done():
				case <-time.After(closeWithin):
				}
			}
			if closed || err != nil {
				return
			}
			if taken += len(f.Body); taken >= wire.WebWindow/4 {
				x.send(frame(wire.WebCredit, wire.AppendCredit(taken)))
				taken = 0
			}
		case wire.Result, wire.Error, wire.Fail:
			code := websocket.CloseNormalClosure
			if f.Type != wire.Result {
				code = websocket.CloseInternalServerErr
				x.cut(f)
			}
			_ = conn.WriteControl(websocket.CloseMessage, closeMessage(code, ""), time.Now().Add(closeWithin))
			return
		default:
			closeFile(f)
		}
	}
}

// write sends a WebMessage to the client.
func write(conn *websocket.Conn, body []byte) (closed bool, err error) {
	if len(body) == 0 {
		return false, nil
	}
	switch kind, data := body[0], body[1:]; kind {
	case wire.MessageText:
		return false, conn.WriteMessage(websocket.TextMessage, data)
	case wire.MessageClose:
		code, reason := websocket.CloseNormalClosure, ""
		if len(data) >= 2 {
			code, reason = int(binary.LittleEndian.Uint16(data)), string(data[2:])
		}
		return true, conn.WriteControl(websocket.CloseMessage, closeMessage(code, reason), time.Now().Add(closeWithin))
	default:
		return false, conn.WriteMessage(websocket.BinaryMessage, data)
	}
}
