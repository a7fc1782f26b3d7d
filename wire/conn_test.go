package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/wire"
)

// socketPair returns two connected unix sockets.
func socketPair(t testing.TB) (a, b *net.UnixConn) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer listener.Close()
	conn, err := net.Dial("unix", listener.Addr().String())
	require.NoError(t, err)
	peer, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(); peer.Close() })
	return conn.(*net.UnixConn), peer.(*net.UnixConn)
}

func input(call, index uint32, body []byte) wire.Frame {
	return wire.Frame{Header: wire.Header{Type: wire.Input, Attempt: 1, Call: call, Index: index}, Body: body}
}

func payloadFile(t testing.TB, content []byte) *os.File {
	f, err := wire.NewFile()
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	return f
}

func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd to count descriptors in: ", err)
	}
	return len(entries)
}

// TestSizes sends bodies of sizes around every limit within Reader and Writer.
func TestSizes(t *testing.T) {
	sizes := []int{0, 1, 15, 16, 17, 4095, 8 << 10, 8<<10 + 1, 32<<10 - 16, 32 << 10, 32<<10 + 1, 64 << 10, 64<<10 + 1,
		300 << 10, 3 << 20, wire.MaxBody}
	for _, kind := range []string{"unix", "pipe"} {
		t.Run(kind, func(t *testing.T) {
			var a, b net.Conn
			if kind == "unix" {
				a, b = socketPair(t)
			} else {
				a, b = net.Pipe()
			}
			go func() {
				w := wire.NewWriter(a)
				for round := range 3 {
					for i, size := range sizes {
						if err := w.Write(input(uint32(round), uint32(i), bytes.Repeat([]byte{byte(i)}, size))); err != nil {
							t.Error(err)
						}
					}
				}
				if err := w.Flush(); err != nil {
					t.Error(err)
				}
				a.Close()
			}()
			r := wire.NewReader(b)
			var kept []wire.Frame
			for round := range 3 {
				for i, size := range sizes {
					f, err := r.Read()
					require.NoError(t, err)
					require.Equal(t, wire.Header{Size: uint32(size), Type: wire.Input, Attempt: 1, Call: uint32(round), Index: uint32(i)}, f.Header)
					if size < 1<<20 {
						kept = append(kept, f)
					}
				}
			}
			_, err := r.Read()
			require.ErrorIs(t, err, io.EOF)
			for _, f := range kept { // bodies are the caller's: reading on has not changed them
				require.Equal(t, bytes.Repeat([]byte{byte(f.Index)}, int(f.Size)), append([]byte{}, f.Body...))
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	w := wire.NewWriter(a)
	file := payloadFile(t, []byte("x"))
	defer file.Close()
	require.False(t, w.Descriptors())
	require.ErrorIs(t, w.Write(input(1, 1, make([]byte, wire.MaxBody+1))), wire.ErrTooLarge)
	require.Error(t, w.Write(wire.Frame{Header: wire.Header{Type: 99}}))
	require.ErrorContains(t, w.Write(wire.Frame{Header: wire.Header{Type: wire.Input}, File: file, FileSize: 1}), "cannot pass")
	require.ErrorIs(t, w.Write(wire.Frame{Header: wire.Header{Type: wire.Input}, File: file, FileSize: wire.MaxPayload + 1}), wire.ErrTooLarge)
	require.Zero(t, w.Buffered(), "nothing of a refused frame is written")
}

// TestWriteNeverWaits fills a socket that nobody reads.
func TestWriteNeverWaits(t *testing.T) {
	a, b := socketPair(t)
	w := wire.NewWriter(a)
	body := bytes.Repeat([]byte("b"), 10_000)
	const count = 2000 // 20 MB, more than any socket takes
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range count {
			if err := w.Write(input(1, uint32(i), body), input(2, uint32(i), nil)); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("Write waits for the other side")
	}
	require.Greater(t, w.Buffered(), 10<<20)

	r := wire.NewReader(b)
	for i := range count {
		for call := range 2 {
			f, err := r.Read()
			require.NoError(t, err)
			require.Equal(t, [2]uint32{uint32(call + 1), uint32(i)}, [2]uint32{f.Call, f.Index})
		}
	}
	require.NoError(t, w.Flush())
	require.Zero(t, w.Buffered())
}

// TestManyWriters checks that frames of one goroutine keep their order, that
// none is torn, and that nothing is left to run after Flush.
func TestManyWriters(t *testing.T) {
	a, b := socketPair(t)
	w := wire.NewWriter(a)
	const writers, count = 16, 2000
	var group sync.WaitGroup
	for call := range writers {
		group.Go(func() {
			for i := range count {
				body := bytes.Repeat([]byte{byte(call)}, (i*37)%12_000)
				if err := w.Write(input(uint32(call), uint32(i), body)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := make([]uint32, writers)
	r := wire.NewReader(b)
	for range writers * count {
		f, err := r.Read()
		require.NoError(t, err)
		require.Equal(t, next[f.Call], f.Index)
		require.Len(t, f.Body, (int(f.Index)*37)%12_000)
		if len(f.Body) > 0 {
			require.Equal(t, bytes.Repeat([]byte{byte(f.Call)}, len(f.Body)), append([]byte{}, f.Body...))
		}
		next[f.Call]++
	}
	group.Wait()
	require.NoError(t, w.Flush())
	require.False(t, r.More())
}

func TestConnectionFails(t *testing.T) {
	before := openFiles(t)
	for range 20 {
		a, b := socketPair(t)
		w := wire.NewWriter(a)
		file := payloadFile(t, []byte("payload"))
		for i := range 100 { // more than the socket takes, so that some wait
			require.NoError(t, w.Write(input(1, uint32(i), make([]byte, 20_000)),
				wire.Frame{Header: wire.Header{Type: wire.Input}, File: file, FileSize: 7}))
		}
		file.Close()
		b.Close()
		require.Error(t, w.Flush())
		err := w.Write(input(1, 1, nil))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, w.Buffered())
		a.Close()
	}
	for range 20 { // closed on this side
		a, _ := socketPair(t)
		w := wire.NewWriter(a)
		for range 100 {
			require.NoError(t, w.Write(input(1, 1, make([]byte, 20_000))))
		}
		a.Close()
		require.ErrorIs(t, w.Flush(), net.ErrClosed)
	}
	require.LessOrEqual(t, openFiles(t), before+80, "descriptors of the sockets that t.Cleanup closes, and no others")
}

func TestDescriptors(t *testing.T) {
	a, b := socketPair(t)
	before := openFiles(t)
	w := wire.NewWriter(a)
	require.True(t, w.Descriptors())
	const count = 500
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range count {
			content := []byte(fmt.Sprint("payload ", i))
			file := payloadFile(t, content)
			f := wire.Frame{Header: wire.Header{Type: wire.Result, Attempt: 2, Index: uint32(i), Flags: wire.FlagLogged}, Logged: uint64(i), File: file, FileSize: int64(len(content))}
			// Inline frames around it, small and large: each descriptor must come with its own.
			if err := w.Write(input(1, uint32(i), make([]byte, i*100)), f, input(1, uint32(i), nil)); err != nil {
				t.Error(err)
			}
			file.Close()
		}
	}()
	r := wire.NewReader(b)
	defer r.Close()
	for i := range count {
		_, err := r.Read()
		require.NoError(t, err)
		f, err := r.Read()
		require.NoError(t, err)
		require.EqualValues(t, i, f.Logged)
		require.Nil(t, f.Body)
		got, err := f.ReadPayload(1 << 20)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("payload ", i), string(got))
		_, err = r.Read()
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	<-sent // it closes the last file after that has come
	require.Equal(t, before, openFiles(t))
}

func TestBadDescriptors(t *testing.T) {
	announced := func(size int64) []byte {
		file := payloadFile(t, nil)
		defer file.Close()
		f := wire.Frame{Header: wire.Header{Type: wire.Result}, File: file, FileSize: size}
		b, err := f.Append(nil)
		require.NoError(t, err)
		return b
	}
	pipe, other, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	defer other.Close()
	short := payloadFile(t, []byte("short"))
	defer short.Close()
	for name, send := range map[string]func(*net.UnixConn){
		"no descriptor": func(c *net.UnixConn) { _, _ = c.Write(announced(5)) },
		"a pipe":        func(c *net.UnixConn) { _, _, _ = c.WriteMsgUnix(announced(0), wire.Rights(pipe), nil) },
		"a short file":  func(c *net.UnixConn) { _, _, _ = c.WriteMsgUnix(announced(6), wire.Rights(short), nil) },
		"too many of it": func(c *net.UnixConn) {
			b, _ := (&wire.Frame{Header: wire.Header{Type: wire.Bye}}).Append(nil)
			for range 70 {
				_, _, _ = c.WriteMsgUnix(b, wire.Rights(short), nil)
			}
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := socketPair(t)
			before := openFiles(t)
			sent := make(chan struct{})
			go func() { defer close(sent); send(a) }()
			r := wire.NewReader(b)
			var err error
			for err == nil {
				_, err = r.Read()
			}
			require.ErrorIs(t, err, wire.ErrProtocol)
			r.Close()
			<-sent // what it sends is the test's, which closes it
			require.LessOrEqual(t, openFiles(t), before)
		})
	}
}

func TestPiecesAndJoiner(t *testing.T) {
	for _, size := range []int{0, 1, wire.InlineMax, wire.InlineMax + 1, 1 << 20, 3<<20 + 5} {
		content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		file := payloadFile(t, content)
		var joiner wire.Joiner
		var whole wire.Frame
		count := 0
		f := wire.Frame{Header: wire.Header{Type: wire.Input, Call: 3, Index: 4, Attempt: 5}, File: file, FileSize: int64(size)}
		require.NoError(t, wire.Pieces(f, func(piece wire.Frame) error {
			other, ok, err := joiner.Add(input(3, 5, []byte("between"))) // another input's frame
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, "between", string(other.Body))
			count++
			var whole1 wire.Frame
			whole1, ok, err = joiner.Add(piece)
			require.NoError(t, err)
			require.Equal(t, piece.Flags&wire.FlagMore == 0, ok)
			if ok {
				whole = whole1
			}
			return nil
		}))
		require.Equal(t, max(1, (size+1<<20-1)>>20), count)
		require.Equal(t, [3]uint32{3, 4, 5}, [3]uint32{whole.Call, whole.Index, uint32(whole.Attempt)})
		require.Equal(t, size > wire.InlineMax && count > 1, whole.File != nil)
		got, err := whole.ReadPayload(10 << 20)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
		file.Close()
	}
}

func TestPiecesOfALargeBody(t *testing.T) {
	body := make([]byte, wire.MaxBody+5)
	body[wire.MaxBody] = 7
	var joiner wire.Joiner
	defer joiner.Close()
	require.NoError(t, wire.Pieces(input(1, 1, body), func(piece wire.Frame) error {
		whole, ok, err := joiner.Add(piece)
		require.NoError(t, err)
		if ok {
			got, err := whole.ReadPayload(1 << 30)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, got))
		}
		return nil
	}))
}

func TestJoinerRefuses(t *testing.T) {
	piece := input(1, 1, []byte("abc"))
	piece.Flags = wire.FlagMore
	var joiner wire.Joiner
	_, _, err := joiner.Add(piece)
	require.NoError(t, err)
	mixed := piece
	mixed.Type = wire.Result
	_, _, err = joiner.Add(mixed)
	require.ErrorIs(t, err, wire.ErrProtocol)

	before := openFiles(t)
	small := wire.Joiner{Limit: 1 << 20}
	piece.Body = make([]byte, 600<<10)
	_, _, err = small.Add(piece)
	require.NoError(t, err)
	piece.Index = 2
	_, _, err = small.Add(piece)
	require.ErrorIs(t, err, wire.ErrTooLarge)
	small.Drop(1)
	piece.Index = 3
	_, _, err = small.Add(piece)
	require.NoError(t, err, "what is dropped counts no more")
	small.Close()
	require.Equal(t, before, openFiles(t))
}

func TestReadPayloadLimit(t *testing.T) {
	f := input(1, 1, []byte("12345"))
	_, err := f.ReadPayload(4)
	require.ErrorIs(t, err, wire.ErrTooLarge)
	f = wire.Frame{File: payloadFile(t, []byte("12345")), FileSize: 5}
	_, err = f.ReadPayload(4)
	require.ErrorIs(t, err, wire.ErrTooLarge)
	_, err = f.File.Stat()
	require.True(t, errors.Is(err, os.ErrClosed))
}
