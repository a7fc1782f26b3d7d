package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/metering"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/source"
	"github.com/gx-dev/gx/gpu"
)

// edition is an app as one manifest declares it, with all that its containers
// are made of. It does not change; an update replaces it by another one.
type edition struct {
	number    int               // from 1
	manifest  *app.Manifest     // is not changed
	ids       map[string]string // of its functions, by name
	functions []*declared
	images    []build.Image       // a pin of each
	data      []map[string]string // hashes of the files of each mount that are no Python, by path
}

// declared is one function of an edition.
type declared struct {
	edition *edition
	spec    app.Function
	image   build.Image
	tree    source.Tree
	pins    *function.Pins // of image and tree
}

// newEdition checks nothing: see check. It takes the images over, on an error
// too. Release it.
func (e *Engine) newEdition(ctx context.Context, number int, m *app.Manifest, images []build.Image) (_ *edition, err error) {
	d := &edition{number: number, manifest: m, images: images}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	for _, mount := range m.Mounts {
		files := map[string]string{}
		for _, f := range mount.Files {
			if !f.Dir && !strings.HasSuffix(f.Remote, ".py") { // Python counts by what a function uses of it
				files[f.Remote] = f.SHA256
			}
		}
		d.data = append(d.data, files)
	}
	// Most functions of an app have the same files, which may be many.
	trees := map[string]source.Tree{}
	for i := range m.Functions {
		f := &declared{edition: d, spec: m.Functions[i], image: d.images[m.Functions[i].Image]}
		files := fmt.Sprint(f.spec.Image, f.spec.Mounts)
		if made, ok := trees[files]; ok {
			f.tree = made.Retain()
		} else {
			if f.tree, err = e.source(ctx, m, &f.spec, f.image); err != nil {
				return nil, err
			}
			trees[files] = f.tree
		}
		if f.spec.Volumes, err = e.volumesOf(ctx, m.Environment, &f.spec); err != nil {
			return nil, err
		}
		if err := e.checkCards(&f.spec); err != nil {
			return nil, err
		}
		image := f.image.Retain()
		f.pins = function.NewPins(func() {
			f.tree.Release()
			image.Release()
		})
		d.functions = append(d.functions, f)
	}
	return d, nil
}

// unable says why a function or a step cannot have these volumes here; "" = it
// can.
func (e *Engine) unable(volumes []app.VolumeMount) string {
	if _, able := e.cfg.Runtime.(container.Overlayer); able || len(volumes) == 0 {
		return ""
	}
	return fmt.Sprintf("it has volumes, and the runtime %q has none: start the host as root, with --runtime runc", e.cfg.Runtime.Name())
}

// volumesOf finds the volumes that a function's containers have.
func (e *Engine) volumesOf(ctx context.Context, environment string, f *app.Function) ([]app.VolumeMount, error) {
	if len(f.Volumes) == 0 {
		return nil, nil
	}
	if why := e.unable(f.Volumes); why != "" {
		return nil, at(f, "%s", why)
	}
	volumes, err := e.volumes.Resolve(ctx, environment, f.Volumes)
	if err != nil && ask.Kind(err) != ask.KindInternal {
		return nil, at(f, "%v", err)
	}
	return volumes, err
}

// source makes the directory of a function's files.
func (e *Engine) source(ctx context.Context, m *app.Manifest, f *app.Function, image build.Image) (source.Tree, error) {
	var mounts []app.Mount
	for _, i := range f.Mounts {
		mounts = append(mounts, m.Mounts[i])
	}
	root := image.Root()
	tree, err := e.sources.Make(ctx, mounts, root.Lower, root.Venv != "")
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return tree, at(f, "a file of it was not uploaded: %v", err)
	case errors.Is(err, source.ErrPath), errors.Is(err, source.ErrTooMany):
		return tree, at(f, "%v", err)
	case err != nil:
		return tree, fmt.Errorf("preparing the files of function %q: %w", f.Name, err)
	}
	return tree, nil
}

// version is the function, or a variant of it, for a pool, which goes on from an
// older one (nil = it is new).
func (d *declared) version(e *Engine, spec app.Function, older *function.Version) *function.Version {
	need, limits := function.Resources(spec, e.ledger)
	requests, _ := gpu.ParseAll(spec.GPU) // it was checked
	cards, _ := e.choices(requests)
	if len(cards) == 0 {
		cards = []gpu.Choice{{}} // none
	}
	v := &function.Version{
		Number: d.edition.number, Spec: spec, Image: d.image, Sources: d.tree.Dirs(), Files: d.tree.Files(), Functions: d.edition.ids,
		Limits: limits, Pins: d.pins,
	}
	for _, c := range cards {
		v.Choices = append(v.Choices, e.choice(spec.Name, need, c, older))
	}
	d.pins.Hold()
	return v
}

// choice is what a container may be set aside, with a meter that goes on from
// that of an older version if it is the same.
func (e *Engine) choice(name string, need pool.Capacity, c gpu.Choice, older *function.Version) function.Choice {
	made := function.Choice{Need: need, Cards: c}
	rate := metering.Rate{Function: name, Cores: need.CPU, Memory: need.Memory, Price: e.prices.PerSecond(c.Price, c.Count, need.CPU, need.Memory)}
	if c.Count > 0 {
		rate.GPU, rate.GPUs, rate.Emulated = c.Card, c.Count, e.cfg.GPUs.Emulated()
		made.Need.Cards = map[string]int{c.Card: c.Count}
		made.Label = c.String()
		if rate.Emulated {
			made.Label += " (emulated)"
		}
	}
	if older != nil {
		for _, o := range older.Choices {
			if o.Meter.Rate() == rate {
				made.Meter = o.Meter
				return made
			}
		}
	}
	made.Meter = metering.New(rate)
	return made
}

// checkCards says that the host can never give a function the cards that it asks
// for.
func (e *Engine) checkCards(f *app.Function) error {
	requests, err := gpu.ParseAll(f.GPU)
	if err == nil {
		_, err = e.choices(requests)
	}
	if err != nil {
		return at(f, "%v", err)
	}
	return nil
}

// choices are the cards that the host can give for requests.
func (e *Engine) choices(requests []gpu.Request) ([]gpu.Choice, error) {
	if e.cfg.GPUs == nil {
		return gpu.Choices(requests, map[string]int{})
	}
	return gpu.Choices(requests, e.cfg.GPUs.Stock())
}

// release lets go of what the edition holds; containers that run it hold it
// themselves. It may be called for nil.
func (d *edition) release() {
	if d == nil {
		return
	}
	for _, f := range d.functions {
		f.pins.Release()
	}
	release(d.images)
}

func release(images []build.Image) {
	for _, i := range images {
		i.Release()
	}
}
