package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

const (
	askAtOnce = 20_000         // hashes in one question
	uploads   = 8              // requests under way at once
	small     = api.MaxContent // bytes of the largest content that travels with others
	// A request is full at so many bytes or contents, which leaves it well below
	// api.MaxContents.
	batchBytes = 4 << 20
	batchFiles = 1000
)

// ErrChanged is in the chain of the error about a file that is no longer what
// it was when it was hashed.
var ErrChanged = errors.New("the file has changed since it was hashed")

// Upload sends the contents of files that the host lacks, small ones many at a
// time. progress, which may be nil, is told bytes sent and bytes to send in all,
// from several goroutines.
func (c *Client) Upload(ctx context.Context, files []app.File, open func(app.File) (io.ReadCloser, error), progress func(done, total int64)) error {
	lacks, err := c.lacks(ctx, files)
	if err != nil || len(lacks) == 0 {
		return err
	}
	var done atomic.Int64
	var total int64
	for _, f := range lacks {
		total += f.Size
	}
	report := func(n int) {
		if sent := done.Add(int64(n)); progress != nil {
			progress(min(sent, total), total) // what surrounds the contents does not count
		}
	}
	report(0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, part := range parts(lacks) {
		group.Go(func() error {
			if len(part) == 1 {
				return c.put(ctx, part[0], open, report)
			}
			return c.putMany(ctx, part, open, report)
		})
	}
	return group.Wait()
}

// lacks are those of the files, each content once, that the host does not have.
func (c *Client) lacks(ctx context.Context, files []app.File) ([]app.File, error) {
	bySum := make(map[string]app.File, len(files))
	sums := make([]string, 0, len(files))
	for _, f := range files {
		if _, ok := bySum[f.SHA256]; !ok && f.SHA256 != "" {
			bySum[f.SHA256] = f
			sums = append(sums, f.SHA256)
		}
	}
	var mu sync.Mutex
	var lacks []app.File
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for some := range slices.Chunk(sums, askAtOnce) {
		group.Go(func() error {
			var missing api.MissingReply
			if err := c.call(ctx, http.MethodPost, "/v1/blobs/missing", api.MissingRequest{SHA256: some}, &missing); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, sum := range missing.Missing {
				if f, asked := bySum[sum]; asked {
					lacks = append(lacks, f)
				}
			}
			return nil
		})
	}
	return lacks, group.Wait()
}

// parts divides files into what goes in one request each: a large one alone,
// small ones together.
func parts(files []app.File) [][]app.File {
	var parts [][]app.File
	var open []app.File
	var size int64
	for _, f := range files {
		if f.Size > small {
			parts = append(parts, []app.File{f})
			continue
		}
		open = append(open, f)
		size += f.Size
		if size >= batchBytes || len(open) >= batchFiles {
			parts = append(parts, open)
			open, size = nil, 0
		}
	}
	if len(open) > 0 {
		parts = append(parts, open)
	}
	return parts
}

// put sends one content, as a stream.
func (c *Client) put(ctx context.Context, f app.File, open func(app.File) (io.ReadCloser, error), report func(int)) error {
	content, err := open(f)
	if err != nil {
		return fmt.Errorf("reading %s to upload it: %w", f.Local, err)
	}
	defer content.Close()
	// Without a length: net/http would break off with words of its own if the
	// file changed meanwhile.
	hash := sha256.New()
	body := &counted{Reader: io.TeeReader(content, hash), report: report}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/v1/blobs/"+f.SHA256, body)
	if err != nil {
		return err
	}
	if err := c.do(req, nil); err != nil {
		if isInvalid(err) && body.ended.Load() && hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
			err = ErrChanged
		}
		return fmt.Errorf("uploading %s: %w", f.Local, err)
	}
	return nil
}

// putMany sends several small contents in one request.
func (c *Client) putMany(ctx context.Context, files []app.File, open func(app.File) (io.ReadCloser, error), report func(int)) error {
	var total int64
	for _, f := range files {
		total += f.Size + 64
	}
	body := make([]byte, 0, total)
	var content bytes.Buffer
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		content.Reset()
		err := read(f, open, &content)
		if err == nil && int64(content.Len()) != f.Size {
			err = ErrChanged
		}
		if err == nil {
			body, err = api.AppendContent(body, f.SHA256, content.Bytes())
		}
		if err != nil {
			return fmt.Errorf("uploading %s: %w", f.Local, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/blobs", &counted{Reader: bytes.NewReader(body), report: report})
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(body))
	err = c.do(req, nil)
	if isInvalid(err) {
		if name := changed(body, files); name != "" {
			return fmt.Errorf("uploading %s: %w", name, ErrChanged)
		}
	}
	if err != nil {
		return fmt.Errorf("uploading %s and %d files more: %w", files[0].Local, len(files)-1, err)
	}
	return nil
}

func read(f app.File, open func(app.File) (io.ReadCloser, error), into *bytes.Buffer) error {
	file, err := open(f)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyN(into, file, f.Size+1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// changed names the first file whose content does not have its hash.
func changed(body []byte, files []app.File) string {
	name, i := "", 0
	_ = api.ReadContents(bytes.NewReader(body), func(sum string, content io.Reader) error { // it was written here
		hash := sha256.New()
		_, err := io.Copy(hash, content)
		if name == "" && hex.EncodeToString(hash.Sum(nil)) != sum {
			name = files[i].Local
		}
		i++
		return err
	})
	return name
}

// isInvalid tells whether the host has refused what it was sent.
func isInvalid(err error) bool {
	refused, ok := errors.AsType[*api.Error](err)
	return ok && refused.Code == "invalid"
}

// counted tells how much of a content was read.
type counted struct {
	io.Reader
	report func(int)
	ended  atomic.Bool // all of it was read
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.report(n)
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}
