package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/wire"
)

// Operations of a Request that are about functions, and their parameters.
//
//	app.find        environment, app           {app, version}: of an app that runs; version 0 = it is not deployed
//	function.find   environment, app, name, version   Found: a function of an app that runs, by name;
//	                                           unless version is 0, as it is in that one
//	function.stats  function, params, options  function.Stats
//	function.web    function, method           {url, path_url}: of a web endpoint
//	function.scale  function, params, options, and what function.Scale has   {}
//
// An app or a function that is not there is answered with kind "not_found".
const (
	opApp   = "app.find"
	opFind  = "function.find"
	opStats = "function.stats"
	opScale = "function.scale"
	opWeb   = "function.web"
)

// Found is the result of function.find.
type Found struct {
	Function  string       `json:"function"` // id
	App       string       `json:"app"`      // id
	Name      string       `json:"name"`
	Generator bool         `json:"generator"`
	Class     bool         `json:"class"`
	Batched   bool         `json:"batched"`
	Methods   []app.Method `json:"methods"`
}

// directory is what calls ask of the engine.
type directory struct{ *Engine }

// Resolve implements call.Host.
func (e directory) Resolve(open wire.OpenBody) (call.Target, error) {
	d, err := e.function(open.Function)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, fmt.Errorf("this host has no function %q: its app has ended", open.Function)
	}
	return d.resolve(open)
}

// Ask implements call.Host.
func (e directory) Ask(op string, params json.RawMessage) (any, *wire.FailBody, bool) {
	var p struct {
		Environment string          `json:"environment"`
		App         string          `json:"app"`
		Name        string          `json:"name"`
		Function    string          `json:"function"`
		Params      []byte          `json:"params"`
		Options     json.RawMessage `json:"options"`
		Method      string          `json:"method"`
		Version     int             `json:"version"`
		function.Scale
	}
	switch op {
	case opApp, opFind, opStats, opScale, opWeb:
	default:
		return nil, nil, false
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, refused("the parameters of %q cannot be read: %v", op, err), true
	}
	switch op {
	case opApp:
		found, fail := e.findApp(p.Environment, p.App)
		return found, fail, true
	case opFind:
		found, fail := e.find(p.Environment, p.App, p.Name, p.Version)
		return found, fail, true
	}
	d, err := e.function(p.Function)
	if err != nil {
		return nil, refused("%v", err), true
	}
	if d == nil {
		return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: fmt.Sprintf("this host has no function %q: its app has ended", p.Function)}, true
	}
	if op == opWeb {
		urls, fail := d.webURLs(p.Method)
		return urls, fail, true
	}
	f, err := d.pool(p.Params, p.Options)
	if err != nil {
		return nil, refused("%v", err), true
	}
	defer f.Release()
	if op == opStats {
		return f.Stats(), nil, true
	}
	if err := f.Scale(p.Scale); err != nil {
		return nil, refused("%v", err), true
	}
	return struct{}{}, nil, true
}

func refused(format string, args ...any) *wire.FailBody {
	return &wire.FailBody{Kind: wire.FailRefused, Message: fmt.Sprintf(format, args...)}
}

// Answer implements call.Host.
func (e directory) Answer(ctx context.Context, q ask.Query) (ask.Answer, error) {
	return e.desk.Answer(ctx, q)
}

// foundApp is the result of app.find.
type foundApp struct {
	App     string `json:"app"`     // id
	Version int    `json:"version"` // the current one; 0 = it is not deployed
}

// findApp looks an app up by its name.
func (e directory) findApp(in, appName string) (*foundApp, *wire.FailBody) {
	a, fail := e.app(in, appName)
	if fail != nil {
		return nil, fail
	}
	found := &foundApp{App: a.id}
	if a.deployed != nil {
		found.Version = a.deployed.state().Current
	}
	return found, nil
}

// app finds an app that runs.
func (e directory) app(in, appName string) (*App, *wire.FailBody) {
	in = cmp.Or(in, environment.Main)
	a, err := e.App(in + "/" + appName)
	if err == nil {
		return a, nil
	}
	where := "on this host"
	if in != environment.Main {
		where = fmt.Sprintf("in environment %q of this host", in)
	}
	message := fmt.Sprintf("no app %q is running %s", appName, where)
	if d, err := e.deployment(context.Background(), in+"/"+appName); err == nil {
		message = fmt.Sprintf("app %q is stopped; `gx app rollback %s %d` starts it again", appName, appName, d.state().Current)
		if why := d.failure(); why != nil {
			message = fmt.Sprintf("app %q could not be started by this host: %v", appName, why)
		}
	}
	return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: message}
}

// find looks a function up by the names of its app and its own: as it is in a
// version of the app, unless version is 0.
func (e directory) find(in, appName, name string, version int) (*Found, *wire.FailBody) {
	a, fail := e.app(in, appName)
	if fail != nil {
		return nil, fail
	}
	id := func(d *definition) string { return d.id }
	if version != 0 {
		if a.deployed == nil {
			return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: fmt.Sprintf("app %q is not deployed, and has no versions", appName)}
		}
		deployed := a.id
		id = func(d *definition) string { return pinnedID(deployed, version, d.name) }
		var err error
		if a, err = a.deployed.at(context.Background(), version); err != nil {
			return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: err.Error()}
		}
	}
	var names []string
	a.mu.Lock()
	functions := a.functions
	a.mu.Unlock()
	for _, d := range functions {
		if d.name == name {
			spec := d.declared().spec
			return &Found{
				Function: id(d), App: a.id, Name: name, Generator: spec.Generator, Class: spec.Class, Batched: spec.Batch != nil,
				Methods: append([]app.Method{}, spec.Methods...),
			}, nil
		}
		names = append(names, d.name)
	}
	slices.Sort(names)
	return nil, &wire.FailBody{Kind: wire.FailNotFound, Message: fmt.Sprintf("app %q has no function %q; it has %s", appName, name, strings.Join(names, ", "))}
}
