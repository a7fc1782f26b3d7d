package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

const (
	askAtOnce = 20_000 // hashes in one question
	uploads   = 8      // contents under way at once
)

// Upload sends the contents of files that the host lacks. progress, which may
// be nil, is told bytes sent and bytes to send in all, from several goroutines.
func (c *Client) Upload(ctx context.Context, files []app.File, open func(app.File) (io.ReadCloser, error), progress func(done, total int64)) error {
	bySum := make(map[string]app.File, len(files))
	sums := make([]string, 0, len(files))
	for _, f := range files {
		if _, ok := bySum[f.SHA256]; !ok {
			bySum[f.SHA256] = f
			sums = append(sums, f.SHA256)
		}
	}
	var lacks []app.File
	var total int64
	for len(sums) > 0 {
		n := min(askAtOnce, len(sums))
		var missing api.MissingReply
		if err := c.call(ctx, http.MethodPost, "/v1/blobs/missing", api.MissingRequest{SHA256: sums[:n]}, &missing); err != nil {
			return err
		}
		sums = sums[n:]
		for _, sum := range missing.Missing {
			if f, asked := bySum[sum]; asked {
				lacks = append(lacks, f)
				total += f.Size
			}
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	var done atomic.Int64
	report := func(n int) {
		if sent := done.Add(int64(n)); progress != nil {
			progress(sent, total)
		}
	}
	report(0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, f := range lacks {
		group.Go(func() error { return c.put(ctx, f, open, report) })
	}
	return group.Wait()
}

func (c *Client) put(ctx context.Context, f app.File, open func(app.File) (io.ReadCloser, error), report func(int)) error {
	content, err := open(f)
	if err != nil {
		return fmt.Errorf("reading %s to upload it: %w", f.Local, err)
	}
	defer content.Close()
	// Without a length: net/http would break off with words of its own if the
	// file changed meanwhile. The host says that the content is another.
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/v1/blobs/"+f.SHA256, &counted{content, report})
	if err != nil {
		return err
	}
	if err := c.do(req, nil); err != nil {
		return fmt.Errorf("uploading %s: %w", f.Local, err)
	}
	return nil
}

// counted tells how much of a content was read.
type counted struct {
	io.Reader
	report func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.report(n)
	return n, err
}
