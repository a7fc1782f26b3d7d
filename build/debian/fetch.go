package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// attempts is how often a file is asked for.
const attempts = 4

// errNotFound is a file that the archive doesn't have.
var errNotFound = errors.New("the archive doesn't have it")

// errRange is a file that the server thinks has come to its end already.
var errRange = errors.New("the server has no more of it")

// UnreachableError is an archive that could not be reached, or not to the end.
type UnreachableError struct {
	URL string // without credentials
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("downloading %s: %v. %s, for a machine that can't reach it", e.URL, e.Err, wayOut())
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// fetcher downloads files of an archive.
type fetcher struct {
	client *http.Client
	logins []login
	stall  time.Duration // without a byte, after which an attempt is given up
	delay  time.Duration // before the second attempt; three times as long before each further one
}

func newFetcher(client *http.Client, logins []login) *fetcher {
	return &fetcher{client: client, logins: logins, stall: 30 * time.Second, delay: 300 * time.Millisecond}
}

// newClient returns the client for an apt configuration. It is the owner's to
// close by CloseIdleConnections.
func newClient(config aptConfig) *http.Client {
	transport := &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if proxy, found := config.proxy(r.URL); found {
				return proxy, nil
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		MaxIdleConnsPerHost:   downloads,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // indexes are compressed as they are
	}
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	return &http.Client{Transport: transport}
}

// small downloads a file that is kept in memory, at most limit bytes of it.
func (f *fetcher) small(ctx context.Context, address string, limit int64) ([]byte, error) {
	var data []byte
	err := f.retry(ctx, address, func() error {
		body, _, err := f.open(ctx, address, 0)
		if err != nil {
			return err
		}
		defer body.Close()
		data, err = io.ReadAll(io.LimitReader(body, limit+1))
		if err == nil && int64(len(data)) > limit {
			return &finalError{fmt.Errorf("it is larger than %d bytes", limit)}
		}
		return err
	})
	return data, err
}

// file downloads a file of known size and SHA-256 to path, unless it is there.
// An interrupted download goes on where it stopped; a corrupt one starts anew.
// moved is called with the bytes that came, and with a negative number when
// they turn out to be useless.
func (f *fetcher) file(ctx context.Context, address, path, sum string, size int64, moved func(int64)) error {
	if have, err := fileSum(path, size); err == nil && have == sum {
		moved(size)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part := path + ".part"
	return f.retry(ctx, address, func() error {
		if err := f.resume(ctx, address, part, sum, size, moved); err != nil {
			return err
		}
		return os.Rename(part, path)
	})
}

// fileSum is the SHA-256 of a file of the given size.
func fileSum(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != size {
		return "", fmt.Errorf("%s is not %d bytes: %w", path, size, errors.Join(err, os.ErrInvalid))
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// resume is one attempt to complete a partial file.
func (f *fetcher) resume(ctx context.Context, address, part, sum string, size int64, moved func(int64)) (err error) {
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return &finalError{err}
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	h := sha256.New()
	have, err := io.Copy(h, io.LimitReader(out, size))
	if err != nil {
		return err
	}
	came := have
	moved(have)
	defer func() {
		if err != nil {
			moved(-came)
		}
	}()
	if have < size {
		body, from, err := f.open(ctx, address, have)
		if errors.Is(err, errRange) {
			_ = out.Truncate(0) // if that fails, the next attempt fails by the same check
			return fmt.Errorf("it ended after %d of %d bytes", have, size)
		}
		if err != nil {
			return err
		}
		defer body.Close()
		if from != have { // the server sends the whole file
			if _, err := out.Seek(0, io.SeekStart); err != nil {
				return err
			}
			h.Reset()
			moved(-came)
			came, have = 0, 0
		}
		n, err := io.Copy(io.MultiWriter(diskWriter{out}, h, countWriter(func(n int64) { came += n; moved(n) })),
			io.LimitReader(body, size-have))
		have += n
		if err != nil {
			return err
		}
	}
	return checkDownload(out, h, sum, have, size)
}

// checkDownload compares what came with what the index promised. A wrong file
// is emptied, so that the next attempt starts at its beginning.
func checkDownload(out *os.File, h hash.Hash, sum string, have, size int64) error {
	if have < size {
		return fmt.Errorf("it ended after %d of %d bytes", have, size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		_ = out.Truncate(0) // if that fails, the next attempt fails by the same check
		return fmt.Errorf("it is corrupt: SHA-256 is %s, not %s", got, sum)
	}
	if err := out.Truncate(size); err != nil {
		return &finalError{err}
	}
	return nil
}

// open asks for a file from an offset on, and says where the answer begins.
// Reading fails if nothing comes for a while.
func (f *fetcher) open(ctx context.Context, address string, offset int64) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("nothing came for %s", f.stall)) })
	body := &watchedBody{ctx: ctx, cancel: cancel, stalled: stalled, stall: f.stall}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		body.Close()
		return nil, 0, &finalError{err}
	}
	req.Header.Set("User-Agent", "gx")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	for _, l := range f.logins {
		if req.URL.User == nil && l.matches(req.URL) {
			req.SetBasicAuth(l.user, l.password)
			break
		}
	}
	resp, err := f.client.Do(req) //nolint:bodyclose // the watched body closes it
	if err != nil {
		cause := context.Cause(ctx)
		body.Close()
		if cause != nil {
			return nil, 0, cause
		}
		return nil, 0, withoutURL(err)
	}
	body.ReadCloser = resp.Body
	switch {
	case resp.StatusCode == http.StatusOK:
		return body, 0, nil
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		return body, offset, nil
	}
	body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return nil, 0, &finalError{errNotFound}
	case code == http.StatusRequestedRangeNotSatisfiable:
		return nil, 0, errRange
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return nil, 0, fmt.Errorf("the server answered %s", resp.Status)
	default:
		return nil, 0, &finalError{fmt.Errorf("the server answered %s", resp.Status)}
	}
}

// finalError is an error that another attempt won't mend.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// retry carries out an attempt until it succeeds, fails for good, or has
// failed often enough.
func (f *fetcher) retry(ctx context.Context, address string, attempt func() error) error {
	delay := f.delay
	for n := 1; ; n++ {
		err := attempt()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var final *finalError
		if errors.As(err, &final) || n == attempts {
			var disk *fs.PathError
			if errors.Is(err, errNotFound) || errors.As(err, &disk) {
				return fmt.Errorf("downloading %s: %w", redact(address), err)
			}
			return &UnreachableError{URL: redact(address), Err: err}
		}
		wait := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		case <-wait.C:
		}
		delay *= 3
	}
}

// watchedBody is an answer whose reading is given up when it stalls.
type watchedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stalled *time.Timer
	stall   time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.stalled.Reset(b.stall)
	}
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.stalled.Stop()
	b.cancel(nil)
	if b.ReadCloser == nil {
		return nil
	}
	return b.ReadCloser.Close()
}

// diskWriter marks errors of the disk, which no retry mends.
type diskWriter struct{ *os.File }

func (w diskWriter) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	if err != nil {
		err = &finalError{err}
	}
	return n, err
}

// countWriter calls itself with the number of bytes written.
type countWriter func(int64)

func (c countWriter) Write(p []byte) (int, error) {
	c(int64(len(p)))
	return len(p), nil
}

// redact returns an address without its credentials.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a malformed address"
	}
	u.User = nil
	return u.String()
}

// withoutURL strips the address, credentials included, from a client's error.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
