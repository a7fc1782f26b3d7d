// Package client talks to a host over its API (packages api and remote). It
// is the same for the user's own host, behind a unix socket, and for others.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
)

// Client is a connection to a host. It is safe for concurrent use.
type Client struct {
	address string
	base    string // "http://host" for unix sockets
	dial    func(ctx context.Context) (net.Conn, error)
	http    *http.Client
	unix    bool
}

const (
	// maxMessage bounds what a host may send as one message.
	maxMessage = 256 << 20
	// answerWait is how long a host may take for what costs it nothing: it is
	// suspended or stuck if it takes longer.
	answerWait = 20 * time.Second
	// endWait is how long a host may take to end, the grace periods of its
	// apps included.
	endWait = 90 * time.Second
)

// Dial connects to the host at an address: "unix:///run/user/1000/gx/host.sock".
// It fails at once if nobody listens there.
func Dial(ctx context.Context, address string) (*Client, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return nil, fmt.Errorf("the host's address %q is not of the form unix:///path", address)
	}
	c := &Client{address: address, base: "http://gx", unix: true}
	c.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	probe, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the host at %s: %w", path, err)
	}
	_ = probe.Close()
	c.http = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	return c, nil
}

// Address is what the client was dialled with.
func (c *Client) Address() string { return c.address }

// Close frees idle connections. Sessions go on until they are closed.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host asks the host what it is. An idle host stays for whoever has asked.
func (c *Client) Host(ctx context.Context) (host api.Host, err error) {
	return host, c.soon(ctx, http.MethodGet, "/v1/version", nil, &host)
}

// Status asks the host for its state.
func (c *Client) Status(ctx context.Context) (status api.Status, err error) {
	return status, c.soon(ctx, http.MethodGet, "/v1/status", nil, &status)
}

// StopHost ends the host and waits until nothing of it is left. An *api.Error
// with code "busy" says that apps are running and force is not set.
func (c *Client) StopHost(ctx context.Context, force bool) error {
	err := c.soon(ctx, http.MethodPost, "/v1/stop", api.StopRequest{Force: force}, nil)
	var refused *api.Error
	if ending := errors.As(err, &refused) && refused.Code == "ending"; err != nil && !ending && !Gone(err) {
		return err
	}
	return c.WaitGone(ctx)
}

// WaitGone waits until a host that is ending has ended. It answers to the last,
// so that another one there is a sign too.
func (c *Client) WaitGone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	for {
		host, err := c.Host(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("waiting for the host at %s to end: %w", c.address, ctx.Err())
		case Gone(err), err == nil && !host.Ending:
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond): // another process's end has no event here
		}
	}
}

// Gone tells whether an error means that no host is there, or not any more.
func Gone(err error) bool {
	for _, sign := range []error{os.ErrNotExist, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// Apps lists the apps of the host.
func (c *Client) Apps(ctx context.Context) (apps []api.App, err error) {
	return apps, c.call(ctx, http.MethodGet, "/v1/apps", nil, &apps)
}

// StopApp ends an app, by id or name; now = without its grace period.
func (c *Client) StopApp(ctx context.Context, app string, now bool) error {
	path := "/v1/apps/" + url.PathEscape(app)
	if now {
		path += "?now=1"
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// GPUs tells which GPUs the host has, and who holds them.
func (c *Client) GPUs(ctx context.Context) (gpus api.GPUs, err error) {
	return gpus, c.call(ctx, http.MethodGet, "/v1/gpus", nil, &gpus)
}

// Containers lists the containers of the host.
func (c *Client) Containers(ctx context.Context) (containers []api.Container, err error) {
	return containers, c.call(ctx, http.MethodGet, "/v1/containers", nil, &containers)
}

// Top asks what the host is doing now.
func (c *Client) Top(ctx context.Context) (top api.Top, err error) {
	return top, c.call(ctx, http.MethodGet, "/v1/top", nil, &top)
}

// Why asks why a call, an input, a container or a function waits, was slow or
// failed. An *api.Error with code "not_found" says that the host does not know it.
func (c *Client) Why(ctx context.Context, ref string) (why api.Why, err error) {
	return why, c.call(ctx, http.MethodGet, "/v1/why/"+url.PathEscape(ref), nil, &why)
}

// Images tells what the host's images occupy.
func (c *Client) Images(ctx context.Context) (usage build.Usage, err error) {
	return usage, c.call(ctx, http.MethodGet, "/v1/images", nil, &usage)
}

// ImageLogs asks what the steps of an image printed when they were carried out.
func (c *Client) ImageLogs(ctx context.Context, id string) (steps []api.ImageStep, err error) {
	return steps, c.call(ctx, http.MethodGet, "/v1/images/"+url.PathEscape(id)+"/logs", nil, &steps)
}

// Prune deletes images that are not in use.
func (c *Client) Prune(ctx context.Context, req api.PruneRequest) (usage build.Usage, err error) {
	return usage, c.call(ctx, http.MethodPost, "/v1/images/prune", req, &usage)
}

// call is one request with JSON in and out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	return c.do(req, out)
}

// soon is a call that a host answers without doing much for it.
func (c *Client) soon(ctx context.Context, method, path string, in, out any) error {
	limited, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	err := c.call(limited, method, path, in, out)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the host at %s does not answer within %v: it is suspended, or stuck", c.address, answerWait)
	}
	return err
}

func (c *Client) do(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the host: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMessage)).Decode(out); err != nil {
		return fmt.Errorf("reading the host's answer: %w", err)
	}
	return nil
}

// refusal is the error in a response's body.
func refusal(resp *http.Response) error {
	var e api.Error
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e) != nil || e.Message == "" {
		return &api.Error{Code: "internal", Message: "the host answered " + resp.Status}
	}
	return &e
}

// stream opens a WebSocket.
func (c *Client) stream(ctx context.Context, path string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	}
	ws, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(c.base, "http")+path, nil)
	if err != nil {
		if resp != nil {
			defer resp.Body.Close()
			if resp.StatusCode >= 400 {
				return nil, refusal(resp)
			}
		}
		return nil, fmt.Errorf("opening a stream to the host: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	return ws, nil
}

// receive reads messages until each says stop, the stream ends or ctx does.
func receive[M any](ctx context.Context, ws *websocket.Conn, each func(M) (stop bool, err error)) error {
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code == websocket.CloseNormalClosure {
				return nil
			}
			return &brokenError{err}
		}
		var m M
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("reading the host's message: %w", err)
		}
		if stop, err := each(m); stop || err != nil {
			return err
		}
	}
}

// brokenError says that a stream has ended without being closed.
type brokenError struct{ cause error }

func (e *brokenError) Error() string {
	return fmt.Sprintf("the connection to the host broke: %v", e.cause)
}
func (e *brokenError) Unwrap() error { return e.cause }

// HostLog passes on lines of the host's own log; with follow until ctx ends.
func (c *Client) HostLog(ctx context.Context, follow bool, tail int, line func(string)) error {
	ws, err := c.stream(ctx, "/v1/hostlog?"+tailQuery(follow, tail))
	if err != nil {
		return err
	}
	return receive(ctx, ws, func(m struct {
		api.HostLogLine
		Error *api.Error `json:"error"`
	}) (bool, error) {
		if m.Error != nil {
			return true, m.Error
		}
		line(m.Text)
		return false, nil
	})
}

func tailQuery(follow bool, tail int) string {
	query := url.Values{"tail": {strconv.Itoa(tail)}}
	if follow {
		query.Set("follow", "1")
	}
	return query.Encode()
}

// Build has an image built. The error is an *api.Error, with Step where a step
// of the image failed.
func (c *Client) Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (id string, notes []string, err error) {
	ws, err := c.stream(ctx, "/v1/build")
	if err != nil {
		return "", nil, err
	}
	if err := ws.WriteJSON(req); err != nil {
		_ = ws.Close()
		return "", nil, fmt.Errorf("asking for an image: %w", err)
	}
	done := false
	err = receive(ctx, ws, func(m api.BuildMessage) (bool, error) {
		switch {
		case m.Error != nil:
			return true, m.Error
		case m.Image != "":
			id, notes, done = m.Image, m.Notes, true
			return true, nil
		case m.Event != nil && events != nil:
			events(*m.Event)
		}
		return false, nil
	})
	if err == nil && !done {
		err = errors.New("the host ended while it built the image")
	}
	return id, notes, err
}
