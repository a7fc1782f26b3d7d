package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
)

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

func TestContentsThereAndBack(t *testing.T) {
	want := []string{"", "one", strings.Repeat("x", api.MaxContent)}
	var body []byte
	var err error
	for _, content := range want {
		body, err = api.AppendContent(body, sum(content), []byte(content))
		require.NoError(t, err)
	}
	var got []string
	require.NoError(t, api.ReadContents(bytes.NewReader(body), func(name string, r io.Reader) error {
		content, err := io.ReadAll(r)
		require.Equal(t, sum(string(content)), name)
		got = append(got, string(content))
		return err
	}))
	require.Equal(t, want, got)
}

func TestContentsThatAreRefused(t *testing.T) {
	_, err := api.AppendContent(nil, "no hash", nil)
	require.ErrorContains(t, err, "no SHA-256")
	_, err = api.AppendContent(nil, sum(""), make([]byte, api.MaxContent+1))
	require.ErrorContains(t, err, "at most")

	one, err := api.AppendContent(nil, sum("one"), []byte("one"))
	require.NoError(t, err)
	ignore := func(string, io.Reader) error { return nil }
	require.NoError(t, api.ReadContents(bytes.NewReader(one), ignore), "what is not read is skipped")
	require.ErrorIs(t, api.ReadContents(bytes.NewReader(one[:10]), ignore), io.ErrUnexpectedEOF)
	require.ErrorIs(t, api.ReadContents(bytes.NewReader(one[:len(one)-1]), ignore), io.ErrUnexpectedEOF)
	large := append(make([]byte, 32), 0xff, 0xff, 0xff, 0xff)
	require.ErrorContains(t, api.ReadContents(bytes.NewReader(large), ignore), "at most")
	broken := errors.New("the disk is full")
	require.ErrorIs(t, api.ReadContents(bytes.NewReader(one), func(string, io.Reader) error { return broken }), broken)
}

func FuzzReadContents(f *testing.F) {
	one, err := api.AppendContent(nil, sum("one"), []byte("one"))
	require.NoError(f, err)
	f.Add(one)
	f.Add(append(one, one...))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var read int
		err := api.ReadContents(bytes.NewReader(body), func(name string, r io.Reader) error {
			n, err := io.Copy(io.Discard, r)
			read += int(n) + 36
			require.Len(t, name, 64)
			return err
		})
		if err == nil {
			require.Equal(t, len(body), read, "all of it was read")
		}
	})
}
