package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func quickFetcher() *fetcher {
	f := newFetcher(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, nil)
	f.delay = time.Millisecond
	return f
}

// send answers with data, whether or not the client stays for all of it.
func send(w http.ResponseWriter, data []byte) { _, _ = w.Write(data) }

func TestFetchFile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	for name, c := range map[string]struct {
		part  []byte // what an earlier attempt left
		serve func(n int64, w http.ResponseWriter, r *http.Request)
		asks  int64
		says  string        // the error; "" = none
		stall time.Duration // 0 = the usual one
	}{
		"at once": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { send(w, data) }, 1, "", 0},
		"resumed": {data[:60_000], func(_ int64, w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "bytes=60000-", r.Header.Get("Range"))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}, 1, "", 0},
		"a server without ranges": {data[:60_000], func(_ int64, w http.ResponseWriter, r *http.Request) { send(w, data) }, 1, "", 0},
		"complete already":        {data, func(_ int64, w http.ResponseWriter, r *http.Request) { t.Error("asked") }, 0, "", 0},
		"a spoiled part": {bytes.Repeat([]byte("x"), 60_000), func(_ int64, w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}, 2, "", 0},
		"cut off twice": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				send(w, data[:n*10_000])
				return
			}
			assert.NotEmpty(t, r.Header.Get("Range"), "goes on where it stopped")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}, 3, "", 0},
		"overloaded for a while": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			send(w, data)
		}, 3, "", 0},
		"overloaded for good": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, attempts, "502", 0},
		"forbidden":           {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, 1, "403", 0},
		"missing":             {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, 1, "the archive doesn't have it", 0},
		"always corrupt": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
			send(w, bytes.ToUpper(append(data[:len(data)-1:len(data)-1], 'x')))
		}, attempts, "it is corrupt", 0},
		"longer than promised": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
			send(w, data)
			send(w, data)
		}, 1, "", 0},
		"stalled once": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				send(w, data[:10])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}, 2, "", 2 * time.Second},
		"stalled for good": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, attempts, "nothing came for", 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var asks atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(asks.Add(1), w, r) }))
			defer server.Close()
			path := filepath.Join(t.TempDir(), "file")
			if c.part != nil {
				require.NoError(t, os.WriteFile(path+".part", c.part, 0o644))
			}
			var moved int64
			f := quickFetcher()
			if c.stall > 0 {
				f.stall = c.stall
			}
			err := f.file(t.Context(), server.URL+"/x", path, sum, int64(len(data)), func(n int64) { moved += n })
			assert.Equal(t, c.asks, asks.Load())
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				assert.Zero(t, moved)
				assert.NoFileExists(t, path)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, int64(len(data)), moved)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(data, got))
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := quickFetcher().small(ctx, server.URL, 10)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestFetchLimitsAndCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprint(w, user, ":", password)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	f := quickFetcher()
	f.logins = []login{{machine: "http://" + u.Host + "/debian", user: "me", password: "secret"}}
	got, err := f.small(t.Context(), server.URL+"/debian/x", 9)
	require.NoError(t, err)
	assert.Equal(t, "me:secret", string(got))
	got, err = f.small(t.Context(), server.URL+"/other", 9)
	require.NoError(t, err)
	assert.Equal(t, ":", string(got))
	_, err = f.small(t.Context(), server.URL+"/debian/x", 8)
	require.ErrorContains(t, err, "larger than 8 bytes")
	assert.Equal(t, "http://a.example/x", redact("http://me:secret@a.example/x"))
}

func TestFetchFromAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(file, []byte("hi"), 0o644))
	f := newFetcher(newClient(aptConfig{}), nil)
	got, err := f.small(t.Context(), "file:"+file, 10)
	require.NoError(t, err)
	assert.Equal(t, "hi", string(got))
	_, err = f.small(t.Context(), "file:"+file+".not", 10)
	require.ErrorIs(t, err, errNotFound)
}

// A full or broken disk is not the network's fault, and no mirror mends it.
func TestFetchToABrokenDisk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w, []byte("data")) }))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.Mkdir(path+".part", 0o755))
	err := quickFetcher().file(t.Context(), server.URL+"/x", path, "00", 4, func(int64) {})
	require.ErrorContains(t, err, "is a directory")
	var unreachable *UnreachableError
	assert.NotErrorAs(t, err, &unreachable)
}
