package secret_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/named"
	"github.com/gx-dev/gx/engine/secret"
	"github.com/gx-dev/gx/engine/store"
)

// lab is a store of secrets in a folder of its own.
type lab struct {
	*secret.Store
	dir          string
	db           *store.DB
	clock        *clock.Fake
	environments *environment.Store
	numbers      atomic.Int64
}

func start(t *testing.T) *lab {
	l := &lab{dir: t.TempDir(), clock: clock.NewFake(time.Unix(1e9, 0))}
	l.open(t)
	return l
}

func (l *lab) open(t *testing.T) {
	t.Helper()
	var err error
	l.db, err = store.Open(filepath.Join(l.dir, "db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.db.Close() })
	l.environments, err = environment.Open(t.Context(), l.db, l.clock)
	require.NoError(t, err)
	l.Store, err = secret.Open(t.Context(), secret.Config{Dir: l.dir, DB: l.db, Clock: l.clock, Environments: l.environments,
		NewID: func(prefix string) string { return fmt.Sprintf("%s-%d", prefix, l.numbers.Add(1)) }})
	require.NoError(t, err)
}

// again is the store after its host's end.
func (l *lab) again(t *testing.T) {
	t.Helper()
	require.NoError(t, l.db.Close())
	l.open(t)
}

// values are those that a container would get.
func (l *lab) values(t *testing.T, name string) map[string]string {
	t.Helper()
	found, err := l.Resolve(t.Context(), "", []app.Secret{{Name: name}})
	require.NoError(t, err)
	return found[0].Values
}

func TestSet(t *testing.T) {
	l := start(t)
	made, err := l.Set(t.Context(), "", "token", map[string]string{"B": "planted-1", "A": ""}, false)
	require.NoError(t, err)
	require.Equal(t, secret.Described{ID: "st-1", Name: "token", Keys: []string{"A", "B"}, Created: 1e9, Updated: 1e9}, made)
	_, err = l.Set(t.Context(), "", "token", map[string]string{"C": "planted-2"}, false)
	require.Equal(t, ask.KindExists, ask.Kind(err))
	require.ErrorContains(t, err, "--force")
	require.Equal(t, map[string]string{"A": "", "B": "planted-1"}, l.values(t, "token"))

	l.clock.Advance(time.Second)
	again, err := l.Set(t.Context(), "", "token", map[string]string{"C": "planted-3"}, true)
	require.NoError(t, err)
	require.Equal(t, secret.Described{ID: "st-1", Name: "token", Keys: []string{"C"}, Created: 1e9, Updated: 1e9 + 1}, again)
	l.again(t)
	require.Equal(t, map[string]string{"C": "planted-3"}, l.values(t, "token"))

	_, err = l.Update(t.Context(), "", "token", map[string]string{"D": "4", "C": "planted-5"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"C": "planted-5", "D": "4"}, l.values(t, "token"))
	_, err = l.Update(t.Context(), "", "other", map[string]string{"D": "4"})
	require.Equal(t, ask.KindNotFound, ask.Kind(err))

	require.NoError(t, l.Delete(t.Context(), "", "token"))
	require.Equal(t, ask.KindNotFound, ask.Kind(l.Delete(t.Context(), "", "token")))
	_, err = l.Resolve(t.Context(), "", []app.Secret{{Name: "token"}})
	require.ErrorContains(t, err, "there is no secret \"token\": make it by `gx secret create token KEY=VALUE`")
}

func TestBadInput(t *testing.T) {
	l := start(t)
	for _, name := range []string{"", "a/b", "..", ".hidden", "-x", "naïve", "a b", "a\x00b", strings.Repeat("x", 300)} {
		_, err := l.Set(t.Context(), "", name, map[string]string{"A": "planted"}, false)
		require.Equal(t, ask.KindRefused, ask.Kind(err), "%q", name)
		_, err = l.Find(t.Context(), "", name)
		require.Equal(t, ask.KindRefused, ask.Kind(err), "%q", name)
	}
	for _, values := range []map[string]string{{"A-B": "planted"}, {"A": strings.Repeat("planted", 10_000)}} {
		_, err := l.Set(t.Context(), "", "x", values, false)
		require.Equal(t, ask.KindRefused, ask.Kind(err))
		require.NotContains(t, err.Error(), "planted")
		_, err = l.Find(t.Context(), "", "x")
		require.Equal(t, ask.KindNotFound, ask.Kind(err), "nothing is left of it")
	}
	_, err := l.Set(t.Context(), "", "x", map[string]string{"A": "planted"}, false)
	require.NoError(t, err)
	_, err = l.Update(t.Context(), "", "x", map[string]string{"B": strings.Repeat("planted", 10_000)})
	require.Equal(t, ask.KindRefused, ask.Kind(err))
	require.Equal(t, map[string]string{"A": "planted"}, l.values(t, "x"))
	desk := ask.NewDesk(l)
	for _, data := range []string{"", "null", "[]", `{"A": 1}`, `{"A": "planted"`, `"planted"`} {
		for _, op := range []string{"secret.create", "secret.update"} {
			_, err := desk.Answer(t.Context(), ask.Query{Op: op, Params: []byte(`{"name": "y"}`), Data: []byte(data)})
			require.Equal(t, ask.KindRefused, ask.Kind(err), data)
			require.NotContains(t, err.Error(), "planted")
		}
	}
}

func TestResolve(t *testing.T) {
	l := start(t)
	require.NoError(t, l.environments.Create(t.Context(), "dev"))
	for environment, value := range map[string]string{"": "main", "dev": "dev"} {
		_, err := l.Set(t.Context(), environment, "one", map[string]string{"A": value, "B": value}, false)
		require.NoError(t, err)
	}
	variables := func(in string, secrets ...app.Secret) map[string]string {
		found, err := l.Resolve(t.Context(), in, secrets)
		require.NoError(t, err)
		return app.Variables(found)
	}
	one := app.Secret{Name: "one", Required: []string{"A", "B"}}
	require.Equal(t, map[string]string{"A": "main", "B": "here"}, variables("", one, app.Secret{Values: map[string]string{"B": "here"}}))
	require.Equal(t, map[string]string{"A": "dev", "B": "dev"}, variables("dev", app.Secret{Values: map[string]string{"B": "here"}}, one))
	require.Equal(t, map[string]string{"A": "dev", "B": "dev"}, variables("", app.Secret{Name: "one", Environment: "dev"}))
	require.Nil(t, one.Values, "what was asked for is not changed")

	one.Required = []string{"A", "X", "Y"}
	_, err := l.Resolve(t.Context(), "", []app.Secret{one})
	require.Equal(t, ask.KindRefused, ask.Kind(err))
	require.ErrorContains(t, err, `secret "one" lacks X, Y, which required_keys= names; it has A, B: `)
	_, err = l.Resolve(t.Context(), "nowhere", []app.Secret{{Name: "one"}})
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	_, err = l.Resolve(t.Context(), "", []app.Secret{{Values: map[string]string{"no name": "planted"}}})
	require.Equal(t, ask.KindRefused, ask.Kind(err))

	require.NoError(t, l.environments.Delete(t.Context(), "dev"))
	_, err = l.Resolve(t.Context(), "", []app.Secret{{Name: "one", Environment: "dev"}})
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
}

func TestList(t *testing.T) {
	l := start(t)
	for _, name := range []string{"a", "b", "c"} {
		l.clock.Advance(time.Second)
		_, err := l.Set(t.Context(), "", name, map[string]string{"K" + name: "planted"}, false)
		require.NoError(t, err)
	}
	for _, c := range []struct {
		query named.Query
		want  string
	}{{named.Query{}, "cba"}, {named.Query{Max: 2}, "cb"}, {named.Query{Before: 1e9 + 3}, "ba"}} {
		list, err := l.List(t.Context(), c.query)
		require.NoError(t, err)
		got := ""
		for _, d := range list {
			got += d.Name
			require.Equal(t, []string{"K" + d.Name}, d.Keys)
		}
		require.Equal(t, c.want, got)
	}
}

// What is on the disk shows no value, whatever was done.
func TestOnDisk(t *testing.T) {
	l := start(t)
	desk := ask.NewDesk(l)
	for i := range 20 {
		_, err := desk.Answer(t.Context(), ask.Query{Op: "secret.create", Params: fmt.Appendf(nil, `{"name": "s%d", "overwrite": true}`, i%7), Data: fmt.Appendf(nil, `{"KEY_PLANTED": "planted-%d"}`, i)})
		require.NoError(t, err)
	}
	require.NoError(t, l.Delete(t.Context(), "", "s1"))
	entries, err := os.ReadDir(l.dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(entries), 3, "database, its log, key")
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(l.dir, e.Name()))
		require.NoError(t, err)
		require.False(t, bytes.Contains(bytes.ToLower(data), []byte("planted")), e.Name())
		info, err := e.Info()
		require.NoError(t, err)
		if e.Name() == secret.KeyFile {
			require.Equal(t, os.FileMode(0o600), info.Mode())
		}
		require.NotContains(t, e.Name(), ".key-", "no draft is left")
	}
}

func TestKey(t *testing.T) {
	l := start(t)
	_, err := l.Set(t.Context(), "", "x", map[string]string{"A": "planted"}, false)
	require.NoError(t, err)
	file := filepath.Join(l.dir, secret.KeyFile)
	key, err := os.ReadFile(file)
	require.NoError(t, err)
	unreadable := func(want string) {
		t.Helper()
		l.again(t)
		_, err := l.Resolve(t.Context(), "", []app.Secret{{Name: "x"}})
		require.ErrorContains(t, err, want)
		require.Equal(t, ask.KindRefused, ask.Kind(err))
		require.NotContains(t, strings.ToUpper(err.Error()), "AGE-SECRET-KEY")
	}
	require.NoError(t, os.Chmod(file, 0o640))
	unreadable("can be read by others (its mode is 0640)")
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.WriteFile(file, append([]byte("x"), key...), 0o600))
	unreadable("is no key of age")
	require.NoError(t, os.Remove(file))
	unreadable("is not there: put the file back")

	// With another key, what there was cannot be read, and can be set anew.
	_, err = l.Set(t.Context(), "", "y", map[string]string{"B": "new"}, false)
	require.NoError(t, err)
	unreadable("was encrypted with another key")
	_, err = l.Update(t.Context(), "", "x", map[string]string{"C": "c"})
	require.Error(t, err, "what it has beside would be lost")
	list, err := l.List(t.Context(), named.Query{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, map[string]string{"B": "new"}, l.values(t, "y"))
	_, err = l.Set(t.Context(), "", "x", map[string]string{"A": "anew"}, true)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "anew"}, l.values(t, "x"))

	// One secret's values are not taken for another's.
	sealed, err := l.Vault.Seal("secret st-1", []byte("{}"))
	require.NoError(t, err)
	_, err = l.Vault.Open("secret st-2", sealed)
	require.ErrorContains(t, err, "something else")
}

func TestTwoAtOnce(t *testing.T) {
	l := start(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := l.Set(t.Context(), "", "same", map[string]string{"A": fmt.Sprint(i), "B": fmt.Sprint(i)}, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	values := l.values(t, "same")
	require.Equal(t, values["A"], values["B"])
}
