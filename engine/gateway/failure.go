package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/wire"
)

// failed answers for a request that got no response.
func (x *exchange) failed(w http.ResponseWriter, f wire.Frame) {
	status, message, details := x.explain(f)
	x.status = status
	if details != "" {
		x.say(details)
	}
	x.gateway.hurry(w)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	refuse(w, status, "%s", message)
}

// cut tells of a response that ended in its middle.
func (x *exchange) cut(f wire.Frame) {
	if f.Type == wire.Fail {
		_, message, _ := x.explain(f)
		x.say(fmt.Sprintf("the response of %s was cut off: %s", x.route.Function, message))
	}
}

// explain says what an Error or Fail is to a client, and what to the log.
func (x *exchange) explain(f wire.Frame) (status int, message, details string) {
	name := x.route.Function
	if f.Type == wire.Error {
		// The user's code, and what it says may be no client's business.
		e, _, err := wire.DecodeError(f.Body)
		if err != nil {
			return http.StatusInternalServerError, name + " failed", err.Error()
		}
		return http.StatusInternalServerError, name + " failed: the app's log has the error", strings.TrimRight(e.Traceback, "\n")
	}
	var body wire.FailBody
	if err := f.Decode(&body); err != nil {
		return http.StatusInternalServerError, name + " failed", err.Error()
	}
	switch body.Kind {
	case wire.FailTimeout:
		return http.StatusGatewayTimeout, body.Message, ""
	case wire.FailCancelled:
		return http.StatusServiceUnavailable, body.Message, ""
	case wire.FailLost, wire.FailOOM:
		return http.StatusBadGateway, name + ": the container ended before it had answered; the app's log has more", body.Message
	case wire.FailStart:
		return http.StatusBadGateway, name + " does not start; the app's log has the reason", body.Message
	}
	return http.StatusInternalServerError, name + " failed; the app's log has the reason", body.Message
}

// say puts gx's own words into the app's log, line by line.
func (x *exchange) say(text string) {
	lines := strings.Split(text, "\n")
	list := make([]api.LogLine, len(lines))
	for i, line := range lines {
		list[i] = x.line(line)
	}
	x.route.Log(list)
}

// systemLine is a line of gx's own words.
func systemLine(now time.Time, text string) api.LogLine {
	return api.LogLine{Time: now, Stream: logs.System, Text: text}
}

func (x *exchange) line(text string) api.LogLine {
	l := systemLine(x.gateway.cfg.Clock.Now(), text)
	l.Function = x.route.Function
	if x.in != nil {
		l.Container, l.Call = x.in.Container, x.in.Call.ID
	}
	return l
}
