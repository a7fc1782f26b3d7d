//go:build unix

package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/remote"
	"github.com/gx-dev/gx/wire"
)

// backend answers as the tests want; what it is not asked for stays nil.
type backend struct {
	remote.Backend
	mu      sync.Mutex
	blobs   map[string][]byte
	app     *fakeApp
	build   func(ctx context.Context, req api.BuildRequest, events func(build.Event)) (string, []string, error)
	attach  func(ctx context.Context, conn net.Conn) error
	command *fakeCommand
	logs    func(ctx context.Context, ref string, q api.LogQuery, send func(api.LogMessage) error) error
	end     context.CancelFunc // of the host's life
	server  *remote.Server
}

func (b *backend) MissingBlobs(_ context.Context, sums []string) (missing []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sum := range sums {
		if _, ok := b.blobs[sum]; !ok {
			missing = append(missing, sum)
		}
	}
	return missing, nil
}

func (b *backend) PutBlob(_ context.Context, sum string, content io.Reader) error {
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
		return &api.Error{Code: "invalid", Message: "the content is not what its hash says"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blobs[sum] = data
	return nil
}

func (b *backend) Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (string, []string, error) {
	return b.build(ctx, req, events)
}

func (b *backend) StartApp(_ context.Context, req api.SessionRequest) (remote.App, error) {
	if req.Manifest.Name == "bad" {
		return nil, &api.Error{Code: "invalid", Message: "the manifest is bad"}
	}
	return b.app, nil
}

func (b *backend) App(id string) (remote.App, error) {
	if id != "ap-1" {
		return nil, &api.Error{Code: "not_found", Message: "no app " + id}
	}
	return b.app, nil
}

func (b *backend) Attach(ctx context.Context, id string, conn net.Conn) error {
	if id != "ap-1" {
		return &api.Error{Code: "not_found", Message: "no app " + id}
	}
	return b.attach(ctx, conn)
}

func (b *backend) Stop(context.Context, bool) error {
	return &api.Error{Code: "busy", Message: "apps are running"}
}

func (b *backend) Host() api.Host { return api.Host{Pid: 7, Version: "1"} }

func (b *backend) Status(context.Context) (api.Status, error) { panic("a mistake in the host") }

// fakeApp is an app whose end the test awaits.
type fakeApp struct {
	events  chan api.SessionMessage
	stopped chan bool // now
	once    sync.Once
	// graceful, if set, is what an app needs to end that is not ended now.
	graceful chan struct{}
}

func (a *fakeApp) Started() api.Started {
	return api.Started{App: "ap-1", Functions: map[string]string{"f": "fu-1"}}
}
func (a *fakeApp) Events(context.Context) <-chan api.SessionMessage { return a.events }
func (a *fakeApp) Stopped() api.Stopped                             { return api.Stopped{Reason: "the host is ending"} }
func (a *fakeApp) Usage() []api.Usage                               { return []api.Usage{{Function: "f", Inputs: 7}} }
func (a *fakeApp) Update(_ context.Context, req api.UpdateRequest) (api.Updated, error) {
	if req.Manifest.Name == "bad" {
		return api.Updated{}, &api.Error{Code: "invalid", Message: "the manifest is bad"}
	}
	return api.Updated{Version: 2, Kind: api.UpdateCode, Took: 0.02, Functions: map[string]string{req.Manifest.Name: req.Images[0]}}, nil
}
func (a *fakeApp) Stop(_ context.Context, now bool) error {
	if a.graceful != nil && !now {
		<-a.graceful
	}
	a.once.Do(func() {
		a.stopped <- now
		a.events <- api.SessionMessage{Stopped: &api.Stopped{Reason: "asked"}}
		close(a.events)
	})
	return nil
}

func serve(t *testing.T) (*backend, *Client) {
	t.Helper()
	b := &backend{blobs: map[string][]byte{}, app: &fakeApp{events: make(chan api.SessionMessage, 10), stopped: make(chan bool, 1)}}
	started := b.app.Started()
	b.app.events <- api.SessionMessage{Started: &started}
	dir, err := os.MkdirTemp("", "gx-client-") // short: a socket's path has a limit
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	life, end := context.WithCancel(context.Background())
	b.end, b.server = end, remote.NewServer(life, b, slog.New(slog.DiscardHandler))
	server := &http.Server{Handler: b.server, ReadHeaderTimeout: time.Second}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { end(); _ = server.Close(); <-served })
	c, err := Dial(t.Context(), "unix://"+socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return b, c
}

func TestUploadSendsOnlyWhatTheHostLacks(t *testing.T) {
	b, c := serve(t)
	texts := map[string]string{}
	var files []app.File
	for i := range 50 {
		text := strings.Repeat(fmt.Sprint(i), i*100)
		sum := sha256.Sum256([]byte(text))
		texts[hex.EncodeToString(sum[:])] = text
		files = append(files, app.File{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text)), Local: fmt.Sprint(i)})
	}
	files = append(files, files[3]) // twice the same content
	opened := 0
	var mu sync.Mutex
	open := func(f app.File) (io.ReadCloser, error) {
		mu.Lock()
		defer mu.Unlock()
		opened++
		return io.NopCloser(strings.NewReader(texts[f.SHA256])), nil
	}
	require.NoError(t, c.Upload(t.Context(), files, open, nil))
	require.Equal(t, 50, opened)
	require.Len(t, b.blobs, 50)
	require.NoError(t, c.Upload(t.Context(), files, open, nil))
	require.Equal(t, 50, opened, "nothing is sent twice")

}

func TestUploadOfFilesThatChangeMeanwhile(t *testing.T) {
	_, c := serve(t)
	file := func(name, announced string) app.File {
		sum := sha256.Sum256([]byte(announced))
		return app.File{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(announced)), Local: name}
	}
	whole := strings.Repeat("x", api.MaxContent+1)
	for name, tt := range map[string]struct {
		announced, found string
	}{
		"grown":                           {"one", "one and more"},
		"shrunk":                          {"one", "on"},
		"of the same size":                {"one", "two"},
		"large and grown":                 {whole, whole + "x"},
		"large and of the same size":      {whole, whole[1:] + "y"},
		"large once, and nothing is left": {whole, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := []app.File{file("same.py", name), file("changed.py", tt.announced)}
			err := c.Upload(t.Context(), files, func(f app.File) (io.ReadCloser, error) {
				if f.Local == "same.py" {
					return io.NopCloser(strings.NewReader(name)), nil
				}
				return io.NopCloser(strings.NewReader(tt.found)), nil
			}, nil)
			require.ErrorIs(t, err, ErrChanged)
			require.ErrorContains(t, err, "changed.py")
		})
	}
	err := c.Upload(t.Context(), []app.File{file("gone.py", "gone")}, func(app.File) (io.ReadCloser, error) { return nil, os.ErrNotExist }, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "gone.py")
}

func TestPartsOfAnUpload(t *testing.T) {
	var files []app.File
	for i := range 2500 {
		files = append(files, app.File{Local: fmt.Sprint(i), Size: 1000})
	}
	files = append(files, app.File{Local: "large", Size: api.MaxContent + 1})
	for i := range 9 {
		files = append(files, app.File{Local: fmt.Sprint("m", i), Size: api.MaxContent})
	}
	got := parts(files)
	require.Len(t, got, 1+3+2)
	count := 0
	for _, part := range got {
		var size int64
		for _, f := range part {
			size += f.Size + 36
		}
		require.True(t, len(part) == 1 || size <= api.MaxContents)
		count += len(part)
	}
	require.Equal(t, len(files), count)
	require.Empty(t, parts(nil))
}

func TestBuildTellsEventsAndTheFailingStep(t *testing.T) {
	b, c := serve(t)
	b.build = func(_ context.Context, req api.BuildRequest, events func(build.Event)) (string, []string, error) {
		events(build.Event{Kind: build.EventLog, Data: "hello\n"})
		if req.Python == "bad" {
			return "", nil, &build.StepError{Index: 2, Name: "run_commands false", Step: app.Step{File: "a.py", Line: 9}, Code: 1, Log: "no", Err: errors.New("it failed")}
		}
		return "im-1", []string{"a note"}, nil
	}
	var got []build.Event
	id, notes, err := c.Build(t.Context(), api.BuildRequest{}, func(e build.Event) { got = append(got, e) })
	require.NoError(t, err)
	require.Equal(t, "im-1", id)
	require.Equal(t, []string{"a note"}, notes)
	require.Equal(t, "hello\n", got[0].Data)

	_, _, err = c.Build(t.Context(), api.BuildRequest{Python: "bad"}, nil)
	var e *api.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, &api.StepFailure{Index: 2, Name: "run_commands false", File: "a.py", Line: 9, Code: 1, Log: "no"}, e.Step)
}

func TestABuildEndsWithItsClient(t *testing.T) {
	b, c := serve(t)
	ended := make(chan struct{})
	b.build = func(ctx context.Context, _ api.BuildRequest, events func(build.Event)) (string, []string, error) {
		events(build.Event{Kind: build.EventLog})
		<-ctx.Done()
		close(ended)
		return "", nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := c.Build(ctx, api.BuildRequest{}, func(build.Event) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	<-ended
}

func TestClosingASessionStopsItsApp(t *testing.T) {
	b, c := serve(t)
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	require.Equal(t, "ap-1", s.Started().App)
	b.app.events <- api.SessionMessage{Log: &api.LogLine{Text: "line"}}
	require.Equal(t, "line", (<-s.Events()).Log.Text)
	require.NoError(t, s.Close())
	require.False(t, <-b.app.stopped)
}

func TestStopIsAnsweredByTheBill(t *testing.T) {
	b, c := serve(t)
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.Stop(t.Context(), true))
	require.True(t, <-b.app.stopped)
	require.Equal(t, "asked", (<-s.Events()).Stopped.Reason)
	_, open := <-s.Events()
	require.False(t, open)
}

func TestASecondStopOvertakesTheFirst(t *testing.T) {
	b, c := serve(t)
	b.app.graceful = make(chan struct{})
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context(), false))
	require.NoError(t, s.Stop(t.Context(), true))
	require.True(t, <-b.app.stopped)
	require.NotNil(t, (<-s.Events()).Stopped)
	close(b.app.graceful)
	require.NoError(t, s.Close())
}

func TestARunningAppIsUpdated(t *testing.T) {
	_, c := serve(t)
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	defer s.Close()
	updated, err := s.Update(t.Context(), api.UpdateRequest{Manifest: app.Manifest{Name: "f"}, Images: []string{"im-1"}})
	require.NoError(t, err)
	require.Equal(t, api.Updated{Version: 2, Kind: api.UpdateCode, Took: 0.02, Functions: map[string]string{"f": "im-1"}}, updated)
	usage, err := s.Usage(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, usage[0].Inputs)
	var refused *api.Error
	_, err = s.Update(t.Context(), api.UpdateRequest{Manifest: app.Manifest{Name: "bad"}})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "invalid", refused.Code)
	s.started.App = "ap-2"
	_, err = s.Update(t.Context(), api.UpdateRequest{})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "not_found", refused.Code)
}

func TestAnEndingHostRefusesWhatIsNewAndTellsSessionsTheirEnd(t *testing.T) {
	b, c := serve(t)
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	defer s.Close()
	b.end()
	_, err = c.Apps(t.Context())
	var refused *api.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "ending", refused.Code)
	h, err := c.Host(t.Context())
	require.NoError(t, err, "what a host is, it tells to its end")
	require.Equal(t, 7, h.Pid)

	close(b.app.events) // the engine ends without a last word
	b.server.Close(t.Context())
	require.Equal(t, "the host is ending", (<-s.Events()).Stopped.Reason)
}

func TestWhatOutlivesAHostIsCutOff(t *testing.T) {
	b, c := serve(t)
	b.attach = func(ctx context.Context, _ net.Conn) error { <-ctx.Done(); return ctx.Err() }
	s, err := c.StartSession(t.Context(), api.SessionRequest{})
	require.NoError(t, err)
	file, err := s.Attach(t.Context())
	require.NoError(t, err)
	defer file.Close()
	b.end()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.server.Close(ctx)
	n, _ := file.Read(make([]byte, 1))
	require.Zero(t, n)
	require.NoError(t, s.Close())
	_, err = s.bridges.attach(t.Context(), s.client, "/v1/attach")
	require.Error(t, err, "a session that is closed makes no bridges")
}

func TestADetachedAppIsLeftAlone(t *testing.T) {
	b, c := serve(t)
	s, err := c.StartSession(t.Context(), api.SessionRequest{Detach: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	b.end()
	b.server.Close(t.Context())
	require.Empty(t, b.app.stopped)
}

func TestAPageInABrowserIsRefused(t *testing.T) {
	_, c := serve(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.base+"/v1/stop", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Origin", "http://somewhere")
	var refused *api.Error
	require.ErrorAs(t, c.do(req, nil), &refused)
	require.Equal(t, "unauthorized", refused.Code)
}

func TestAHostThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	defer l.Close()
	c, err := Dial(t.Context(), "unix://"+socket)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Host(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, l.Close())
	_, err = c.Host(t.Context())
	require.True(t, Gone(err), "%v", err)
}

func TestErrorsKeepTheirCode(t *testing.T) {
	_, c := serve(t)
	var e *api.Error
	_, err := c.StartSession(t.Context(), api.SessionRequest{Manifest: app.Manifest{Name: "bad"}})
	require.ErrorAs(t, err, &e)
	require.Equal(t, "invalid", e.Code)
	require.ErrorAs(t, c.StopHost(t.Context(), false), &e)
	require.Equal(t, "busy", e.Code)
	_, err = c.Status(t.Context())
	require.ErrorAs(t, err, &e, "a panic in a request must not end the host")
	require.Equal(t, "internal", e.Code)
	require.ErrorAs(t, c.StopHost(t.Context(), false), &e)
}

// echo answers each Input with a Result of the same payload.
func echo(_ context.Context, conn net.Conn) error {
	reader, writer := wire.NewReader(conn), wire.NewWriter(conn)
	defer reader.Close()
	var joiner wire.Joiner
	defer joiner.Close()
	for {
		f, err := reader.Read()
		if err != nil {
			return err
		}
		whole, done, err := joiner.Add(f)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		whole.Type = wire.Result
		if whole.File != nil && !writer.Descriptors() {
			err = wire.Pieces(whole, func(p wire.Frame) error { return writer.Write(p) })
		} else {
			err = writer.Write(whole)
		}
		if err != nil {
			return err
		}
	}
}

func TestAttachedDescriptors(t *testing.T) {
	for _, way := range []string{"bare", "bridged"} {
		t.Run(way, func(t *testing.T) {
			b, c := serve(t)
			b.attach = echo
			s, err := c.StartSession(t.Context(), api.SessionRequest{})
			require.NoError(t, err)
			defer s.Close()
			c.unix = way == "bare"
			file, err := s.Attach(t.Context())
			require.NoError(t, err)
			conn, err := net.FileConn(file)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			defer conn.Close()
			reader, writer := wire.NewReader(conn), wire.NewWriter(conn)
			defer reader.Close()

			small := wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1}, Body: []byte("small")}
			require.NoError(t, writer.Write(small))
			got, err := reader.Read()
			require.NoError(t, err)
			require.Equal(t, "small", string(got.Body))

			if way == "bare" {
				return // package wire tests descriptors over a socket
			}
			payload, err := wire.NewFile()
			require.NoError(t, err)
			defer payload.Close()
			text := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
			_, err = payload.Write(text)
			require.NoError(t, err)
			large := wire.Frame{Header: wire.Header{Type: wire.Input, Call: 1, Index: 1}, File: payload, FileSize: int64(len(text))}
			require.NoError(t, writer.Write(large))
			got, err = reader.Read()
			require.NoError(t, err)
			data, err := got.ReadPayload(1 << 30)
			require.NoError(t, err)
			require.True(t, bytes.Equal(text, data))
		})
	}
}
