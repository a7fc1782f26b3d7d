// Package dashboard serves a web page that shows a host: a program of the host
// API that runs in a browser. It knows who may open it and which requests of
// the API a page may make; the API itself is somebody else's handler.
//
// A browser has no access to the host's socket, and a port of this machine is
// open to every program and user on it. So the page is opened by a code that
// only who may use the host can ask for (`gx dashboard`); it is good once, for a
// few minutes, and is exchanged for a cookie. Pages of other origins, the web
// endpoints of the user's own apps among them, cannot use that cookie: it is
// sent to the page's own host name only (SameSite), which no endpoint can have,
// and what changes anything must name the page as its origin.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// Label is the host name below localhost that the page has.
const Label = "gx"

//go:embed assets
var embedded embed.FS

// Config is what a Dashboard is made of.
type Config struct {
	API http.Handler // the host API, which takes no requests of browsers itself
	Key []byte       // signs cookies; at least 32 bytes
	Now func() time.Time
}

// Dashboard is the page's handler.
type Dashboard struct {
	cfg     Config
	doors   doors
	assets  fs.FS
	allowed *http.ServeMux
	policy  string // Content-Security-Policy
}

// New makes a Dashboard.
func New(cfg Config) (*Dashboard, error) {
	if len(cfg.Key) < sha256.Size {
		return nil, fmt.Errorf("the dashboard's key has %d bytes; it needs %d", len(cfg.Key), sha256.Size)
	}
	assets, err := fs.Sub(embedded, "assets")
	if err != nil {
		return nil, fmt.Errorf("finding the dashboard's files: %w", err)
	}
	page, err := fs.ReadFile(assets, "index.html")
	if err != nil {
		return nil, fmt.Errorf("finding the dashboard's page: %w", err)
	}
	d := &Dashboard{cfg: cfg, assets: assets, allowed: permitted(), doors: doors{key: cfg.Key, now: cfg.Now, codes: map[string]time.Time{}}}
	d.policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; script-src 'self' " + inlineHash(page)
	return d, nil
}

// inlineHash allows the page's one inline script, the import map, by its hash.
func inlineHash(page []byte) string {
	_, rest, _ := bytes.Cut(page, []byte(`<script type="importmap">`))
	script, _, _ := bytes.Cut(rest, []byte(`</script>`))
	sum := sha256.Sum256(script)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Invite returns what to add to the page's address to open it, once.
func (d *Dashboard) Invite() string {
	return "/?" + url.Values{"code": {d.doors.invite()}}.Encode()
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", d.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/"):
		d.api(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "gx: the dashboard has no such thing", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" && r.URL.Query().Has("code"):
		d.enter(w, r)
	case r.URL.Path == "/" && !d.doors.open(r):
		d.closed(w)
	default:
		d.asset(w, r)
	}
}

// enter exchanges a code for a cookie. A code that is used up does no harm to
// who has a cookie already: a browser that restores its windows asks again.
func (d *Dashboard) enter(w http.ResponseWriter, r *http.Request) {
	if d.doors.enter(w, r.URL.Query().Get("code")) || d.doors.open(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.closed(w)
}

// closed tells who has no cookie how to get one.
func (d *Dashboard) closed(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = fmt.Fprintln(w, "gx: run `gx dashboard` in a terminal; it opens this page. Its address is good once.") // the client may have gone
}

// asset serves a file of the page. They are no secret.
func (d *Dashboard) asset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	data, err := fs.ReadFile(d.assets, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".mjs" {
		kind = "text/javascript; charset=utf-8" // which some machines do not know
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}
