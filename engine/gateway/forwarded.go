package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// origin is what applications are told of the way that a request came.
type origin struct {
	client string // address and port; the port is 0 where it is not known
	scheme string
	host   string // as the client named it
}

// origin is what the connection says, or, where a proxy is trusted, that in
// X-Forwarded-For, -Proto and -Host: the last of their values, as each proxy
// writes behind what it was told.
func (g *Gateway) origin(r *http.Request, scheme string) origin {
	o := origin{client: r.RemoteAddr, scheme: scheme, host: r.Host}
	if !g.cfg.TrustProxy {
		return o
	}
	if addr, err := netip.ParseAddr(lastOf(r.Header["X-Forwarded-For"])); err == nil {
		o.client = net.JoinHostPort(addr.WithZone("").String(), "0")
	}
	if strings.EqualFold(lastOf(r.Header["X-Forwarded-Proto"]), "https") {
		o.scheme += "s" // wss, for a WebSocket
	}
	if host := lastOf(r.Header["X-Forwarded-Host"]); host != "" {
		o.host = host
	}
	return o
}

// lastOf is the last element of a header that is a list.
func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}
