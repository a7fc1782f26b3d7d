package engine

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

// ranks orders the kinds of updates by how much they do.
var ranks = map[string]int{api.UpdateNone: 0, api.UpdateCode: 1, api.UpdateContainers: 2, api.UpdateImage: 3}

// difference is the kind of update that leads from one edition to the next: the
// most that any function needs.
func difference(before, next *edition) string {
	old := map[string]*declared{}
	for _, d := range before.functions {
		old[d.spec.Name] = d
	}
	kind := api.UpdateNone
	for _, d := range next.functions {
		one := api.UpdateCode // a function that is new
		if o := old[d.spec.Name]; o != nil {
			one = o.kind(d)
		}
		delete(old, d.spec.Name)
		if ranks[one] > ranks[kind] {
			kind = one
		}
	}
	if len(old) > 0 && kind == api.UpdateNone {
		kind = api.UpdateCode // some are gone
	}
	return kind
}

// kind is what one function needs to become another.
func (d *declared) kind(next *declared) string {
	switch {
	case d.image.ID() != next.image.ID():
		return api.UpdateImage
	case !bytes.Equal(inContainers(d.spec), inContainers(next.spec)):
		return api.UpdateContainers
	}
	code, other := changed(d.tree.Files(), next.tree.Files())
	switch {
	case other || code && (d.spec.Shape == "" || d.spec.Shape != next.spec.Shape):
		return api.UpdateContainers
	case code || !bytes.Equal(settings(d.spec), settings(next.spec)):
		return api.UpdateCode
	}
	return api.UpdateNone
}

// same reports whether nothing at all changes for the function.
func (d *declared) same(next *declared) bool {
	return d.kind(next) == api.UpdateNone && maps.Equal(d.edition.ids, next.edition.ids)
}

// changed says whether Python files differ, and whether others do: nobody knows
// what has been made of those.
func changed(before, next map[string]app.File) (code, other bool) {
	note := func(path string) {
		if strings.HasSuffix(path, ".py") {
			code = true
		} else {
			other = true
		}
	}
	for path, f := range next {
		if o, ok := before[path]; !ok || o.SHA256 != f.SHA256 || o.Mode != f.Mode {
			note(path)
		}
	}
	for path := range before {
		if _, ok := next[path]; !ok {
			note(path)
		}
	}
	return code, other
}

// inContainers is what of a function's settings a container is made by: it can't
// be changed in one that runs. What is new in app.Function belongs to it.
func inContainers(f app.Function) []byte {
	f.Timeout, f.StartupTimeout, f.Retries, f.Scaling, f.TargetInputs = 0, 0, app.Retries{}, app.Scaling{}, 0
	f.Schedule = nil
	methods := make([]app.Method, 0, len(f.Methods))
	for _, m := range f.Methods {
		if m.Generator {
			methods = append(methods, m)
		}
	}
	f.Methods = methods
	return settings(f)
}

// settings is what a function is besides its code.
func settings(f app.Function) []byte {
	f.File, f.Line, f.Shape = "", 0, ""
	f.Image, f.Mounts = 0, nil // numbers: what they stand for is compared
	text, _ := json.Marshal(f) // numbers and texts: it cannot fail
	return text
}
