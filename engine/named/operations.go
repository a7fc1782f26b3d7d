package named

import (
	"context"

	"github.com/gx-dev/gx/engine/ask"
)

// Operations are what is asked of every kind of named object; KIND is the
// directory's:
//
//	KIND.create     environment, name                               {id, name, created_at}
//	KIND.find       environment, name, create_if_missing | id       the same
//	KIND.ephemeral                                                  the same, without a name
//	KIND.hold       id                                              none: one without a name lasts until whoever asks this is gone
//	KIND.list       environment, max, before (seconds since 1970)   {objects: [the same]}
//	KIND.delete     environment, name | id                          {}
func (d *Directory) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		d.kind + ".create": d.with(func(ctx context.Context, p params) (any, error) {
			return d.Create(ctx, p.Environment, p.Name)
		}),
		d.kind + ".find": d.with(func(ctx context.Context, p params) (any, error) {
			return d.named(ctx, p)
		}),
		d.kind + ".ephemeral": d.with(func(ctx context.Context, _ params) (any, error) {
			return d.Ephemeral(ctx)
		}),
		d.kind + ".hold": d.with(func(ctx context.Context, p params) (any, error) {
			o, err := d.ByID(ctx, p.ID)
			if err != nil {
				return nil, err
			}
			return nil, d.Hold(ctx, o)
		}),
		d.kind + ".list": d.with(func(ctx context.Context, p params) (any, error) {
			list, err := d.List(ctx, Query{Environment: p.Environment, Max: p.Max, Before: p.Before})
			return map[string]any{"objects": list}, err
		}),
		d.kind + ".delete": d.with(func(ctx context.Context, p params) (any, error) {
			o, err := d.named(ctx, p)
			if err != nil {
				return nil, err
			}
			return nil, d.Delete(ctx, o)
		}),
	}
}

type params struct {
	Environment string  `json:"environment"`
	Name        string  `json:"name"`
	ID          string  `json:"id"`
	Create      bool    `json:"create_if_missing"`
	Max         int     `json:"max"`
	Before      float64 `json:"before"`
}

// named is the object that parameters name.
func (d *Directory) named(ctx context.Context, p params) (Object, error) {
	if p.ID != "" {
		return d.ByID(ctx, p.ID)
	}
	return d.Find(ctx, p.Environment, p.Name, p.Create)
}

func (d *Directory) with(do func(context.Context, params) (any, error)) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p params
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		result, err := do(ctx, p)
		return ask.Answer{Result: result}, err
	}
}
