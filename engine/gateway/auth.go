package gateway

import (
	"net/http"
)

// The headers that carry a proxy-auth token: Modal's, and gx's own names.
const authHelp = "this endpoint requires a token: send it in the headers Modal-Key and Modal-Secret (gx web token create makes one)"

// secretHeader reports whether a header, whose name is in lower case, is one of
// those: they are for the gateway, and no application sees them.
func secretHeader(name string) bool {
	switch name {
	case "modal-key", "modal-secret", "gx-key", "gx-secret":
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
