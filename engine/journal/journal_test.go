package journal

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/clock"
)

func store(t *testing.T, dir string) *Store {
	t.Helper()
	return Open(dir, Options{Clock: clock.Real{}, MaxAge: time.Hour, Budget: 1 << 30})
}

func input(i int) Payload { return Payload{Body: fmt.Appendf(nil, "input %d", i)} }

// result is one that can be told from all others and whose size varies.
func result(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "result %d;", i), i%50) }

func TestKeepAndFind(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir)
	j, release := s.Journal("c0de")
	for i := range 1000 {
		j.Keep("", input(i), Payload{Body: result(i)})
	}
	file, err := os.CreateTemp(dir, "payload")
	require.NoError(t, err)
	large := bytes.Repeat([]byte("x"), 3<<20)
	_, err = file.Write(large)
	require.NoError(t, err)
	j.Keep("method", Payload{File: file, Size: int64(len(large))}, Payload{File: file, Size: int64(len(large))})
	require.NoError(t, file.Close()) // the journal has its own
	release()
	release() // a second time it does nothing
	s.Close()

	s = store(t, dir)
	j, release = s.Journal("c0de")
	again, releaseToo := s.Journal("c0de")
	require.Same(t, j, again)
	require.NoError(t, j.Load())
	require.Equal(t, 1001, j.Len())
	for i := range 1000 {
		got, ok, err := j.Find("", input(i))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, string(result(i)), string(got))
	}
	got, ok, err := j.Find("method", Payload{Body: large})
	require.NoError(t, err)
	require.True(t, ok && bytes.Equal(got, large), "the same bytes, wherever they are")
	_, ok, err = j.Find("", Payload{Body: large})
	require.NoError(t, err)
	require.False(t, ok, "of another method")
	_, ok, err = j.Find("", input(1000))
	require.NoError(t, err)
	require.False(t, ok)
	release()
	releaseToo()
}

// TestKilledWriter kills writers at random moments: what is read afterwards is
// always right.
func TestKilledWriter(t *testing.T) {
	if dir := os.Getenv("GX_JOURNAL_DIR"); dir != "" {
		s := store(t, dir)
		j, _ := s.Journal("c0de")
		for i := 0; ; i++ {
			j.Keep("", input(i%5000), Payload{Body: result(i % 5000)})
			if i == 0 {
				for written := int64(0); written == 0; time.Sleep(100 * time.Microsecond) {
					written, _ = s.Usage()
				}
				fmt.Println("begun")
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	dir := t.TempDir()
	most, ever := 0, false
	for range 40 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "GX_JOURNAL_DIR="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(out, make([]byte, len("begun")))
		require.NoError(t, err)
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		s := store(t, dir)
		j, release := s.Journal("c0de")
		require.NoError(t, j.Load())
		found := 0
		for i := range 5000 {
			got, ok, err := j.Find("", input(i))
			require.NoError(t, err)
			if ok {
				found++
				require.Equal(t, string(result(i)), string(got))
			}
		}
		require.Equal(t, j.Len(), found, "nothing is there that was not written")
		require.GreaterOrEqual(t, found, most, "what was there stays")
		most = found
		release()
		s.Close()
		ever = ever || found > 0
		if usage, err := s.Usage(); err == nil && usage > 64<<20 {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "c0de")))
			most = 0
		}
	}
	require.True(t, ever, "something was written")
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	now := clock.NewFake(time.Now())
	s := Open(dir, Options{Clock: now, MaxAge: time.Hour, Budget: 2500})
	for i := range 4 {
		j, release := s.Journal("code" + strconv.Itoa(i))
		j.Keep("", input(i), Payload{Body: make([]byte, 1000)})
		release()
		s.closing.Wait()
		at := time.Now().Add(time.Duration(i) * time.Minute)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "code"+strconv.Itoa(i), "0"), at, at))
	}
	_, release := s.Journal("code0")
	require.NoError(t, s.Collect(0))
	list, err := s.list()
	require.NoError(t, err)
	require.Len(t, list, 3, "the newest two, and the one in use")
	release()
	s.Close()
	now.Advance(2 * time.Hour)
	require.NoError(t, s.Collect(0))
	usage, err := s.Usage()
	require.NoError(t, err)
	require.Zero(t, usage)
}

func TestNeverWaits(t *testing.T) {
	j := &Journal{dir: t.TempDir(), wake: make(chan struct{}, 1)} // nobody writes
	big := Payload{Body: make([]byte, 1<<20)}
	for range 100 {
		j.Keep("", Payload{}, big)
	}
	require.LessOrEqual(t, j.held, int64(maxPending))
	require.Equal(t, int64(100-maxPending>>20), j.skipped)
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	s := Open(dir, Options{Clock: clock.Real{}})
	j, release := s.Journal("seed")
	for i := range 5 {
		j.Keep("", input(i), Payload{Body: result(i)})
	}
	release()
	s.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "seed", "0"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		end := int64(0)
		scan(bytes.NewReader(data), func(_ Key, offset int64, size uint32) {
			if offset < end+headSize || offset+int64(size) > int64(len(data)) {
				t.Fatalf("a record of %d bytes at %d of %d", size, offset, len(data))
			}
			end = offset + int64(size)
		})
	})
}
