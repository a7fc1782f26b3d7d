package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/metering"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/wire"
)

// Limits of what a function's calls may ask for.
const (
	maxVariants = 1000            // pools of one function
	maxParams   = 16 << 20        // bytes of pickled class parameters
	keepVariant = 5 * time.Minute // that nothing uses
)

// definition is a function as its app declares it, with its pools: one for the
// function itself, and one for each variant (app.Options) and each set of class
// parameters that a call has asked for.
type definition struct {
	app      *App
	id, name string

	mu     sync.Mutex
	now    *declared // by the edition that runs
	pools  map[poolKey]*function.Function
	closed string                                   // why there are no more
	made   int                                      // pools, ever
	meters map[*function.Function][]*metering.Meter // by what they have cost one after the other
	past   []api.Usage                              // of pools that have ended
	worked gpu.Work                                 // in such pools, on their cards
}

// poolKey names a pool within its function: what its parameters and options
// are, by hash.
type poolKey [sha256.Size]byte

// newDefinition starts a function. made is how many pools an earlier one of the
// same name had.
func newDefinition(a *App, now *declared, made int) *definition {
	spec := now.spec
	d := &definition{
		app: a, id: now.edition.ids[spec.Name], name: spec.Name, now: now, made: made,
		pools: map[poolKey]*function.Function{}, meters: map[*function.Function][]*metering.Meter{},
	}
	if !spec.Parametrized {
		d.pools[poolKey{}] = d.start(now.version(a.engine, spec, nil), nil, nil)
	}
	need, _ := function.Resources(spec, a.engine.ledger)
	if spec.CPU.Request > need.CPU || spec.Memory.Request > float64(need.Memory>>20)+1 {
		a.say(spec.Name, fmt.Sprintf("it asks for more than this host has, and gets all of it: %s", need))
	}
	return d
}

// start starts a pool.
func (d *definition) start(v *function.Version, params []byte, options json.RawMessage) *function.Function {
	d.made++
	a := d.app
	f := function.New(a.engine.host, function.Config{
		ID: d.id, Pool: d.id + "." + strconv.Itoa(d.made), App: function.App{ID: a.id, Name: a.name, Title: a.title(), Environment: a.environment, Log: a.log, Event: a.events.add, Faults: a.faults},
		Version: v, Params: params, Options: options,
	})
	d.meters[f] = v.NewMeters(nil)
	return f
}

// pool finds or starts the pool for a function with these parameters and
// options, and holds it.
func (d *definition) pool(params []byte, options json.RawMessage) (*function.Function, error) {
	if bytes.Equal(options, []byte("null")) || bytes.Equal(options, []byte("{}")) {
		options = nil
	}
	var key poolKey
	if len(params) > 0 || len(options) > 0 {
		if len(params) > maxParams {
			return nil, fmt.Errorf("the parameters of %s have %d bytes pickled; at most %d are allowed: pass what is large to a method instead", d.name, len(params), maxParams)
		}
		h := sha256.New()
		_ = binary.Write(h, binary.LittleEndian, uint64(len(params))) // never fails
		h.Write(params)
		h.Write(options)
		h.Sum(key[:0])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed != "" {
		return nil, fmt.Errorf("%s takes no more calls: %s", d.name, d.closed)
	}
	f := d.pools[key]
	if f == nil {
		if len(d.pools) >= maxVariants {
			return nil, fmt.Errorf("%s is in use with %d different sets of parameters or options, which is the limit", d.name, len(d.pools))
		}
		spec, err := d.variant(d.now, params, options)
		if err == nil {
			err = d.app.engine.checkCards(&spec)
		}
		if err != nil {
			return nil, err
		}
		f = d.start(d.now.version(d.app.engine, spec, nil), params, options)
		d.pools[key] = f
	}
	f.Hold()
	return f, nil
}

// variant is a declaration of the function with options, checked, with the
// volumes that they name.
func (d *definition) variant(of *declared, params []byte, options json.RawMessage) (app.Function, error) {
	spec, err := of.variant(params, options)
	if err != nil || slices.Equal(spec.Volumes, of.spec.Volumes) {
		return spec, err
	}
	// One who asks for a pool waits for a query of the host's own database.
	spec.Volumes, err = d.app.engine.volumesOf(context.Background(), d.app.environment, &spec)
	return spec, err
}

// variant is the function with options, checked.
func (d *declared) variant(params []byte, options json.RawMessage) (app.Function, error) {
	spec := d.spec
	if len(params) > 0 && !spec.Class {
		return spec, fmt.Errorf("%s is a function, it has no parameters", spec.Name)
	}
	if len(options) == 0 {
		return spec, nil
	}
	var o app.Options
	decoder := json.NewDecoder(bytes.NewReader(options))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return spec, fmt.Errorf("the options for %s cannot be read (is this host older than the SDK?): %w", spec.Name, err)
	}
	spec = spec.With(o)
	return spec, checkFunction(&spec, len(d.edition.images), len(d.edition.data))
}

// resolve finds the pool for a call, and holds it.
func (d *definition) resolve(open wire.OpenBody) (*function.Function, error) {
	if err := d.accepts(open.Method); err != nil {
		return nil, err
	}
	return d.pool(open.Params, open.Options)
}

func (d *definition) accepts(method string) error {
	spec := &d.declared().spec
	if !spec.Class {
		if method != "" {
			return fmt.Errorf("%s is a function, it has no method %q", d.name, method)
		}
		if spec.Web != nil {
			return notCalled(d.name)
		}
		return nil
	}
	for _, m := range spec.Methods {
		if m.Name == method {
			if m.Web != nil {
				return notCalled(d.name + "." + method)
			}
			return nil
		}
	}
	return fmt.Errorf("%s has no method %q", d.name, method)
}

// declared is the function as the edition that runs has it.
func (d *definition) declared() *declared {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// list is the pools there are.
func (d *definition) list() []*function.Function {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*function.Function, 0, len(d.pools))
	for _, f := range d.pools {
		list = append(list, f)
	}
	return list
}

// stop ends all pools; there will be no more.
func (d *definition) stop(reason string, now bool) {
	d.mu.Lock()
	d.closed = reason
	d.mu.Unlock()
	for _, f := range d.list() {
		f.Stop(reason, now)
	}
}

// tidy ends variants that nothing has used for a while.
func (d *definition) tidy(now time.Time) {
	var old []*function.Function
	d.mu.Lock()
	for key, f := range d.pools {
		if (key != (poolKey{}) || d.closed != "") && f.Unused(now.Add(-keepVariant)) {
			delete(d.pools, key)
			old = append(old, f)
		}
	}
	d.mu.Unlock()
	for _, f := range old {
		f.Stop("it was not used", false)
		f.Wait()
		d.mu.Lock()
		for _, m := range d.meters[f] {
			d.past = metering.Add(d.past, m.Usage(now))
			d.worked.Add(m.Work())
		}
		delete(d.meters, f)
		d.mu.Unlock()
	}
}

// usage is what all pools used until now, by kind of card.
func (d *definition) usage(now time.Time) []api.Usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := slices.Clone(d.past)
	for _, meters := range d.meters {
		for i, m := range meters {
			if u := m.Usage(now); i == 0 || u.Containers > 0 { // of a choice of cards that was never taken
				sum = metering.Add(sum, u)
			}
		}
	}
	return sum
}
