//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// reloads: from a save to the first response by the new code, against uvicorn
// --reload of the same application in the same image, and how many requests were
// refused meanwhile.
func reloads(ctx context.Context, l *lab) ([]row, error) {
	dir := filepath.Join(l.dir, "reload")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(l.apps, "reload"))); err != nil {
		return nil, err
	}
	app, err := startApp(ctx, l, "serve", "--timeout", "600", filepath.Join(dir, "serve.py"))
	if err != nil {
		return nil, err
	}
	defer app.stop()
	go func() { _, _ = io.Copy(io.Discard, app.out) }()
	jail, err := jailOf(ctx, "bench-reload", "api")
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, app.stderr.String())
	}
	url := ""
	for range 200 {
		if url = regexp.MustCompile(`http://\S+`).FindString(app.stderr.String()); url != "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if url == "" {
		return nil, fmt.Errorf("gx serve said no URL:\n%s", app.stderr.String())
	}
	copied := filepath.Join(jail.root, "tmp", "reload")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(l.apps, "reload"))); err != nil {
		return nil, err
	}
	main := "from shop import create\n\nweb = create()\n"
	if err := os.WriteFile(filepath.Join(copied, "main.py"), []byte(main), 0o644); err != nil {
		return nil, err
	}
	peer, err := jail.uvicorn(ctx, "/tmp/reload", "main:web", "--reload")
	if err != nil {
		return nil, err
	}
	defer peer.stop()
	const edits = 20
	var ours, theirs []float64
	refused := map[string]int{}
	for i := range edits {
		for _, side := range []struct {
			name, url, dir string
			took           *[]float64
		}{{"gx", url, dir, &ours}, {"uvicorn", peer.url, copied, &theirs}} {
			time.Sleep(700 * time.Millisecond) // as between a user's saves
			took, lost, err := edit(ctx, side.url, side.dir, i+1)
			if err != nil {
				return nil, fmt.Errorf("%s, edit %d: %w\n%s", side.name, i+1, err, app.stderr.String())
			}
			*side.took = append(*side.took, took)
			refused[side.name] += lost
		}
	}
	ratio := median(ours) / median(theirs)
	return []row{
		{What: "save to first response by new code, p50", Ours: ms(median(ours)), Peer: "uvicorn --reload: " + ms(median(theirs)), Ratio: ratio, Aim: "0.04x", Owe: "0.1x", Good: below(ratio, 0.04, 0.1)},
		{What: "  p90", Ours: ms(percentile(ours, 0.9)), Peer: "uvicorn --reload: " + ms(percentile(theirs, 0.9)), Ratio: percentile(ours, 0.9) / percentile(theirs, 0.9)},
		{What: fmt.Sprintf("  requests refused in %d edits", edits), Ours: fmt.Sprint(refused["gx"]), Peer: fmt.Sprintf("uvicorn --reload: %d", refused["uvicorn"]), Aim: "0", Owe: "0", Good: below(float64(refused["gx"]), 0, 0)},
	}, nil
}

// edit saves another version, as editors do, and asks until it answers.
func edit(ctx context.Context, url, dir string, version int) (took float64, refused int, err error) {
	path := filepath.Join(dir, "shop.py")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	text = regexp.MustCompile(`"version": \d+`).ReplaceAll(text, fmt.Appendf(nil, `"version": %d`, version))
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return 0, 0, err
	}
	client := directly(url)
	defer client.CloseIdleConnections()
	began := time.Now()
	if err := os.Rename(path+".new", path); err != nil {
		return 0, 0, err
	}
	for time.Since(began) < 20*time.Second {
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		got, err := ask(client, url)
		switch {
		case err != nil:
			refused++
		case got == version:
			return float64(time.Since(began).Microseconds()) / 1000, refused, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, 0, errors.New("the new code did not come")
}

// directly is a client that resolves names below localhost, and connects anew
// for each request, as a browser does that was closed meanwhile.
func directly(url string) *http.Client {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://")) // one that is wrong cannot be dialled
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
}

func ask(client *http.Client, url string) (version int, err error) {
	res, err := client.Get(url) //nolint:noctx // it has a timeout
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer struct{ Version int }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", res.StatusCode)
	}
	return answer.Version, nil
}
