package gateway

import (
	"context"
	"net/http"
)

// Page gives a label to a page of the host itself, which no endpoint can have
// then. It is served only under a host name of its own. It does not make the
// gateway listen: Listen does.
func (g *Gateway) Page(label string, page http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pages[label] = page
}

// Listen makes the gateway listen also while there is no endpoint.
func (g *Gateway) Listen(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listen(ctx)
}

func (g *Gateway) page(label string) http.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pages[label]
}

// HasPage reports whether the host has a page of this label.
func (g *Gateway) HasPage(label string) bool { return g.page(label) != nil }
