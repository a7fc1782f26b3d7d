package dict_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/dict"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
)

// lab is dicts in a database that can be opened again.
type lab struct {
	*dict.Service
	clock *clock.Fake
	db    *store.DB
	id    string // of a dict
}

var numbers atomic.Int64

func newID(prefix string) string { return fmt.Sprintf("%s-%d", prefix, numbers.Add(1)) }

func open(t testing.TB, path string) *lab {
	t.Helper()
	db, err := store.Open(path)
	require.NoError(t, err)
	l := &lab{clock: clock.NewFake(time.Unix(1e9, 0)), db: db}
	environments, err := environment.Open(t.Context(), db, l.clock)
	require.NoError(t, err)
	l.Service, err = dict.Open(t.Context(), dict.Config{DB: db, Clock: l.clock, Environments: environments, NewID: newID, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(l.close)
	o, err := l.Find(t.Context(), "", "d", true)
	require.NoError(t, err)
	l.id = o.ID
	return l
}

func (l *lab) close() {
	l.Close()
	_ = l.db.Close()
}

func start(t testing.TB) *lab {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "db"))
}

func (l *lab) put(t testing.TB, skip bool, pairs ...string) int {
	t.Helper()
	var entries []dict.Entry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, dict.Entry{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	set, err := l.Put(t.Context(), l.id, entries, skip)
	require.NoError(t, err)
	return set
}

// get is a value, or "-".
func (l *lab) get(t testing.TB, key string) string {
	t.Helper()
	value, found, err := l.Value(t.Context(), l.id, []byte(key), true)
	require.NoError(t, err)
	_, there, err := l.Value(t.Context(), l.id, []byte(key), false)
	require.NoError(t, err)
	require.Equal(t, found, there)
	if !found {
		return "-"
	}
	return string(value)
}

func (l *lab) len(t testing.TB) int {
	t.Helper()
	n, err := l.Len(t.Context(), l.id)
	require.NoError(t, err)
	return n
}

func TestEntries(t *testing.T) {
	l := start(t)
	require.Equal(t, "-", l.get(t, "a"))
	require.Equal(t, 3, l.put(t, false, "a", "1", "b", "", "", "empty key"))
	require.Equal(t, []string{"1", "", "empty key"}, []string{l.get(t, "a"), l.get(t, "b"), l.get(t, "")})
	require.Equal(t, 1, l.put(t, false, "a", "2"))
	require.Equal(t, 0, l.put(t, true, "a", "3"))
	require.Equal(t, 1, l.put(t, true, "a", "3", "c", "4"))
	require.Equal(t, "2", l.get(t, "a"))
	require.Equal(t, 4, l.len(t))
	value, found, err := l.Pop(t.Context(), l.id, []byte("a"))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "2", string(value))
	_, found, err = l.Pop(t.Context(), l.id, []byte("a"))
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, l.Clear(t.Context(), l.id))
	require.Zero(t, l.len(t))
}

func TestPersists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	l := open(t, path)
	l.put(t, false, "a", "1")
	ephemeral, err := l.Ephemeral(t.Context())
	require.NoError(t, err)
	l.close()
	l = open(t, path)
	require.Equal(t, "1", l.get(t, "a"))
	_, err = l.ByID(t.Context(), ephemeral.ID)
	require.Equal(t, ask.KindNotFound, ask.Kind(err), "who has made it is not connected any more")
}

func TestRefusals(t *testing.T) {
	l := start(t)
	for what, entries := range map[string][]dict.Entry{
		"a large key":   {{Key: make([]byte, dict.MaxKey+1)}},
		"a large value": {{Key: []byte("a"), Value: make([]byte, dict.MaxValue+1)}},
		"many":          make([]dict.Entry, dict.MaxBatch+1),
	} {
		_, err := l.Put(t.Context(), l.id, entries, false)
		require.Equal(t, ask.KindTooLarge, ask.Kind(err), what)
	}
	_, _, err := l.Value(t.Context(), l.id, make([]byte, dict.MaxKey+1), true)
	require.Equal(t, ask.KindTooLarge, ask.Kind(err))
	_, err = l.Put(t.Context(), "di-none", []dict.Entry{{}}, false)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	o, err := l.ByID(t.Context(), l.id)
	require.NoError(t, err)
	require.NoError(t, l.Delete(t.Context(), o))
	_, err = l.Put(t.Context(), l.id, []dict.Entry{{}}, false)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
}

func TestLargeValue(t *testing.T) {
	l := start(t)
	value := []byte(strings.Repeat("gx", dict.MaxValue/2))
	_, err := l.Put(t.Context(), l.id, []dict.Entry{{Key: []byte("a"), Value: value}, {Key: []byte("b"), Value: []byte("small")}}, false)
	require.NoError(t, err)
	got, _, err := l.Value(t.Context(), l.id, []byte("a"), true)
	require.NoError(t, err)
	require.Equal(t, value, got)
	page, err := l.Page(t.Context(), l.id, nil, true)
	require.NoError(t, err)
	require.True(t, page.More)
	require.Len(t, page.Entries, 1)
	page, err = l.Page(t.Context(), l.id, page.Entries[0].Key, true)
	require.NoError(t, err)
	require.Equal(t, dict.Page{Entries: []dict.Entry{{Key: []byte("b"), Value: []byte("small")}}}, page)
}

func TestPages(t *testing.T) {
	l := start(t)
	want := map[string]string{}
	for i := range 2500 {
		key := fmt.Sprintf("key %d", i)
		want[key] = fmt.Sprint(i)
		l.put(t, false, key, want[key])
	}
	l.put(t, false, "", "empty key")
	want[""] = "empty key"
	got := map[string]string{}
	pages := 0
	for after, more := []byte(nil), true; more; pages++ {
		page, err := l.Page(t.Context(), l.id, after, true)
		require.NoError(t, err)
		for _, e := range page.Entries {
			got[string(e.Key)] = string(e.Value)
			after = e.Key
		}
		more = page.More
	}
	require.Equal(t, want, got)
	require.Equal(t, 3, pages)
	page, err := l.Page(t.Context(), l.id, nil, false)
	require.NoError(t, err)
	require.Empty(t, page.Entries[1].Value, "keys alone")
}

func TestExpiry(t *testing.T) {
	l := start(t)
	day := 24 * time.Hour
	l.put(t, false, "read", "1", "written", "1", "looked for", "1", "left alone", "1")
	l.clock.Advance(6 * day)
	require.Equal(t, "1", l.get(t, "read"))
	l.put(t, false, "written", "2")
	_, found, err := l.Value(t.Context(), l.id, []byte("looked for"), false)
	require.NoError(t, err)
	require.True(t, found)
	l.clock.Advance(2 * day)
	require.Equal(t, []string{"1", "2", "1", "-"}, []string{l.get(t, "read"), l.get(t, "written"), l.get(t, "looked for"), l.get(t, "left alone")})
	require.Equal(t, 3, l.len(t))
	page, err := l.Page(t.Context(), l.id, nil, true)
	require.NoError(t, err)
	require.Len(t, page.Entries, 3)

	// What has expired is not there for who asks to set what is missing, and can't be popped.
	l.clock.Advance(8 * day)
	require.Equal(t, 1, l.put(t, true, "read", "3"))
	require.Equal(t, "3", l.get(t, "read"))
	_, found, err = l.Pop(t.Context(), l.id, []byte("written"))
	require.NoError(t, err)
	require.False(t, found)

	// Its rows go by themselves.
	l.clock.Advance(8 * day)
	require.Eventually(t, func() bool {
		l.clock.Advance(time.Hour)
		var n int
		err := l.db.Read().QueryRow(`SELECT count(*) FROM dict_entries`).Scan(&n) //nolint:noctx // a test
		return err == nil && n == 0
	}, 20*time.Second, 5*time.Millisecond)
}

// TestReadsWriteRarely: a use is written only once an hour.
func TestReadsWriteRarely(t *testing.T) {
	l := start(t)
	l.put(t, false, "a", "1")
	expires := func() (n int64) {
		require.NoError(t, l.db.Read().QueryRow(`SELECT expires FROM dict_entries`).Scan(&n)) //nolint:noctx // a test
		return n
	}
	before := expires()
	l.get(t, "a")
	require.Equal(t, before, expires())
	l.clock.Advance(time.Hour)
	l.get(t, "a")
	require.Equal(t, before+time.Hour.Milliseconds(), expires())
}

// TestOneKey has many write one key: one of them sets it, and every pop gives what a put has put.
func TestOneKey(t *testing.T) {
	l := start(t)
	var all sync.WaitGroup
	var set, popped atomic.Int64
	for i := range 50 {
		all.Go(func() {
			n, err := l.Put(context.WithoutCancel(t.Context()), l.id, []dict.Entry{{Key: []byte("lock"), Value: fmt.Append(nil, i)}}, true)
			if err != nil {
				t.Error(err)
			}
			set.Add(int64(n))
		})
	}
	all.Wait()
	require.EqualValues(t, 1, set.Load())
	for range 50 {
		all.Go(func() {
			if _, found, err := l.Pop(context.WithoutCancel(t.Context()), l.id, []byte("lock")); err != nil {
				t.Error(err)
			} else if found {
				popped.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, popped.Load())
}

func TestOperations(t *testing.T) {
	l := start(t)
	desk := ask.NewDesk(l.Service)
	do := func(op, params, data string) (ask.Answer, error) {
		return desk.Answer(t.Context(), ask.Query{Op: op, Params: []byte(params), Data: []byte(data)})
	}
	id := `"id":"` + l.id + `"`
	a, err := do("dict.put", `{`+id+`,"lengths":[1,2,1,0]}`, "k12l")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"set": 2}, a.Result)
	a, err = do("dict.get", `{`+id+`}`, "k")
	require.NoError(t, err)
	require.Equal(t, ask.Answer{Result: map[string]bool{"found": true}, Data: []byte("12")}, a)
	a, err = do("dict.items", `{`+id+`,"values":true}`, "")
	require.NoError(t, err)
	require.Equal(t, ask.Answer{Result: map[string]any{"lengths": []int{1, 2, 1, 0}, "more": false}, Data: []byte("k12l")}, a)
	a, err = do("dict.items", `{`+id+`,"after":true}`, "k")
	require.NoError(t, err)
	require.Equal(t, "l", string(a.Data))
	a, err = do("dict.pop", `{`+id+`}`, "k")
	require.NoError(t, err)
	require.Equal(t, "12", string(a.Data))
	a, err = do("dict.contains", `{`+id+`}`, "k")
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"found": false}, a.Result)
	a, err = do("dict.len", `{`+id+`}`, "")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"len": 1}, a.Result)
	for params, data := range map[string]string{`{` + id + `,"lengths":[1]}`: "k", `{` + id + `,"lengths":[1,2]}`: "k", `{"id":3}`: ""} {
		_, err = do("dict.put", params, data)
		require.Equal(t, ask.KindRefused, ask.Kind(err), params)
	}
}

func BenchmarkPut(b *testing.B) {
	l := start(b)
	value := make([]byte, 100)
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Put(b.Context(), l.id, []dict.Entry{{Key: fmt.Append(nil, n.Add(1)%10000), Value: value}}, false); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	l := start(b)
	for i := range 1000 {
		l.put(b, false, fmt.Sprint(i), strings.Repeat("x", 100))
	}
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := l.Value(b.Context(), l.id, fmt.Append(nil, n.Add(1)%1000), true); err != nil {
				b.Error(err)
			}
		}
	})
}
