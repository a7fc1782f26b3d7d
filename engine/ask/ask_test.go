package ask_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
)

type service map[string]ask.Handler

func (s service) Operations() map[string]ask.Handler { return s }

func TestDesk(t *testing.T) {
	desk := ask.NewDesk(service{
		"echo": func(_ context.Context, q ask.Query) (ask.Answer, error) {
			var p struct{ Word string }
			if err := q.Decode(&p); err != nil {
				return ask.Answer{}, err
			}
			return ask.Answer{Result: p.Word, Data: q.Data}, nil
		},
		"panic": func(context.Context, ask.Query) (ask.Answer, error) { panic("a bug") },
	})
	a, err := desk.Answer(t.Context(), ask.Query{Op: "echo", Params: json.RawMessage(`{"word":"hi"}`), Data: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, ask.Answer{Result: "hi", Data: []byte("x")}, a)
	for op, params := range map[string]string{"echo": `{"word":1}`, "other": `{}`} {
		_, err := desk.Answer(t.Context(), ask.Query{Op: op, Params: json.RawMessage(params)})
		require.Equal(t, ask.KindRefused, ask.Kind(err), op)
	}
	_, err = desk.Answer(t.Context(), ask.Query{Op: "panic"})
	require.ErrorContains(t, err, "a bug")
	require.Equal(t, ask.KindInternal, ask.Kind(err))
	require.Panics(t, func() {
		ask.NewDesk(service{"echo": nil}, service{"echo": func(context.Context, ask.Query) (ask.Answer, error) { return ask.Answer{}, nil }}, service{"echo": nil})
	})
}

func TestKinds(t *testing.T) {
	for kind, make := range map[string]func(string, ...any) error{
		ask.KindNotFound: ask.NotFound, ask.KindExists: ask.Exists, ask.KindRefused: ask.Refused, ask.KindConflict: ask.Conflict,
		ask.KindFull: ask.Full, ask.KindEmpty: ask.Empty, ask.KindTooLarge: ask.TooLarge,
	} {
		require.Equal(t, kind, ask.Kind(fmt.Errorf("wrapped: %w", make("%d things", 2))))
		require.Equal(t, "2 things", make("%d things", 2).Error())
	}
	require.Equal(t, ask.KindInternal, ask.Kind(errors.New("else")))
}
