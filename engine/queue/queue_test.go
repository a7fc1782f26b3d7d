package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/queue"
	"github.com/gx-dev/gx/engine/store"
)

// lab is queues in a database that can be opened again.
type lab struct {
	*queue.Service
	clock *clock.Fake
	db    *store.DB
	id    string // of a queue
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
	l.Service, err = queue.Open(t.Context(), queue.Config{DB: db, Clock: l.clock, Environments: environments, NewID: newID, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(l.close)
	o, err := l.Find(t.Context(), "", "q", true)
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

var now = new(time.Duration) // do not wait

func in(d time.Duration) *time.Duration { return &d }

func (l *lab) partition(name string) queue.Partition {
	return queue.Partition{Queue: l.id, Name: name}
}

func (l *lab) put(t testing.TB, partition string, items ...string) {
	t.Helper()
	require.NoError(t, l.Put(t.Context(), l.partition(partition), encode(items), time.Hour, now))
}

func encode(items []string) [][]byte {
	list := make([][]byte, len(items))
	for i, item := range items {
		list[i] = []byte(item)
	}
	return list
}

func decode(items [][]byte) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}

func (l *lab) get(t testing.TB, partition string, n int) []string {
	t.Helper()
	items, err := l.Get(t.Context(), l.partition(partition), n, now)
	if ask.Kind(err) == ask.KindEmpty {
		return nil
	}
	require.NoError(t, err)
	return decode(items)
}

func (l *lab) len(t testing.TB, partition string) int {
	t.Helper()
	n, err := l.Len(t.Context(), l.partition(partition), false)
	require.NoError(t, err)
	return n
}

func many(n int) []string {
	items := make([]string, n)
	for i := range items {
		items[i] = strconv.Itoa(i)
	}
	return items
}

func TestFirstInFirstOut(t *testing.T) {
	l := start(t)
	l.put(t, "", "a", "b")
	l.put(t, "other", "x")
	l.put(t, "", "", "d")
	require.Equal(t, 4, l.len(t, ""))
	require.Equal(t, []string{"a"}, l.get(t, "", 1))
	require.Equal(t, []string{"b", "", "d"}, l.get(t, "", 10))
	require.Nil(t, l.get(t, "", 10))
	require.Equal(t, []string{"x"}, l.get(t, "other", 1))
	require.Nil(t, l.get(t, "none", 1))
}

func TestPersists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	l := open(t, path)
	l.put(t, "", "a", "b", "c")
	require.Equal(t, []string{"a"}, l.get(t, "", 1))
	l.close()
	l = open(t, path)
	l.put(t, "", "d")
	require.Equal(t, []string{"b", "c", "d"}, l.get(t, "", 10))
}

func TestRefusals(t *testing.T) {
	l := start(t)
	here := l.partition("")
	for what, err := range map[string]error{
		"an item that is too large": l.Put(t.Context(), here, [][]byte{make([]byte, queue.MaxItem+1)}, time.Hour, nil),
		"more items than fit":       l.Put(t.Context(), here, make([][]byte, queue.MaxItems+1), time.Hour, nil),
		"no time to live":           l.Put(t.Context(), here, encode([]string{"a"}), 0, nil),
		"much time to live":         l.Put(t.Context(), here, encode([]string{"a"}), queue.MaxTTL+1, nil),
		"a long name":               l.Put(t.Context(), l.partition(strings.Repeat("x", 65)), encode([]string{"a"}), time.Hour, nil),
		"no items wanted":           func() error { _, err := l.Get(t.Context(), here, 0, nil); return err }(),
		"no such queue":             l.Put(t.Context(), queue.Partition{Queue: "qu-none"}, encode([]string{"a"}), time.Hour, nil),
	} {
		require.Contains(t, []string{ask.KindRefused, ask.KindTooLarge, ask.KindNotFound}, ask.Kind(err), "%s: %v", what, err)
	}
	require.NoError(t, l.Put(t.Context(), here, [][]byte{make([]byte, queue.MaxItem)}, queue.MaxTTL, nil))
	require.NoError(t, l.Put(t.Context(), here, nil, time.Hour, nil), "nothing is nothing")
}

func TestFull(t *testing.T) {
	l := start(t)
	l.put(t, "", many(queue.MaxItems-1)...)
	err := l.Put(t.Context(), l.partition(""), encode([]string{"x", "y"}), time.Hour, now)
	require.Equal(t, ask.KindFull, ask.Kind(err))
	require.Equal(t, queue.MaxItems-1, l.len(t, ""), "all or none")
	l.put(t, "", "last")
	l.put(t, "other", "has room")

	err = l.waiting(t, func() error {
		return l.Put(t.Context(), l.partition(""), encode([]string{"x"}), time.Hour, in(time.Second))
	}, func() { l.clock.Advance(time.Second) })
	require.Equal(t, ask.KindFull, ask.Kind(err))

	// Who waits is let in when there is room, in the order in which they came.
	entered := make(chan string, 3)
	var all sync.WaitGroup
	for _, items := range [][]string{{"p1", "p2", "p3"}, {"q1"}, {"r1"}} {
		before := l.Waiting()
		all.Go(func() {
			if err := l.Put(t.Context(), l.partition(""), encode(items), time.Hour, nil); err != nil {
				t.Error(err)
			}
			entered <- items[0]
		})
		l.await(t, before+1)
	}
	require.Len(t, l.get(t, "", 2), 2) // p needs three places, and q does not overtake
	require.Equal(t, queue.MaxItems-2, l.len(t, ""))
	require.Len(t, l.get(t, "", 1), 1)
	require.Equal(t, "p1", <-entered)
	l.await(t, 2)
	require.Len(t, l.get(t, "", 2), 2)
	all.Wait()
	items := l.get(t, "", queue.MaxItems)
	require.Equal(t, []string{"last", "p1", "p2", "p3", "q1", "r1"}, items[len(items)-6:])
}

// await waits until so many requests wait in lines.
func (l *lab) await(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return l.Waiting() == n }, time.Minute, time.Millisecond)
}

// block has all updates of the database wait until the returned function is called.
func (l *lab) block(t testing.TB) (release func()) {
	t.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- l.db.Update(t.Context(), func(*sql.Tx) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		require.NoError(t, <-done)
	}
}

// waiting starts something that waits, does what ends the waiting, and returns its result.
func (l *lab) waiting(t testing.TB, wait func() error, end func()) error {
	t.Helper()
	before := l.Waiting()
	done := make(chan error, 1)
	go func() { done <- wait() }()
	l.await(t, before+1)
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	end()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it waits on")
		return nil
	}
}

func TestWaiting(t *testing.T) {
	l := start(t)
	var got [][]byte
	get := func(ctx context.Context, timeout *time.Duration) func() error {
		return func() (err error) {
			got, err = l.Get(ctx, l.partition("p"), 3, timeout)
			return err
		}
	}
	// Until there is something: what there is, not as many as were asked for.
	require.NoError(t, l.waiting(t, get(t.Context(), nil), func() { l.put(t, "p", "a", "b") }))
	require.Equal(t, []string{"a", "b"}, decode(got))
	require.NoError(t, l.waiting(t, get(t.Context(), in(time.Minute)), func() { l.put(t, "p", "c", "d", "e", "f") }))
	require.Equal(t, []string{"c", "d", "e"}, decode(got))
	require.Equal(t, []string{"f"}, l.get(t, "p", 3))
	// Until its time is over.
	err := l.waiting(t, get(t.Context(), in(time.Minute)), func() { l.clock.Advance(time.Minute) })
	require.Equal(t, ask.KindEmpty, ask.Kind(err))
	// Until the asker is gone, who swallows nothing.
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, l.waiting(t, get(ctx, nil), cancel), context.Canceled)
	l.put(t, "p", "g")
	require.Equal(t, []string{"g"}, l.get(t, "p", 1))
	// Until the queue is deleted.
	err = l.waiting(t, get(t.Context(), nil), func() {
		o, err := l.ByID(t.Context(), l.id)
		require.NoError(t, err)
		require.NoError(t, l.Delete(t.Context(), o))
	})
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	err = l.Put(t.Context(), l.partition("p"), encode([]string{"x"}), time.Hour, nil)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
}

// TestLate has the time of one who waits be over while another's request is done
// together with its own: it is told then, and not when somebody puts an item.
func TestLate(t *testing.T) {
	l := start(t)
	cleared := make(chan error, 1)
	err := l.waiting(t, func() error {
		_, err := l.Get(t.Context(), l.partition(""), 1, in(time.Minute))
		return err
	}, func() {
		release := l.block(t)
		go func() { cleared <- l.Clear(t.Context(), l.partition(""), false) }()
		require.Eventually(t, func() bool { return l.Busy() == 2 }, time.Minute, time.Millisecond)
		l.clock.Advance(time.Minute)
		require.Eventually(t, func() bool { return l.Late() == 1 }, time.Minute, time.Millisecond)
		release()
	})
	require.Equal(t, ask.KindEmpty, ask.Kind(err))
	require.NoError(t, <-cleared)
}

// TestLeads has the one who is to do what is wanted be gone before it does.
func TestLeads(t *testing.T) {
	l := start(t)
	for range 200 {
		var all sync.WaitGroup
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			all.Go(func() {
				if items, err := l.Get(ctx, l.partition(""), 1, nil); err == nil {
					t.Errorf("it has got %q", items)
				}
			})
			all.Go(cancel)
		}
		all.Wait()
		l.put(t, "", "a", "b")
		require.Equal(t, []string{"a", "b"}, l.get(t, "", 2))
	}
	require.Zero(t, l.Waiting())
}

// TestFair has getters wait, who are served in the order in which they came.
func TestFair(t *testing.T) {
	l := start(t)
	const n = 20
	got := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			items, err := l.Get(t.Context(), l.partition(""), 1, nil)
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = string(items[0])
		})
		l.await(t, i+1)
	}
	for _, item := range many(n) {
		l.put(t, "", item)
	}
	all.Wait()
	require.Equal(t, many(n), got)
}

func TestDeletedWithItems(t *testing.T) {
	l := start(t)
	l.put(t, "", many(10)...)
	o, err := l.ByID(t.Context(), l.id)
	require.NoError(t, err)
	require.Equal(t, 1, l.InUse())
	require.NoError(t, l.Delete(t.Context(), o))
	require.Zero(t, l.InUse(), "nothing is known of what is not there any more")
	for _, table := range []string{"queue_partitions", "queue_items"} {
		var n int
		require.NoError(t, l.db.Read().QueryRow(`SELECT count(*) FROM `+table).Scan(&n)) //nolint:noctx // a test
		require.Zero(t, n, table)
	}
	again, err := l.Find(t.Context(), "", "q", true)
	require.NoError(t, err)
	require.NotEqual(t, l.id, again.ID)
	_, err = l.Get(t.Context(), l.partition(""), 1, now)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
}

func TestClear(t *testing.T) {
	l := start(t)
	for _, p := range []string{"", "a", "b"} {
		l.put(t, p, "1", "2")
	}
	require.NoError(t, l.Clear(t.Context(), l.partition("a"), false))
	require.Equal(t, []int{2, 0, 2}, []int{l.len(t, ""), l.len(t, "a"), l.len(t, "b")})
	l.put(t, "a", "3")
	require.Equal(t, []string{"3"}, l.get(t, "a", 10))
	total, err := l.Len(t.Context(), l.partition(""), true)
	require.NoError(t, err)
	require.Equal(t, 4, total)
	states, err := l.Partitions(t.Context(), l.id, 10)
	require.NoError(t, err)
	require.Equal(t, []queue.State{{Name: "", Items: 2, Expires: 1e9 + 3600}, {Name: "b", Items: 2, Expires: 1e9 + 3600}}, states)
	require.NoError(t, l.Clear(t.Context(), l.partition(""), true))
	total, err = l.Len(t.Context(), l.partition(""), true)
	require.NoError(t, err)
	require.Zero(t, total)
	// There is room where there was none.
	l.put(t, "a", many(queue.MaxItems)...)
	require.NoError(t, l.waiting(t, func() error { return l.Put(t.Context(), l.partition("a"), encode([]string{"x"}), time.Hour, nil) },
		func() { require.NoError(t, l.Clear(t.Context(), l.partition("a"), false)) }))
	require.Equal(t, []string{"x"}, l.get(t, "a", 10))
}

func TestExpiry(t *testing.T) {
	l := start(t)
	l.put(t, "", "old")
	l.clock.Advance(59 * time.Minute)
	l.put(t, "", "new") // the last put counts
	l.clock.Advance(59 * time.Minute)
	require.Equal(t, 2, l.len(t, ""))
	l.clock.Advance(time.Minute)
	require.Zero(t, l.len(t, ""))
	require.Nil(t, l.get(t, "", 1))
	l.put(t, "", "later")
	require.Equal(t, []string{"later"}, l.get(t, "", 5))

	// Its rows go too, by themselves.
	l.put(t, "x", many(100)...)
	l.clock.Advance(2 * time.Hour)
	require.Eventually(t, func() bool {
		l.clock.Advance(time.Minute)
		var n int
		err := l.db.Read().QueryRow(`SELECT (SELECT count(*) FROM queue_partitions) + (SELECT count(*) FROM queue_items)`).Scan(&n) //nolint:noctx // a test
		return err == nil && n == 0
	}, time.Minute, 5*time.Millisecond)

	// Who waits for room has it when the partition expires.
	l.put(t, "full", many(queue.MaxItems)...)
	require.NoError(t, l.waiting(t, func() error { return l.Put(t.Context(), l.partition("full"), encode([]string{"x"}), time.Hour, nil) },
		func() { l.clock.Advance(time.Hour) }))
	require.Equal(t, []string{"x"}, l.get(t, "full", 10))
}

func TestPeek(t *testing.T) {
	l := start(t)
	l.put(t, "p", "a", "b", "c")
	items, err := l.Peek(t.Context(), l.partition("p"), 0, 2, now)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, decode(items.Values))
	items, err = l.Peek(t.Context(), l.partition("p"), items.Last, 2, now)
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, decode(items.Values))
	none, err := l.Peek(t.Context(), l.partition("p"), items.Last, 2, now)
	require.NoError(t, err)
	require.Equal(t, queue.Items{Last: items.Last}, none)
	require.Equal(t, 3, l.len(t, "p"))

	// It waits for the next put, also when all is taken and the partition forgotten meanwhile.
	done := make(chan []string, 1)
	go func() {
		next, err := l.Peek(t.Context(), l.partition("p"), items.Last, 2, nil)
		if err != nil {
			t.Error(err)
		}
		done <- decode(next.Values)
	}()
	require.Eventually(t, func() bool { return l.Watching() == 1 }, time.Minute, time.Millisecond)
	require.Len(t, l.get(t, "p", 10), 3)
	l.clock.Advance(2 * time.Hour)
	l.put(t, "p", "d")
	require.Equal(t, []string{"d"}, <-done)
	require.Zero(t, l.Watching())
}

func TestLargeAnswers(t *testing.T) {
	l := start(t)
	items := make([][]byte, 40)
	for i := range items {
		items[i] = make([]byte, queue.MaxItem)
	}
	require.NoError(t, l.Put(t.Context(), l.partition(""), items, time.Hour, now))
	got, err := l.Get(t.Context(), l.partition(""), 40, now)
	require.NoError(t, err)
	require.Len(t, got, 32, "an answer has a limit")
	got, err = l.Get(t.Context(), l.partition(""), 40, now)
	require.NoError(t, err)
	require.Len(t, got, 8)
}

// TestCrowd has many put and get at random, some of whom give up: every item
// arrives once, in the order of its putter, or is still there.
func TestCrowd(t *testing.T) {
	l := start(t)
	const putters, getters, each = 8, 8, 400
	var all, putting sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for p := range putters {
		putting.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			for i := 0; i < each; {
				n := min(1+random.IntN(3), each-i)
				items := make([]string, n)
				for k := range items {
					items[k] = fmt.Sprintf("%d/%d", p, i+k)
				}
				if err := l.Put(t.Context(), l.partition("x"), encode(items), time.Hour, nil); err != nil {
					t.Error(err)
					return
				}
				i += n
			}
		})
	}
	for g := range getters {
		all.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(g)))
			last := map[string]int{}
			for {
				ctx, giveUp := ctx, func() {}
				if g%2 == 0 {
					ctx, giveUp = context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Microsecond)
				}
				items, err := l.Get(ctx, l.partition("x"), 1+random.IntN(3), nil)
				giveUp()
				if errors.Is(err, context.DeadlineExceeded) {
					continue
				}
				if err != nil {
					return
				}
				mu.Lock()
				for _, item := range decode(items) {
					seen[item]++
					putter, number, _ := strings.Cut(item, "/")
					n, _ := strconv.Atoi(number)
					if before, ok := last[putter]; ok && before >= n {
						t.Errorf("item %d of putter %s came after %d", n, putter, before)
					}
					last[putter] = n
				}
				mu.Unlock()
			}
		})
	}
	putting.Wait()
	require.Eventually(t, func() bool { return l.len(t, "x") == 0 }, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == putters*each
	}, time.Minute, time.Millisecond)
	cancel()
	all.Wait()
	for item, n := range seen {
		require.Equal(t, 1, n, item)
	}
	// Whoever did what was asked last forgets it just after the answer.
	require.Eventually(t, func() bool { return l.InUse() == 0 }, time.Minute, time.Millisecond, "no partition stays known that nobody needs")
}

// TestDatabaseFails has an update fail: everybody is told, and nothing is half done.
func TestDatabaseFails(t *testing.T) {
	l := start(t)
	l.put(t, "", "a", "b")
	breakIt := func(sqlText string) {
		require.NoError(t, l.db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(sqlText)
			return err
		}))
	}
	breakIt(`CREATE TRIGGER broken BEFORE DELETE ON queue_items BEGIN SELECT raise(ABORT, 'broken disk'); END`)
	_, err := l.Get(t.Context(), l.partition(""), 1, nil)
	require.ErrorContains(t, err, "broken disk")
	breakIt(`DROP TRIGGER broken`)
	require.Equal(t, []string{"a", "b"}, l.get(t, "", 5))
}

func TestOperations(t *testing.T) {
	l := start(t)
	desk := ask.NewDesk(l.Service)
	do := func(op, params, data string) (ask.Answer, error) {
		return desk.Answer(t.Context(), ask.Query{Op: op, Params: []byte(params), Data: []byte(data)})
	}
	id := `"id":"` + l.id + `"`
	_, err := do("queue.put", `{`+id+`,"partition":"p","lengths":[1,0,2],"partition_ttl":60,"timeout":0}`, "abb")
	require.NoError(t, err)
	a, err := do("queue.get", `{`+id+`,"partition":"p","n":2,"timeout":0}`, "")
	require.NoError(t, err)
	require.Equal(t, ask.Answer{Result: map[string]any{"lengths": []int{1, 0}}, Data: []byte("a")}, a)
	a, err = do("queue.len", `{`+id+`,"total":true}`, "")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"len": 1}, a.Result)
	for _, c := range []struct{ op, params, data, kind string }{
		{"queue.put", `{` + id + `,"lengths":[9]}`, "abb", ask.KindRefused},
		{"queue.put", `{` + id + `,"lengths":"x"}`, "", ask.KindRefused},
		{"queue.put", `{` + id + `,"lengths":[1],"partition_ttl":-1}`, "a", ask.KindRefused},
		{"queue.get", `{` + id + `,"n":1,"timeout":-5}`, "", ask.KindEmpty},
		{"queue.get", `{"id":"","n":1}`, "", ask.KindNotFound},
	} {
		_, err := do(c.op, c.params, c.data)
		require.Equal(t, c.kind, ask.Kind(err), "%s %s: %v", c.op, c.params, err)
	}
}

func BenchmarkPutGet(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			l := start(b)
			item := [][]byte{make([]byte, 100)}
			var n atomic.Int64
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				p := l.partition(strconv.Itoa(int(n.Add(1)) % partitions))
				for pb.Next() {
					if err := l.Put(b.Context(), p, item, time.Hour, nil); err != nil {
						b.Error(err)
					}
					if _, err := l.Get(b.Context(), p, 1, nil); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
