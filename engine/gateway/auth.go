package gateway

import (
	"net/http"
)

// The headers that carry a proxy-auth token: Modal's, and gx's own names.
const authHelp = "this endpoint requires a token: send it in the headers Modal-Key and Modal-Secret (gx web token create makes one)"

func secretHeader(name string) bool {
	switch name {
	case "Modal-Key", "Modal-Secret", "Gx-Key", "Gx-Secret":
		return true
	}
	return false
}

// allowed reports whether a request has a token that is known.
func (g *Gateway) allowed(r *http.Request) bool {
	key, secret := r.Header.Get("Gx-Key"), r.Header.Get("Gx-Secret")
	if key == "" {
		key, secret = r.Header.Get("Modal-Key"), r.Header.Get("Modal-Secret")
	}
	return key != "" && secret != "" && g.cfg.Allowed != nil && g.cfg.Allowed(r.Context(), key, secret)
}
