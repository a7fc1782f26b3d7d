package engine

import (
	"context"

	"github.com/gx-dev/gx/engine/ask"
)

// pages tells where the host's own web pages are.
type pages struct{ *Engine }

// Operations implements ask.Service.
//
//	web.page  label   {"url": where the host's page of that label is}
func (e pages) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"web.page": func(ctx context.Context, q ask.Query) (ask.Answer, error) {
			var p struct {
				Label string `json:"label"`
			}
			if err := q.Decode(&p); err != nil {
				return ask.Answer{}, err
			}
			if !e.gateway.HasPage(p.Label) {
				return ask.Answer{}, ask.NotFound("this host has no page %.100q", p.Label)
			}
			if err := e.gateway.Listen(ctx); err != nil {
				return ask.Answer{}, err
			}
			return ask.Answer{Result: map[string]string{"url": e.gateway.URL(p.Label)}}, nil
		},
	}
}
