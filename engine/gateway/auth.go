package gateway

import (
	"net/http"
	"strings"
)

// The headers that carry a proxy-auth token: Modal's, and gx's own names.
const authHelp = "this endpoint requires a token: send it in the headers Modal-Key and Modal-Secret (gx web token create makes one)"

// withheld reports whether no application sees a header, whose name is in lower
// case, as its client sends it: those that carry a token are for the gateway, and
// what a request has been through before the gateway is the gateway's to say. CGI's
// names, which WSGI has, do not tell _ from -.
func withheld(name string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	switch name {
	case "modal-key", "modal-secret", "gx-key", "gx-secret", "forwarded":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-")
}

// admits reports whether a request has the token that its endpoint requires, if
// it requires one.
func (g *Gateway) admits(to *route, r *http.Request) bool {
	return !to.Web.ProxyAuth || g.allowed(r)
}

// allowed reports whether a request has a token that is known.
func (g *Gateway) allowed(r *http.Request) bool {
	key, secret := r.Header.Get("Gx-Key"), r.Header.Get("Gx-Secret")
	if key == "" {
		key, secret = r.Header.Get("Modal-Key"), r.Header.Get("Modal-Secret")
	}
	return key != "" && secret != "" && g.cfg.Allowed != nil && g.cfg.Allowed(r.Context(), key, secret)
}
