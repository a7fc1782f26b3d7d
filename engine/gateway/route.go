package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/gateway/apidocs"
)

// route is an endpoint that is served.
type route struct {
	Endpoint
	held atomic.Int64 // requests at once
	log  accessLog
}

// Register makes the endpoints of an app reachable, in place of those that it
// had; all or none. Of several runs of an app the newest has its labels, until
// it ends; two apps cannot have the same.
func (g *Gateway) Register(ctx context.Context, appID string, endpoints []Endpoint) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(endpoints) == 0 {
		g.remove(appID)
		return nil
	}
	if err := g.check(endpoints); err != nil {
		return err
	}
	if err := g.listen(ctx); err != nil {
		return err
	}
	g.remove(appID)
	for _, e := range endpoints {
		r := &route{Endpoint: e}
		r.log.to, r.log.clock, r.log.function = e.Log, g.cfg.Clock, e.Function
		g.routes[e.Label] = append(g.routes[e.Label], r)
	}
	return nil
}

// Check says what Register would refuse now.
func (g *Gateway) Check(endpoints []Endpoint) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.check(endpoints)
}

// check is Check with mu held.
func (g *Gateway) check(endpoints []Endpoint) error {
	seen := map[string]string{}
	for _, e := range endpoints {
		if err := CheckLabel(e.Label); err != nil {
			return fmt.Errorf("web endpoint %s: %w", e.Function, err)
		}
		if other, twice := seen[e.Label]; twice {
			return fmt.Errorf("the web endpoints %s and %s would both have the label %q: give one of them another with label=", other, e.Function, e.Label)
		}
		seen[e.Label] = e.Function
		if g.pages[e.Label] != nil {
			return fmt.Errorf("web endpoint %s would have the label %q, which is the host's own: give it another with label=", e.Function, e.Label)
		}
		for _, r := range g.routes[e.Label] {
			if r.App != e.App && (r.AppName != e.AppName || r.Function != e.Function) {
				return fmt.Errorf("web endpoint %s would have the label %q, which belongs to %s of the app %s (%s) that is running: give one of them another with label=",
					e.Function, e.Label, r.Function, r.AppName, r.App)
			}
		}
	}
	return nil
}

// Unregister takes an app's endpoints away.
func (g *Gateway) Unregister(appID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(appID)
}

// remove is Unregister with mu held.
func (g *Gateway) remove(appID string) {
	for label, list := range g.routes {
		list = slices.DeleteFunc(list, func(r *route) bool { return r.App == appID })
		if len(list) == 0 {
			delete(g.routes, label)
		} else {
			g.routes[label] = list
		}
	}
}

// URL is the address of a label.
func (g *Gateway) URL(label string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("http://%s.localhost:%d", label, g.port)
}

// PathURL is the address of a label for those who cannot resolve names below
// localhost.
func (g *Gateway) PathURL(label string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("http://localhost:%d/%s", g.port, label)
}

// find is who serves a label; nil = nobody.
func (g *Gateway) find(label string) *route {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.routes[label]
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// ownPath begins the paths of files that pages of endpoints use and the gateway
// has, by whatever name it is asked.
const ownPath = "/__gx/"

// place is what a request's host name and path say.
type place struct {
	label string
	root  string // what was taken off the path: "/LABEL", or ""
	path  string // percent-encoded
	known bool   // the host name is one that the gateway has
}

// locate reads LABEL.localhost, or, where the host is localhost itself or a
// loopback address, /LABEL/... Other names are not the gateway's: a page
// elsewhere whose name was made to lead to this machine gets nothing.
func locate(host, path string) place {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if label, ok := strings.CutSuffix(host, ".localhost"); ok {
		return place{label: label, path: path, known: label != ""}
	}
	if !loopback(host) {
		return place{}
	}
	label, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	p := place{label: label, path: "/" + rest, known: true}
	if label != "" {
		p.root = "/" + label
	}
	return p
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, over := begun(r)
	if over {
		panic(http.ErrAbortHandler)
	}
	if x != nil {
		g.leaveNone(w, r) // the exchange has the body
		defer x.route.held.Add(-1)
		defer x.end()
		x.respond(w, r, true)
		return
	}
	defer g.leaveNone(w, r)
	g.hurry(w)
	p := locate(r.Host, r.URL.EscapedPath())
	if !p.known {
		refuse(w, http.StatusMisdirectedRequest, "the host %.100q is not one of this gateway: use LABEL.localhost, or localhost/LABEL/", r.Host)
		return
	}
	if name, own := strings.CutPrefix(r.URL.Path, ownPath); own {
		if !apidocs.Serve(w, r, name) {
			refuse(w, http.StatusNotFound, "there is no %.100q", r.URL.Path)
		}
		return
	}
	if p.label == "" {
		g.index(w, r)
		return
	}
	if page := g.page(p.label); page != nil {
		if p.root != "" { // of a path: a page must not share its host name, and so its cookies, with endpoints
			http.Redirect(w, r, g.URL(p.label)+p.path, http.StatusTemporaryRedirect)
			return
		}
		page.ServeHTTP(w, r)
		return
	}
	to := g.find(p.label)
	if to == nil {
		refuse(w, http.StatusNotFound, "no web endpoint has the label %.100q; those that run are listed at http://localhost:%d/", p.label, g.listening())
		return
	}
	if to.held.Add(1) > maxHeld {
		to.held.Add(-1)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "%d requests are at %s, which is the limit", maxHeld, to.Function)
		return
	}
	defer to.held.Add(-1)
	if strings.Contains(r.URL.RawQuery, resultParam) {
		if token := r.URL.Query().Get(resultParam); token != "" {
			g.poll(w, r, to, token)
			return
		}
	}
	g.newExchange(to, p, r.Method).serve(w, r)
}

// hurry gives a client its time to take what is written next: who takes nothing
// of it keeps no handler. net/http puts an end to it when the request is over.
func (g *Gateway) hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.stall))
}

// leaveNone reads what a request has left of a small body. net/http would do
// so after its handler, and begin to look whether the client leaves at the end of
// the body: while it waits for the next request already.
func (g *Gateway) leaveNone(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength <= 0 || r.ContentLength > inlineBody || r.Header.Get("Expect") != "" {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, r.Body) // if it does not come, the connection is closed
	g.hurry(w)                         // what is written may not have gone yet
}

func (g *Gateway) listening() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.port
}

// index lists the endpoints.
func (g *Gateway) index(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	lines := make([]string, 0, len(g.routes))
	for label, list := range g.routes {
		r := list[len(list)-1]
		lines = append(lines, fmt.Sprintf("http://%s.localhost:%d  %s of %s\n", label, g.port, r.Function, r.AppName))
	}
	g.mu.Unlock()
	slices.Sort(lines)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(lines) == 0 {
		lines = []string{"gx: no web endpoint is running\n"}
	}
	for _, line := range lines {
		_, _ = fmt.Fprint(w, line) // the client may have gone
	}
}

// refuse answers a request in gx's own words.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "gx: "+format+"\n", args...) // the client may have gone
}
