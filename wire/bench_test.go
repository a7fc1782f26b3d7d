package wire_test

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/wire"
)

// BenchmarkForward is what a host does with an input: it reads frames from
// one unix socket and writes them, with another call number, to another.
// SetBytes is the body's size.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{40, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			from, in := socketPair(b)
			out, to := socketPair(b)
			body := make([]byte, size)
			var group sync.WaitGroup
			group.Go(func() {
				w := wire.NewWriter(from)
				batch := make([]wire.Frame, 0, 64)
				for sent := 0; sent < b.N; sent += len(batch) {
					batch = batch[:0]
					for i := sent; i < b.N && len(batch) < cap(batch); i++ {
						batch = append(batch, input(1, uint32(i), body))
					}
					if w.Write(batch...) != nil || w.Buffered() > 1<<20 && w.Flush() != nil {
						return
					}
				}
				_ = w.Flush()
			})
			group.Go(func() {
				buf := make([]byte, 1<<20)
				for left := b.N * (wire.HeaderSize + size); left > 0; {
					n, err := to.Read(buf)
					if err != nil {
						return
					}
					left -= n
				}
			})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			r, w := wire.NewReader(in), wire.NewWriter(out)
			batch := make([]wire.Frame, 0, 64)
			for read := 0; read < b.N; read += len(batch) {
				batch = batch[:0]
				for ok := true; ok && len(batch) < cap(batch); ok = r.More() {
					f, err := r.Read()
					require.NoError(b, err)
					f.Call = 7
					batch = append(batch, f)
				}
				require.NoError(b, w.Write(batch...))
				if w.Buffered() > 1<<20 {
					require.NoError(b, w.Flush())
				}
			}
			require.NoError(b, w.Flush())
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkRoundTrip is one small frame there and back between two
// goroutines, the floor of a call through a host.
func BenchmarkRoundTrip(b *testing.B) {
	a, c := socketPair(b)
	var group sync.WaitGroup
	group.Go(func() {
		r, w := wire.NewReader(c), wire.NewWriter(c)
		for {
			f, err := r.Read()
			if err != nil || w.Write(f) != nil {
				return
			}
		}
	})
	r, w := wire.NewReader(a), wire.NewWriter(a)
	body := make([]byte, 40)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		require.NoError(b, w.Write(input(1, uint32(i), body)))
		_, err := r.Read()
		require.NoError(b, err)
	}
	b.StopTimer()
	a.Close()
	group.Wait()
}

// BenchmarkWriters is many goroutines that write small frames to one connection.
func BenchmarkWriters(b *testing.B) {
	a, c := socketPair(b)
	var group sync.WaitGroup
	group.Go(func() { _, _ = io.Copy(io.Discard, c) })
	w := wire.NewWriter(a)
	body := make([]byte, 40)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w.Write(input(1, 1, body)) != nil || w.Buffered() > 1<<20 && w.Flush() != nil {
				b.Error("connection failed")
			}
		}
	})
	require.NoError(b, w.Flush())
	b.StopTimer()
	a.Close()
	group.Wait()
}
