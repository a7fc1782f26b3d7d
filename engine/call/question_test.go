package call

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/wire"
)

// question asks.
func question(t *testing.T, c *Caller, number uint32, op, params string, data []byte) {
	t.Helper()
	body, err := wire.EncodeMessage(wire.AskBody{Op: op, Params: json.RawMessage(params)}, data)
	require.NoError(t, err)
	require.NoError(t, c.Handle(wire.Frame{Header: wire.Header{Type: wire.Ask, Call: number}, Body: body}))
}

// answered waits for the answer to a question.
func answered(t *testing.T, r *recorder, number uint32) (head wire.ReplyBody, data []byte) {
	t.Helper()
	var found *wire.Frame
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range r.frames {
			if r.frames[i].Type == wire.Answer && r.frames[i].Call == number {
				found = &r.frames[i]
			}
		}
		return found != nil
	}, 10*time.Second, time.Millisecond)
	data, err := wire.DecodeMessage(found.Body, &head)
	require.NoError(t, err)
	return head, data
}

func asker(t *testing.T) (*Caller, *recorder) {
	t.Helper()
	registry := NewRegistry(clock.Real{}, nil)
	t.Cleanup(registry.Close)
	r := &recorder{}
	return NewCaller(Config{Registry: registry, Sender: r, Host: host{&target{}}, From: ask.From{Container: "co-1"}}), r
}

func TestQuestions(t *testing.T) {
	c, r := asker(t)
	defer c.Close()
	question(t, c, 1, "wait", `{}`, nil) // others go on
	question(t, c, 2, "echo", `{"a":1}`, []byte("data"))
	question(t, c, 3, "else", `{}`, nil)
	head, data := answered(t, r, 2)
	require.Equal(t, map[string]any{"a": 1.0}, head.Result)
	require.Equal(t, "data", string(data))
	head, _ = answered(t, r, 3)
	require.Equal(t, &wire.FailBody{Kind: wire.FailNotFound, Message: `no else of "co-1"`}, head.Error)
}

// TestQuestionsEnd cancels one question, and all that are left with the connection.
func TestQuestionsEnd(t *testing.T) {
	c, _ := asker(t)
	question(t, c, 1, "wait", `{}`, nil)
	question(t, c, 2, "wait", `{}`, nil)
	open := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.questions)
	}
	require.Equal(t, 2, open())
	require.NoError(t, c.Handle(wire.Frame{Header: wire.Header{Type: wire.Cancel, Call: 1, Index: wire.AllInputs}}))
	require.Eventually(t, func() bool { return open() == 1 }, 10*time.Second, time.Millisecond)
	c.Close() // waits for the other
	require.Zero(t, open())
}

func TestBadQuestions(t *testing.T) {
	for name, body := range map[string]string{"empty": "", "short head": "\x09\x00\x00\x00{}", "no JSON": "\x02\x00\x00\x00{["} {
		c, _ := asker(t)
		err := c.Handle(wire.Frame{Header: wire.Header{Type: wire.Ask, Call: 1}, Body: []byte(body)})
		require.ErrorIs(t, err, wire.ErrProtocol, name)
		c.Close()
	}
	c, _ := asker(t)
	defer c.Close()
	question(t, c, 1, "wait", `{}`, nil)
	body, err := wire.EncodeMessage(wire.AskBody{Op: "wait"}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, c.Handle(wire.Frame{Header: wire.Header{Type: wire.Ask, Call: 1}, Body: body}), wire.ErrProtocol)
}
