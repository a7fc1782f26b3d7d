package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/wire"
)

// directPair is a direct connection and the other end of it.
func directPair(t *testing.T) (wire.Conn, *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	far, err := net.Dial("unix", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	accepted, err := l.AcceptUnix()
	require.NoError(t, err)
	conn := wire.Direct(accepted)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = accepted.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed, "the connection was taken over")
	return conn, far.(*net.UnixConn)
}

func TestDirectCarriesFramesAndFiles(t *testing.T) {
	near, far := directPair(t)
	file, err := wire.NewFile()
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	_, err = file.Write(large)
	require.NoError(t, err)
	frames := []wire.Frame{
		{Header: wire.Header{Type: wire.Input, Call: 1}, Body: []byte("small")},
		{Header: wire.Header{Type: wire.Input, Call: 1, Index: 1}, Body: large}, // more than the socket takes at once
		{Header: wire.Header{Type: wire.Input, Call: 1, Index: 2}, File: file, FileSize: int64(len(large))},
	}
	for _, way := range []struct {
		name     string
		from, to wire.Conn
	}{{"from it", near, far}, {"to it", far, near}} {
		t.Run(way.name, func(t *testing.T) {
			w, r := wire.NewWriter(way.from), wire.NewReader(way.to)
			require.True(t, w.Descriptors())
			require.NoError(t, w.Write(frames...))
			for i := range frames {
				f, err := r.Read()
				require.NoError(t, err)
				require.EqualValues(t, i, f.Index)
				body, err := f.ReadPayload(64 << 20)
				require.NoError(t, err)
				want := large
				if i == 0 {
					want = []byte("small")
				}
				require.True(t, bytes.Equal(want, body))
			}
			require.NoError(t, w.Flush())
		})
	}
}

// reading reads a byte, in a goroutine.
func reading(conn wire.Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		done <- err
	}()
	return done
}

func ends(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it goes on waiting")
		return nil
	}
}

func TestDirectEnds(t *testing.T) {
	t.Run("by a deadline", func(t *testing.T) {
		near, far := directPair(t)
		_, err := far.Write([]byte("ab"))
		require.NoError(t, err)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(-time.Second)))
		require.NoError(t, ends(t, reading(near)), "what has come is read")
		require.NoError(t, ends(t, reading(near)))
		require.ErrorIs(t, ends(t, reading(near)), os.ErrDeadlineExceeded)
	})
	t.Run("by a deadline that comes while it waits", func(t *testing.T) {
		near, _ := directPair(t)
		done := reading(near)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Millisecond)))
		require.ErrorIs(t, ends(t, done), os.ErrDeadlineExceeded)
	})
	t.Run("not by a deadline that was taken back", func(t *testing.T) {
		near, far := directPair(t)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, near.SetReadDeadline(time.Time{}))
		_, err := far.Write([]byte("a"))
		require.NoError(t, err)
		require.NoError(t, ends(t, reading(near)))
	})
	t.Run("when the other side hangs up", func(t *testing.T) {
		near, far := directPair(t)
		done := reading(near)
		require.NoError(t, far.Close())
		require.ErrorIs(t, ends(t, done), io.EOF)
	})
	t.Run("when it is closed while it reads and writes", func(t *testing.T) {
		near, far := directPair(t)
		done := reading(near)
		w := wire.NewWriter(near)
		require.NoError(t, w.Write(wire.Frame{Header: wire.Header{Type: wire.Input}, Body: make([]byte, 16<<20)}))
		require.NotZero(t, w.Buffered(), "nobody reads it")
		require.NoError(t, near.Close())
		require.Error(t, ends(t, done))
		flushed := make(chan error, 1)
		go func() { flushed <- w.Flush() }()
		require.Error(t, ends(t, flushed))
		_, err := io.Copy(io.Discard, far)
		require.True(t, err == nil || errors.Is(err, net.ErrClosed), "%v", err)
		_, err = near.Read(make([]byte, 1))
		require.Error(t, err)
	})
}
