package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

const (
	// resultParam is the parameter of a URL by which a client asks for the
	// response to a request that it has made.
	resultParam = "__gx_result"
	// parkFor is how long a response waits to be asked for.
	parkFor   = 10 * time.Minute
	maxParked = 10_000
)

// parked are exchanges whose client was sent to ask again.
type parked struct {
	clock clock.Clock

	mu     sync.Mutex
	all    map[string]*exchange
	timers map[string]clock.Timer
}

func (p *parked) init(c clock.Clock) {
	p.clock, p.all, p.timers = c, map[string]*exchange{}, map[string]clock.Timer{}
}

// name gives an exchange the token by which it is asked for.
func (x *exchange) name() {
	if x.token == "" {
		var random [16]byte
		_, _ = rand.Read(random[:]) // never fails
		x.token = hex.EncodeToString(random[:])
	}
}

// put keeps an exchange for a while.
func (p *parked) put(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) >= maxParked {
		go x.leave() // takes the function's lock; ends at once
		return
	}
	token := x.token
	p.all[token] = x
	p.timers[token] = p.clock.AfterFunc(parkFor, func() {
		if x := p.take(token); x != nil {
			x.leave()
		}
	})
}

// take finds an exchange, which is its finder's from then on; nil = there is none.
func (p *parked) take(token string) *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.all[token]
	if x != nil {
		p.timers[token].Stop()
		delete(p.all, token)
		delete(p.timers, token)
	}
	return x
}

func (p *parked) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.timers {
		t.Stop()
	}
	clear(p.all)
	clear(p.timers)
}

// poll answers a request for a response that was redirected.
func (g *Gateway) poll(w http.ResponseWriter, r *http.Request, to *route, token string) {
	if !g.admits(to, r) { // the address alone is no token: it is in histories and logs
		refuse(w, http.StatusUnauthorized, "%s", authHelp)
		return
	}
	x := g.parked.take(token)
	if x == nil || x.route != to {
		if x != nil {
			g.parked.put(x)
		}
		refuse(w, http.StatusNotFound, "no response waits under this address: it was fetched, or was not asked for within %v", parkFor)
		return
	}
	defer x.end()
	if x.passage != nil {
		x.pass(w, r, nil, true)
		return
	}
	x.respond(w, r, true)
}
