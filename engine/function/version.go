package function

import (
	"encoding/json"
	"slices"
	"sync/atomic"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/metering"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/gpu"
)

// Version is what may change of a function while it runs. It does not change
// itself: a function goes on to another one, see Function.Prepare.
type Version struct {
	Number    int // of the app, from 1
	Spec      app.Function
	Image     build.Image
	Sources   []string            // directories of the user's files, topmost first
	Files     map[string]app.File // what is in Sources, by path in the container
	Functions map[string]string   // names to ids, of the whole app
	Choices   []Choice            // what one container is set aside: any of these, the best first; at least one
	Limits    Limits              // what one container is held to
	Pins      *Pins               // Image and Sources are there as long as it is held
}

// Choice is what a container is set aside.
type Choice struct {
	Need  pool.Capacity
	Cards gpu.Choice // of Need; Count is 0 if there are none
	Label string     // what a user is told of the cards; "" = none
	Meter *metering.Meter
}

// needs are what the containers can be set aside.
func (v *Version) needs() []pool.Capacity {
	list := make([]pool.Capacity, len(v.Choices))
	for i, c := range v.Choices {
		list[i] = c.Need
	}
	return list
}

// Pins keep what a version's containers are made of. Whoever may still use it
// holds them: the function, and each container that has begun with it.
type Pins struct {
	held    atomic.Int64
	release func()
}

// NewPins makes pins that are held once. release is called when nobody holds
// them any more; nil = there is nothing to release.
func NewPins(release func()) *Pins {
	p := &Pins{release: release}
	p.held.Store(1)
	return p
}

// Hold holds the pins once more.
func (p *Pins) Hold() {
	if p != nil {
		p.held.Add(1)
	}
}

// Release lets go of the pins.
func (p *Pins) Release() {
	if p != nil && p.held.Add(-1) == 0 && p.release != nil {
		p.release()
	}
}

// Version is what the function is now.
func (f *Function) Version() *Version { return f.version() }

// Params are those of the class's constructor, pickled; nil = none.
func (f *Function) Params() []byte { return f.cfg.Params }

// Options are what the variant has otherwise; nil = it is the function itself.
func (f *Function) Options() json.RawMessage { return f.cfg.Options }

// version is what the function is now: what containers that are started run,
// and inputs get.
func (f *Function) version() *Version { return f.current.Load() }

// version is what the container runs now.
func (m *member) version() *Version { return m.current.Load() }

// set is what the container is set aside.
func (m *member) set() *Choice { return &m.version().Choices[m.choice] }

// NewMeters are the meters of v that older (nil = none) does not have.
func (v *Version) NewMeters(older *Version) (list []*metering.Meter) {
	for _, c := range v.Choices {
		if older == nil || !slices.ContainsFunc(older.Choices, func(o Choice) bool { return o.Meter == c.Meter }) {
			list = append(list, c.Meter)
		}
	}
	return list
}
