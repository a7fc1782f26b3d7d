package named_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/named"
	"github.com/gx-dev/gx/engine/store"
)

type lab struct {
	*named.Directory
	clock        *clock.Fake
	environments *environment.Store
	gone         []int64
}

func start(t *testing.T) *lab {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	l := &lab{clock: clock.NewFake(time.Unix(1e9, 0))}
	l.environments, err = environment.Open(t.Context(), db, l.clock)
	require.NoError(t, err)
	var numbers atomic.Int64
	l.Directory, err = named.Open(t.Context(), named.Config{DB: db, Clock: l.clock, Environments: l.environments, Kind: "dict", Prefix: "di",
		NewID: func(prefix string) string { return fmt.Sprintf("%s-%d", prefix, numbers.Add(1)) },
		Gone:  func(key int64) { l.gone = append(l.gone, key) }})
	require.NoError(t, err)
	return l
}

func TestNames(t *testing.T) {
	l := start(t)
	require.NoError(t, l.environments.Create(t.Context(), "dev"))
	_, err := l.Find(t.Context(), "", "jobs", false)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	require.ErrorContains(t, err, "gx dict create jobs")
	made, err := l.Create(t.Context(), "", "jobs")
	require.NoError(t, err)
	_, err = l.Create(t.Context(), "main", "jobs")
	require.Equal(t, ask.KindExists, ask.Kind(err))
	found, err := l.Find(t.Context(), "main", "jobs", true)
	require.NoError(t, err)
	require.Equal(t, made, found)
	byID, err := l.ByID(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, made, byID)

	other, err := l.Find(t.Context(), "dev", "jobs", true)
	require.NoError(t, err)
	require.NotEqual(t, made.ID, other.ID, "names are separate per environment")
	_, err = l.Find(t.Context(), "staging", "jobs", true)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))

	require.NoError(t, l.Delete(t.Context(), made))
	require.Equal(t, []int64{made.Key}, l.gone)
	_, err = l.ByID(t.Context(), made.ID)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	again, err := l.Create(t.Context(), "", "jobs")
	require.NoError(t, err)
	require.NotEqual(t, made.Key, again.Key)
}

func TestBadNames(t *testing.T) {
	l := start(t)
	for _, name := range []string{"", "a/b", "../x", ".hidden", "-x", "naïve", "a b", "a\x00b", strings.Repeat("x", 65), strings.Repeat("x", 300)} {
		for _, create := range []bool{false, true} {
			_, err := l.Find(t.Context(), "", name, create)
			require.Equal(t, ask.KindRefused, ask.Kind(err), "%q: %v", name, err)
			require.Less(t, len(err.Error()), 400)
		}
	}
}

func TestTwoMakeOne(t *testing.T) {
	l := start(t)
	var all sync.WaitGroup
	ids := make([]string, 20)
	for i := range ids {
		all.Go(func() {
			o, err := l.Find(t.Context(), "", "same", true)
			if err != nil {
				t.Error(err)
			}
			ids[i] = o.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

func TestList(t *testing.T) {
	l := start(t)
	for _, name := range []string{"a", "b", "c"} {
		l.clock.Advance(time.Second)
		_, err := l.Create(t.Context(), "", name)
		require.NoError(t, err)
	}
	_, err := l.Ephemeral(t.Context())
	require.NoError(t, err)
	for _, c := range []struct {
		query named.Query
		want  string
	}{{named.Query{}, "cba"}, {named.Query{Max: 2}, "cb"}, {named.Query{Before: 1e9 + 3}, "ba"}, {named.Query{Before: 1e9}, ""}} {
		list, err := l.List(t.Context(), c.query)
		require.NoError(t, err)
		var got strings.Builder
		for _, o := range list {
			got.WriteString(o.Name)
		}
		require.Equal(t, c.want, got.String(), "%+v", c.query)
	}
}

func TestWithoutNames(t *testing.T) {
	l := start(t)
	mine, err := l.Ephemeral(t.Context())
	require.NoError(t, err)
	other, err := l.Ephemeral(t.Context())
	require.NoError(t, err)
	ctx, leave := context.WithCancel(t.Context())
	held := make(chan error, 1)
	go func() { held <- l.Hold(ctx, mine) }()
	_, err = l.ByID(t.Context(), mine.ID)
	require.NoError(t, err)
	leave()
	require.NoError(t, <-held)
	_, err = l.ByID(t.Context(), mine.ID)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	_, err = l.ByID(t.Context(), other.ID)
	require.NoError(t, err)

	named, err := l.Create(t.Context(), "", "kept")
	require.NoError(t, err)
	require.Equal(t, ask.KindRefused, ask.Kind(l.Hold(ctx, named)))
}

func TestEnvironmentDeleted(t *testing.T) {
	l := start(t)
	require.NoError(t, l.environments.Create(t.Context(), "dev"))
	o, err := l.Create(t.Context(), "dev", "x")
	require.NoError(t, err)
	_, err = l.ByID(t.Context(), o.ID)
	require.NoError(t, err)
	require.NoError(t, l.environments.Delete(t.Context(), "dev"))
	require.NoError(t, l.EnvironmentGone(t.Context()))
	_, err = l.ByID(t.Context(), o.ID)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	require.Equal(t, []int64{o.Key}, l.gone)
}

func TestOperations(t *testing.T) {
	l := start(t)
	desk := ask.NewDesk(l)
	do := func(op, params string) (any, error) {
		a, err := desk.Answer(t.Context(), ask.Query{Op: op, Params: []byte(params)})
		return a.Result, err
	}
	made, err := do("dict.create", `{"name":"a"}`)
	require.NoError(t, err)
	found, err := do("dict.find", `{"name":"a"}`)
	require.NoError(t, err)
	require.Equal(t, made, found)
	byID, err := do("dict.find", fmt.Sprintf(`{"id":%q}`, made.(named.Object).ID))
	require.NoError(t, err)
	require.Equal(t, made, byID)
	list, err := do("dict.list", `{}`)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"objects": []named.Object{made.(named.Object)}}, list)
	_, err = do("dict.delete", `{"name":"a"}`)
	require.NoError(t, err)
	_, err = do("dict.delete", `{"name":"a"}`)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
}
