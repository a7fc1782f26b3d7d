package sdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is a control socket and Python's end of it.
func pair(t testing.TB) (*Control, net.Conn) {
	t.Helper()
	ours, theirs, err := socketPair()
	require.NoError(t, err)
	control, err := newControl(ours)
	require.NoError(t, err)
	require.NoError(t, ours.Close())
	python, err := net.FileConn(theirs)
	require.NoError(t, err)
	require.NoError(t, theirs.Close())
	t.Cleanup(func() { control.Close(); python.Close() })
	return control, python
}

func TestLines(t *testing.T) {
	const most = 64 // more than the buffer, which is 16 bytes
	long := strings.Repeat("x", most-1)
	tests := map[string]struct {
		in   string
		want []string
		err  string
	}{
		"nothing":             {in: "", err: "EOF"},
		"short":               {in: "a\nb\n", want: []string{"a\n", "b\n"}, err: "EOF"},
		"as long as may be":   {in: long + "\nb\n", want: []string{long + "\n", "b\n"}, err: "EOF"},
		"too long":            {in: "a\n" + long + "x\n", want: []string{"a\n"}, err: "more than 64 bytes"},
		"too long, no end":    {in: strings.Repeat("x", 10*most), err: "more than 64 bytes"},
		"cut off":             {in: "a\nbc", want: []string{"a\n"}, err: "unexpected EOF"},
		"the buffer's length": {in: strings.Repeat("x", 15) + "\n" + strings.Repeat("y", 16) + "\n", want: []string{strings.Repeat("x", 15) + "\n", strings.Repeat("y", 16) + "\n"}, err: "EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines := lineReader{from: bufio.NewReaderSize(strings.NewReader(test.in), 16), most: most}
			var got []string
			line, err := lines.next()
			for ; err == nil; line, err = lines.next() {
				got = append(got, string(line))
			}
			require.Equal(t, test.want, got)
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestRecvGoesOnAfterItsContext(t *testing.T) {
	control, python := pair(t)
	_, err := python.Write([]byte(`{"sync"`))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = control.Recv(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = control.Recv(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded, "at once")
	_, err = python.Write([]byte(": 41}\n"))
	require.NoError(t, err)
	m, err := control.Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(41), m.Sync)
}

// FuzzRecv holds that whatever Python sends is understood, or is an error that
// says what is wrong, and that nothing of it is lost on the way.
func FuzzRecv(f *testing.F) {
	for _, seed := range []string{
		`{"start":{"manifest":{"version":1,"name":"a","functions":[{"name":"f","payload":"gAWV"}]},"output":true}}`,
		`{"sync":41}` + "\n" + `{"stop":{}}`, `{"exception":{"kind":"user","message":"m","line":3}}`,
		`{"exit":{"code":1}}`, `{"warning":"w"}`, "", "\n\n", "null", "[1]", `{"sync":-1}`, `{"sync":1e99}`, `{"start":{"manifest":{"images":[{"steps":[{"op":"x","files":[{}]}]}]}}}`,
		strings.Repeat("[", 20000), "\xff\x00\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		control, python := pair(t)
		go func() {
			_, _ = python.Write(data)
			_ = python.Close()
		}()
		for _, line := range bytes.SplitAfter(data, []byte("\n")) {
			got, err := control.Recv(t.Context())
			if !bytes.HasSuffix(line, []byte("\n")) {
				if len(line) == 0 {
					require.ErrorIs(t, err, io.EOF)
				} else {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
				return
			}
			var want FromPython
			wrong := json.Unmarshal(line, &want)
			require.Equal(t, wrong != nil, err != nil)
			require.False(t, errors.Is(err, io.EOF))
			if err == nil {
				require.Equal(t, want, got)
			}
		}
	})
}

// A Python may end as soon as it has the line, before Send returns.
func TestSendToAPythonThatEnds(t *testing.T) {
	for range 300 {
		control, python := pair(t)
		ended := make(chan error, 1)
		go func() {
			_, err := bufio.NewReader(python).ReadString('\n')
			ended <- errors.Join(err, python.Close())
		}()
		require.NoError(t, control.Send(ToPython{Synced: 7}, os.Stdin))
		require.NoError(t, <-ended)
		require.NoError(t, control.Close())
	}
}
