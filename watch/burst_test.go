package watch

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is a time so many milliseconds after the first.
func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func unlocked() bool { return false }

func TestABurstIsLookedAtWhenItIsQuiet(t *testing.T) {
	sizes := map[string]int64{"a": 5, "b": 7}
	size := func(path string) int64 { return sizes[path] }
	for _, c := range []struct {
		name string
		tell func(b *burst)
		ms   int
		want []string
		all  bool
		wait int
	}{
		{name: "nothing was told", tell: func(*burst) {}, ms: 50},
		{name: "too early", tell: func(b *burst) { b.told("a", 5, at(0)) }, ms: 4, wait: 6},
		{name: "quiet", tell: func(b *burst) { b.told("a", 5, at(0)) }, ms: 10, want: []string{"a"}},
		{name: "the last event counts", tell: func(b *burst) { b.told("a", 5, at(0)); b.told("a", 5, at(8)) }, ms: 10, wait: 8},
		{name: "all wait for the last", tell: func(b *burst) { b.told("a", 5, at(0)); b.told("b", 7, at(8)) }, ms: 10, wait: 8},
		{name: "a size that has changed", tell: func(b *burst) { b.told("a", 4, at(0)) }, ms: 10, wait: 10},
		{name: "an empty file is about to be written", tell: func(b *burst) { b.told("empty", 0, at(0)) }, ms: 10, wait: 30},
		{name: "an empty file", tell: func(b *burst) { b.told("empty", 0, at(0)) }, ms: 40, want: []string{"empty"}},
		{name: "folders", tell: func(b *burst) { b.everything(at(0)) }, ms: 10, all: true},
		{name: "folders, too early", tell: func(b *burst) { b.told("a", 5, at(0)); b.everything(at(3)) }, ms: 10, wait: 3},
		{name: "one that never rests", tell: func(b *burst) { b.told("a", 5, at(0)); b.told("b", 7, at(999)) }, ms: 1000, want: []string{"a"}, wait: 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := burst{quiet: 10 * time.Millisecond}
			c.tell(&b)
			got, wait := b.rest(at(c.ms), size, unlocked)
			slices.Sort(got.files)
			require.Equal(t, c.want, got.files)
			require.Equal(t, c.all, got.all)
			require.Equal(t, time.Duration(c.wait)*time.Millisecond, wait)
		})
	}
}

// Who looks at all files time and again does not put off what was found.
func TestWhatIsFoundAgainDoesNotBeginAnew(t *testing.T) {
	size := int64(0)
	b := burst{quiet: 10 * time.Millisecond}
	rest := func(ms int) []string {
		got, _ := b.rest(at(ms), func(string) int64 { return size }, unlocked)
		return got.files
	}
	b.differs("a", 0, at(0))
	b.differs("a", 0, at(30))
	require.Empty(t, rest(30))
	require.Equal(t, []string{"a"}, rest(40))
	b.differs("a", 0, at(50))
	size = 5
	b.differs("a", 5, at(60))
	require.Empty(t, rest(65))
	require.Equal(t, []string{"a"}, rest(70))
}

func TestALockHoldsABurst(t *testing.T) {
	size := func(string) int64 { return 5 }
	locked := true
	lock := func() bool { return locked }
	b := burst{quiet: 10 * time.Millisecond}
	b.told("a", 5, at(0))
	got, wait := b.rest(at(2000), size, lock)
	require.Equal(t, look{}, got)
	require.Equal(t, lockLook, wait)
	b.told("b", 5, at(2001))
	locked = false
	got, wait = b.rest(at(2004), size, lock)
	require.Equal(t, look{}, got, "what the lock has held rests as other things do")
	require.Equal(t, 10*time.Millisecond, wait)
	got, _ = b.rest(at(2014), size, lock)
	require.Len(t, got.files, 2)
	require.True(t, got.all, "the kernel may not have told of all of it yet")

	locked = true
	b.told("a", 5, at(3000))
	got, _ = b.rest(at(8000), size, lock)
	require.Len(t, got.files, 1, "a lock that was left behind is not believed for ever")
}
