//go:build unix

package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
)

func (b *backend) Logs(ctx context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error {
	return b.logs(ctx, ref, q, send)
}

// cutter is a proxy before a socket that cuts connections after some bytes.
func cutter(t *testing.T, socket string, after int64) (address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gx-cut-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			front, err := listener.Accept()
			if err != nil {
				return
			}
			back, err := new(net.Dialer).Dial("unix", socket)
			if err != nil {
				_ = front.Close()
				continue
			}
			serving.Go(func() { _, _ = io.Copy(back, front); _ = back.Close() })
			serving.Go(func() { _, _ = io.CopyN(front, back, after); _ = front.Close(); _ = back.Close() })
		}
	})
	return "unix://" + filepath.Join(dir, "s")
}

func TestLogsGoOnWhereTheyBrokeOff(t *testing.T) {
	b, direct := serve(t)
	const last = 20_000
	var refs []string
	b.logs = func(_ context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error {
		refs = append(refs, ref)
		if err := send(api.LogMessage{Log: &api.LogInfo{App: "ap-1", Name: "name"}}); err != nil {
			return err
		}
		first := max(q.After, uint64(last-q.Tail)%last) + 1
		for seq := first; seq <= last; seq += 10 {
			if seq%1000 == 1 && seq > first+500 { // the host is started again
				return nil
			}
			var lines []api.LogLine
			for i := seq; i < min(seq+10, last+1); i++ {
				lines = append(lines, api.LogLine{Seq: i, Text: strings.Repeat("x", 20)})
			}
			if err := send(api.LogMessage{Lines: lines}); err != nil {
				return err
			}
		}
		return send(api.LogMessage{End: true})
	}
	c, err := Dial(t.Context(), cutter(t, strings.TrimPrefix(direct.Address(), "unix://"), 100_000))
	require.NoError(t, err)
	defer c.Close()
	for _, tail := range []int{0, 15_000} {
		var want uint64 = 1
		if tail > 0 {
			want = last - uint64(tail) + 1
		}
		breaks, told := 0, 0
		refs = nil
		err = c.Logs(t.Context(), "dev/name", api.LogQuery{Follow: true, Tail: tail}, LogEvents{
			Log:  func(api.LogInfo) { told++ },
			Lost: func(error) { breaks++ },
			Lines: func(lines []api.LogLine) error {
				for _, l := range lines {
					if l.Seq != want {
						t.Fatalf("line %d came, not %d", l.Seq, want)
					}
					want++
				}
				return nil
			},
		})
		require.NoError(t, err)
		require.EqualValues(t, last+1, want)
		require.Greater(t, breaks, 10)
		require.Equal(t, 1, told)
		require.Equal(t, []string{"dev/name", "ap-1"}, refs[:2], "once it is known whose log it is, that one is read")
	}
}

func TestLogsAreNarrowedToAContainer(t *testing.T) {
	b, c := serve(t)
	tries := 0
	b.logs = func(_ context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error {
		if tries++; tries == 1 {
			return send(api.LogMessage{Log: &api.LogInfo{App: "ap-1", Name: "name"}})
		}
		require.Equal(t, "ap-1", ref)
		require.Equal(t, []string{"co-1"}, q.Containers)
		return send(api.LogMessage{End: true})
	}
	require.NoError(t, c.Logs(t.Context(), "co-1", api.LogQuery{}, LogEvents{}))
	require.Equal(t, 2, tries)
}

func TestLogsEndWithAnError(t *testing.T) {
	b, c := serve(t)
	b.logs = func(context.Context, string, api.LogQuery, func(api.LogMessage) error) error {
		return &api.Error{Code: "not_found", Message: "no such app"}
	}
	require.ErrorContains(t, c.Logs(t.Context(), "x", api.LogQuery{}, LogEvents{}), "no such app")
	mine := errors.New("the pager was closed")
	b.logs = func(_ context.Context, _ string, _ api.LogQuery, send func(api.LogMessage) error) error {
		return errors.Join(send(api.LogMessage{Log: &api.LogInfo{App: "ap-1"}}), send(api.LogMessage{Lines: []api.LogLine{{Seq: 1}}}))
	}
	require.ErrorIs(t, c.Logs(t.Context(), "x", api.LogQuery{}, LogEvents{Lines: func([]api.LogLine) error { return mine }}), mine)
}
