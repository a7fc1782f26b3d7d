package secret

import (
	"context"
	"encoding/json"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/named"
)

// Operations are what is asked of secrets. Values come as a question's bytes:
// JSON, an object of texts. No answer has any.
//
//	secret.create   environment, name, overwrite; values   Described
//	secret.update   environment, name; values              Described
//	secret.find     environment, name                      Described
//	secret.list     environment, max, before (seconds since 1970)   {objects: [Described]}
//	secret.delete   environment, name                      {}
func (s *Store) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"secret.create": with(func(ctx context.Context, p params, data []byte) (any, error) {
			values, err := decode(data)
			if err != nil {
				return nil, err
			}
			return s.Set(ctx, p.Environment, p.Name, values, p.Overwrite)
		}),
		"secret.update": with(func(ctx context.Context, p params, data []byte) (any, error) {
			values, err := decode(data)
			if err != nil {
				return nil, err
			}
			return s.Update(ctx, p.Environment, p.Name, values)
		}),
		"secret.find": with(func(ctx context.Context, p params, _ []byte) (any, error) {
			return s.Find(ctx, p.Environment, p.Name)
		}),
		"secret.list": with(func(ctx context.Context, p params, _ []byte) (any, error) {
			list, err := s.List(ctx, named.Query{Environment: p.Environment, Max: p.Max, Before: p.Before})
			return map[string]any{"objects": list}, err
		}),
		"secret.delete": with(func(ctx context.Context, p params, _ []byte) (any, error) {
			return nil, s.Delete(ctx, p.Environment, p.Name)
		}),
	}
}

type params struct {
	Environment string  `json:"environment"`
	Name        string  `json:"name"`
	Overwrite   bool    `json:"overwrite"`
	Max         int     `json:"max"`
	Before      float64 `json:"before"`
}

// decode reads values. What is wrong with them is told without showing any: the
// errors of JSON do.
func decode(data []byte) (map[string]string, error) {
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil || values == nil {
		return nil, ask.Refused("the values of a secret are a JSON object of texts, and these are not")
	}
	return values, nil
}

func with(do func(context.Context, params, []byte) (any, error)) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p params
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		result, err := do(ctx, p, q.Data)
		if err != nil {
			return ask.Answer{}, err
		}
		return ask.Answer{Result: result}, nil
	}
}
