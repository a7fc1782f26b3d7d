package dashboard

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/gx-dev/gx/api"
)

// permitted matches the requests that a page may make: those that it shows, and
// those behind its buttons. It can't bring code, read contents of files or
// secrets, or end the host.
func permitted() *http.ServeMux {
	mux := http.NewServeMux()
	for _, pattern := range []string{
		"GET /v1/version", "GET /v1/status", "GET /v1/images",
		"GET /v1/apps", "GET /v1/apps/{id}/usage", "GET /v1/apps/{id}/logs", "DELETE /v1/apps/{id}",
		"GET /v1/containers", "GET /v1/gpus", "GET /v1/why/{ref}",
		"GET /v1/deployments/{ref}", "GET /v1/deployments/{ref}/diff", "POST /v1/deployments/{ref}/rollback", "POST /v1/deployments/{ref}/rollover",
		"GET /v1/schedules", "GET /v1/schedules/{ref}/{function}/runs", "POST /v1/schedules/{ref}/{function}/run",
		"POST /v1/schedules/{ref}/{function}/pause", "POST /v1/schedules/{ref}/{function}/resume",
		"POST /v1/ask/environment.list", "POST /v1/ask/volume.list", "POST /v1/ask/dict.list", "POST /v1/ask/queue.list", "POST /v1/ask/secret.list",
		"POST /v1/ask/billing.report", "POST /v1/ask/billing.rates",
	} {
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	return mux
}

// api passes a request on to the host API, if the page may make it.
func (d *Dashboard) api(w http.ResponseWriter, r *http.Request) {
	if !d.doors.open(r) {
		refuse(w, http.StatusUnauthorized, "unauthorized", "the dashboard was not opened by `gx dashboard`, or long ago")
		return
	}
	if _, pattern := d.allowed.Handler(r); pattern == "" {
		refuse(w, http.StatusForbidden, "unauthorized", "a page in a browser may not do this: "+r.Method+" "+r.URL.Path)
		return
	}
	if !sameOrigin(r) {
		refuse(w, http.StatusForbidden, "unauthorized", "the request comes from another page than the dashboard")
		return
	}
	in := r.Clone(r.Context())
	in.Header.Del("Origin") // it was checked; the API itself refuses browsers
	in.Header.Del("Cookie")
	d.cfg.API.ServeHTTP(w, in)
}

// sameOrigin reports whether the page itself asks. Browsers name the origin of
// all that changes something, and of WebSockets.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Method == http.MethodGet && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Header.Get("Sec-Fetch-Site") != "cross-site"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && strings.EqualFold(u.Host, r.Host)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Error{Code: code, Message: message}) // the client may have gone
}
