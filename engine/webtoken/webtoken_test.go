package webtoken_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/engine/webtoken"
)

func TestLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := store.Open(path)
	require.NoError(t, err)
	s, err := webtoken.Open(t.Context(), db, clock.Real{})
	require.NoError(t, err)
	ctx := t.Context()
	one, secret, err := s.Create(ctx, "for curl")
	require.NoError(t, err)
	two, other, err := s.Create(ctx, "")
	require.NoError(t, err)
	require.NotEqual(t, secret, other)

	require.True(t, s.Allowed(ctx, one.Key, secret))
	require.True(t, s.Allowed(ctx, two.Key, other))
	for _, wrong := range [][2]string{{one.Key, other}, {one.Key, ""}, {"", secret}, {"wk-none", secret}, {one.Key, secret + "x"}, {"' OR 1=1 --", secret}} {
		require.False(t, s.Allowed(ctx, wrong[0], wrong[1]), wrong)
	}
	list, err := s.List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)

	require.NoError(t, s.Delete(ctx, one.Key))
	require.False(t, s.Allowed(ctx, one.Key, secret))
	require.Equal(t, ask.KindNotFound, ask.Kind(s.Delete(ctx, one.Key)))
	_, _, err = s.Create(ctx, strings.Repeat("x", 1000))
	require.Equal(t, ask.KindRefused, ask.Kind(err))

	// It is there after the host's end, and its secret is not.
	require.NoError(t, db.Close())
	for _, name := range []string{path, path + "-wal"} {
		data, _ := os.ReadFile(name) // there may be no log
		require.NotContains(t, string(data), other)
	}
	db, err = store.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err = webtoken.Open(ctx, db, clock.Real{})
	require.NoError(t, err)
	require.True(t, s.Allowed(ctx, two.Key, other))
}

func TestOperations(t *testing.T) {
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := webtoken.Open(t.Context(), db, clock.Real{})
	require.NoError(t, err)
	desk := ask.NewDesk(s)
	made, err := desk.Answer(t.Context(), ask.Query{Op: "web_token.create", Params: json.RawMessage(`{"note":"n"}`)})
	require.NoError(t, err)
	pair, ok := made.Result.(map[string]string)
	require.True(t, ok && s.Allowed(t.Context(), pair["key"], pair["secret"]), made.Result)
	for op := range s.Operations() {
		_, err := desk.Answer(t.Context(), ask.Query{Op: op, From: ask.From{App: "ap-1", Container: "co-1"}})
		require.Equal(t, ask.KindRefused, ask.Kind(err), op)
	}
}
