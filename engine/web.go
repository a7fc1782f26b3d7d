package engine

import (
	"context"
	"fmt"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/gateway"
	"github.com/gx-dev/gx/engine/parameter"
	"github.com/gx-dev/gx/wire"
)

func (e *Engine) newGateway() *gateway.Gateway {
	return gateway.New(gateway.Config{Registry: e.registry, Clock: e.cfg.Clock, Log: e.cfg.Log, Addr: e.cfg.Web, TrustProxy: e.cfg.TrustProxy, Allowed: e.webTokens.Allowed})
}

// Gateway is where web requests come in.
func (e *Engine) Gateway() *gateway.Gateway { return e.gateway }

// endpoints are the app's web endpoints, as a manifest declares them.
func (a *App) endpoints(m *app.Manifest) (endpoints []gateway.Endpoint) {
	add := func(f *app.Function, method string, web *app.Web) {
		if web == nil {
			return
		}
		e := gateway.Endpoint{
			Label: web.Label, App: a.id, AppName: a.name, Function: f.Name, Method: method, Web: *web,
			Target: func(query string) (call.Streams, error) { return a.webTarget(f.Name, query) },
			Log:    func(lines []api.LogLine) { a.logLines(a.masked(f.Name, lines)) },
		}
		if method != "" {
			e.Function += "." + method
		}
		if e.Label == "" {
			e.Label = gateway.DefaultLabel(a.name, f.Name, method, a.deployed == nil)
		}
		endpoints = append(endpoints, e)
	}
	for i := range m.Functions {
		f := &m.Functions[i]
		add(f, "", f.Web)
		for _, method := range f.Methods {
			add(f, method.Name, method.Web)
		}
	}
	return endpoints
}

// expose makes the app's web endpoints reachable, as a manifest declares them,
// in place of those that it had.
func (a *App) expose(ctx context.Context, m *app.Manifest) error {
	endpoints := a.endpoints(m)
	g := a.engine.gateway
	if err := g.Register(ctx, a.id, endpoints); err != nil {
		return invalid("%v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.labels = make(map[string]string, len(endpoints))
	a.started.Web = make(map[string]string, len(endpoints))
	for _, e := range endpoints {
		a.labels[e.Function] = e.Label
		a.started.Web[e.Function] = g.URL(e.Label)
	}
	return nil
}

// webTarget finds the containers of a function, or of a class with the
// parameters that a query gives it, and holds them for a request.
func (a *App) webTarget(function, query string) (call.Streams, error) {
	a.mu.Lock()
	var found *definition
	for _, d := range a.functions {
		if d.name == function {
			found = d
		}
	}
	stopping := a.stopping
	a.mu.Unlock()
	switch {
	case stopping:
		return nil, fmt.Errorf("app %s is ending", a.name)
	case found == nil: // it is being started
		return nil, fmt.Errorf("%s has no containers yet", function)
	}
	var params []byte
	if declared := found.declared().spec.Parameters; len(declared) > 0 {
		var err error
		if params, err = parameter.Read(declared, query); err != nil {
			return nil, gateway.BadRequest{Err: fmt.Errorf("%s: %w", function, err)}
		}
	}
	return found.pool(params, nil)
}

// logLines takes lines about web requests.
func (a *App) logLines(lines []api.LogLine) {
	if _, err := a.log.Append(lines); err != nil {
		a.engine.cfg.Log.Error("the app's log cannot be written", "app", a.id, "error", err)
	}
}

// notCalled is why a web endpoint takes no call.
func notCalled(name string) error {
	return fmt.Errorf("%s is a web endpoint and takes web requests, no calls: ask its URL, which get_web_url() returns, or call .local()", name)
}

const maxPort = 1<<16 - 1

// checkWeb says what is wrong with a web endpoint.
func checkWeb(f *app.Function, web *app.Web) error {
	if web == nil {
		return nil
	}
	switch web.Kind {
	case app.WebFastAPI, app.WebASGI, app.WebWSGI:
	case app.WebServer:
		if web.Port < 1 || web.Port > maxPort {
			return at(f, "port=%d: a port is a number from 1 to %d", web.Port, maxPort)
		}
		if web.StartupTimeout < 0 || web.StartupTimeout > maxTime {
			return at(f, "startup_timeout=%v: it must be between 0 and %d seconds", web.StartupTimeout, maxTime)
		}
	default:
		return at(f, "a web endpoint of kind %.50q is not known to this host", web.Kind)
	}
	if f.Batch != nil {
		return at(f, "a web endpoint cannot be batched")
	}
	if f.Parametrized && len(f.Parameters) == 0 {
		return at(f, "a class that needs parameters which no query can give cannot have web endpoints: give them defaults")
	}
	if web.Label != "" {
		if err := gateway.CheckLabel(web.Label); err != nil {
			return at(f, "%v", err)
		}
	}
	return nil
}

// webURLs are the addresses of a web endpoint: by a host name of its own, and
// by a path, for programs that cannot resolve names below localhost.
type webURLs struct {
	URL     string `json:"url"`
	PathURL string `json:"path_url"`
	// Parameters are the names of the class's parameters that a query gives.
	Parameters []string `json:"parameters,omitempty"`
}

func (d *definition) webURLs(method string) (urls webURLs, _ *wire.FailBody) {
	name := d.name
	if method != "" {
		name += "." + method
	}
	d.app.mu.Lock()
	label := d.app.labels[name]
	d.app.mu.Unlock()
	if d.app.past > 0 {
		return urls, refused("%s: version %d is not the app's current one, and has no web endpoints", name, d.app.past)
	}
	if label == "" {
		return urls, refused("%s is not a web endpoint", name)
	}
	g := d.app.engine.gateway
	urls = webURLs{URL: g.URL(label), PathURL: g.PathURL(label)}
	for _, p := range d.declared().spec.Parameters {
		urls.Parameters = append(urls.Parameters, p.Name)
	}
	return urls, nil
}
