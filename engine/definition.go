package engine

import (
	"bytes"
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
	"github.com/gx-dev/gx/build"
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
	app    *App
	shared function.App
	id     string
	spec   app.Function
	image  build.Image
	source string

	mu     sync.Mutex
	pools  map[poolKey]*function.Function
	closed string // why there are no more
	made   int    // pools, ever
	meters map[*function.Function]*metering.Meter
	past   []api.Usage // of pools that have ended
}

// poolKey names a pool within its function: what its parameters and options
// are, by hash.
type poolKey [sha256.Size]byte

func newDefinition(a *App, shared function.App, spec app.Function, source string) *definition {
	d := &definition{
		app: a, shared: shared, id: shared.Functions[spec.Name], spec: spec, image: a.images[spec.Image], source: source,
		pools: map[poolKey]*function.Function{}, meters: map[*function.Function]*metering.Meter{},
	}
	if !spec.Parametrized {
		d.pools[poolKey{}] = d.start(spec, nil, nil)
	}
	need, _ := function.Resources(spec, a.engine.ledger)
	if spec.CPU.Request > need.CPU || spec.Memory.Request > float64(need.Memory>>20)+1 {
		a.say(spec.Name, fmt.Sprintf("it asks for more than this host has, and gets all of it: %s", need))
	}
	return d
}

// start starts a pool.
func (d *definition) start(spec app.Function, params []byte, options json.RawMessage) *function.Function {
	e := d.app.engine
	need, limits := function.Resources(spec, e.ledger)
	rate := metering.Rate{Function: spec.Name, Cores: need.CPU, Memory: need.Memory, Emulated: true}
	label := ""
	if cards, err := gpu.ParseAll(spec.GPU); err == nil && len(cards) > 0 { // it was checked
		rate.GPU, rate.GPUs = cards[0].Card, cards[0].Count
		label = cards[0].Card
		if cards[0].Count > 1 {
			label = strconv.Itoa(cards[0].Count) + " × " + label
		}
		label += " (emulated)"
	}
	meter := metering.New(rate)
	d.made++
	f := function.New(e.host, function.Config{
		ID: d.id, Pool: d.id + "." + strconv.Itoa(d.made), App: d.shared, Spec: spec, Params: params, Options: options, Image: d.image, Source: d.source,
		Need: need, Limits: limits, GPU: label, Meter: meter,
	})
	d.meters[f] = meter
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
			return nil, fmt.Errorf("the parameters of %s have %d bytes pickled; at most %d are allowed: pass what is large to a method instead", d.spec.Name, len(params), maxParams)
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
		return nil, fmt.Errorf("%s takes no more calls: %s", d.spec.Name, d.closed)
	}
	f := d.pools[key]
	if f == nil {
		if len(d.pools) >= maxVariants {
			return nil, fmt.Errorf("%s is in use with %d different sets of parameters or options, which is the limit", d.spec.Name, len(d.pools))
		}
		spec, err := d.variant(params, options)
		if err != nil {
			return nil, err
		}
		f = d.start(spec, params, options)
		d.pools[key] = f
	}
	f.Hold()
	return f, nil
}

// variant is the function with options, checked.
func (d *definition) variant(params []byte, options json.RawMessage) (app.Function, error) {
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
	return spec, checkFunction(&spec, len(d.app.images), len(d.app.trees))
}

// resolve finds the pool for a call, and holds it.
func (d *definition) resolve(open wire.OpenBody) (*function.Function, error) {
	if err := d.accepts(open.Method); err != nil {
		return nil, err
	}
	return d.pool(open.Params, open.Options)
}

func (d *definition) accepts(method string) error {
	if !d.spec.Class {
		if method != "" {
			return fmt.Errorf("%s is a function, it has no method %q", d.spec.Name, method)
		}
		return nil
	}
	for _, m := range d.spec.Methods {
		if m.Name == method {
			return nil
		}
	}
	return fmt.Errorf("%s has no method %q", d.spec.Name, method)
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
		if key != (poolKey{}) && f.Unused(now.Add(-keepVariant)) {
			delete(d.pools, key)
			old = append(old, f)
		}
	}
	d.mu.Unlock()
	for _, f := range old {
		f.Stop("it was not used", false)
		f.Wait()
		d.mu.Lock()
		d.past = metering.Add(d.past, d.meters[f].Usage(now))
		delete(d.meters, f)
		d.mu.Unlock()
	}
}

// usage is what all pools used until now, by kind of card.
func (d *definition) usage(now time.Time) []api.Usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := slices.Clone(d.past)
	for _, m := range d.meters {
		sum = metering.Add(sum, m.Usage(now))
	}
	return sum
}
