package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
	"github.com/gx-dev/gx/sdk"
)

// stage is a session whose Python and host are played by the test, so that it
// decides what happens before what.
type stage struct {
	t        *testing.T
	out, err bytes.Buffer
	toGx     chan sdk.FromPython
	toPython chan sdk.ToPython
	signals  chan os.Signal
	told     chan os.Signal
	stops    chan bool
	events   chan api.SessionMessage
	missing  error            // of what the check tells
	checked  api.CheckRequest // what it was asked
	buildErr error
	building chan struct{} // closed when a build begins that never ends
	done     chan Outcome
	hungUp   chan struct{}

	uploaded []app.File
	upload   func(files []app.File) error // nil = it goes well
	request  api.SessionRequest
}

func newStage(t *testing.T) *stage {
	return &stage{t: t, toGx: make(chan sdk.FromPython), toPython: make(chan sdk.ToPython, 10), signals: make(chan os.Signal),
		told: make(chan os.Signal, 10), stops: make(chan bool, 10), events: make(chan api.SessionMessage), done: make(chan Outcome, 1), hungUp: make(chan struct{})}
}

func (s *stage) begin(change func(*Options)) {
	o := Options{
		UI:      ui.New(ui.Options{Stdout: &s.out, Stderr: &s.err, Env: func(string) string { return "" }}),
		Control: s, Connect: func(context.Context) (Host, error) { return s, nil },
		Hashes:  filehash.Open(filepath.Join(s.t.TempDir(), "hashes")),
		Signals: s.signals, Python: func(sig os.Signal) { s.told <- sig },
		ShowExceptions: true, HoldBill: true,
	}
	if change != nil {
		change(&o)
	}
	go func() { s.done <- Run(context.Background(), o) }()
}

func (s *stage) start() {
	s.toGx <- sdk.FromPython{Start: &sdk.Start{Output: true, Manifest: app.Manifest{Name: "hello",
		Functions: []app.Function{{Name: "square"}}, Images: []app.Image{{Steps: []app.Step{{Op: app.OpRun, Volumes: []app.VolumeMount{{Volume: "data"}}}}}}}}}
}

func (s *stage) reply() sdk.ToPython {
	s.t.Helper()
	select {
	case m := <-s.toPython:
		return m
	case <-time.After(time.Minute):
		s.t.Fatal("gx did not answer Python")
		return sdk.ToPython{}
	}
}

func (s *stage) end() Outcome {
	s.t.Helper()
	select {
	case o := <-s.done:
		return o
	case <-time.After(time.Minute):
		s.t.Fatal("the session did not end")
		return Outcome{}
	}
}

func (s *stage) Recv(ctx context.Context) (sdk.FromPython, error) {
	select {
	case m, ok := <-s.toGx:
		if !ok {
			return m, io.EOF
		}
		return m, nil
	case <-ctx.Done():
		return sdk.FromPython{}, ctx.Err()
	}
}
func (s *stage) Send(m sdk.ToPython, _ ...*os.File) error { s.toPython <- m; return nil }

func (s *stage) Status(context.Context) (api.Status, error) {
	return api.Status{Runtime: "process", Unisolated: []string{"the file system"}}, nil
}

func (s *stage) Upload(_ context.Context, files []app.File, _ func(app.File) (io.ReadCloser, error), _ func(done, total int64)) error {
	s.uploaded = files
	if s.upload != nil {
		return s.upload(files)
	}
	return nil
}

func (s *stage) Build(ctx context.Context, _ api.BuildRequest, events func(build.Event)) (string, []string, error) {
	if s.building != nil {
		close(s.building)
		<-ctx.Done()
		return "", nil, ctx.Err()
	}
	events(build.Event{Kind: build.EventStep, Name: "pip_install numpy"})
	if s.buildErr != nil {
		events(build.Event{Kind: build.EventFailed})
		return "", nil, s.buildErr
	}
	return "im-1", []string{"apt_install is not honoured"}, nil
}

func (s *stage) Check(_ context.Context, req api.CheckRequest) error {
	s.checked = req
	return s.missing
}

func (s *stage) Deploy(_ context.Context, req api.DeployRequest) (api.Deployed, error) {
	return api.Deployed{App: "ap-deployed", Name: req.Manifest.Name, Version: 1}, nil
}

func (s *stage) StartSession(_ context.Context, req api.SessionRequest) (App, error) {
	s.request = req
	return s, nil
}

func (s *stage) Connection(context.Context) (*os.File, func(), error) {
	file, err := os.Open(os.DevNull)
	return file, func() { close(s.hungUp) }, err
}

func (s *stage) Started() api.Started {
	return api.Started{App: "ap-1", Functions: map[string]string{"square": "fu-1"}}
}
func (s *stage) Events() <-chan api.SessionMessage        { return s.events }
func (s *stage) Stop(_ context.Context, now bool) error   { s.stops <- now; return nil }
func (s *stage) Attach(context.Context) (*os.File, error) { return os.Open(os.DevNull) }
func (s *stage) Close() error                             { return nil }
func (s *stage) log(seq uint64, text string) {
	s.events <- api.SessionMessage{Log: &api.LogLine{Seq: seq, Stream: "stdout", Text: text}}
}
func (s *stage) stopped() { s.events <- api.SessionMessage{Stopped: &api.Stopped{Took: 1}} }

func TestWholeRun(t *testing.T) {
	s := newStage(t)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, []byte("hello"), 0o644))
	s.begin(nil)
	s.toGx <- sdk.FromPython{Start: &sdk.Start{Output: true, Manifest: app.Manifest{
		Name: "hello", Functions: []app.Function{{Name: "square"}}, Images: []app.Image{{}},
		Mounts: []app.Mount{{Files: []app.File{{Remote: "/data", Local: file}}}}}}}
	require.Equal(t, &sdk.Started{App: "ap-1", Functions: map[string]string{"square": "fu-1"}}, s.reply().Started)
	require.Equal(t, []string{"im-1"}, s.request.Images)
	sent := s.request.Manifest.Mounts[0].Files[0]
	require.Empty(t, sent.Local, "a host never learns a client's paths")
	require.Equal(t, int64(5), sent.Size)
	require.Len(t, sent.SHA256, 64)
	require.Equal(t, file, s.uploaded[0].Local)

	// Python waits for a line that comes later.
	s.toGx <- sdk.FromPython{Sync: 2}
	s.log(1, "one")
	require.Empty(t, s.toPython)
	s.log(2, "two")
	require.Equal(t, uint64(2), s.reply().Synced)
	require.Equal(t, "one\ntwo\n", s.out.String(), "printed before it was told")

	s.toGx <- sdk.FromPython{Stop: &struct{}{}}
	require.False(t, <-s.stops)
	s.log(3, "three")
	s.stopped()
	require.NotNil(t, s.reply().Stopped)
	s.toGx <- sdk.FromPython{Exit: &sdk.Exit{Code: 7, Result: "49"}}
	o := s.end()
	require.Equal(t, 7, o.Exit.Code)
	require.Zero(t, o.Code)
	require.Equal(t, "one\ntwo\nthree\n", s.out.String())
	require.Contains(t, s.err.String(), "the process runtime does not isolate\n  the file system\n")
	require.Contains(t, s.err.String(), "image of square: apt_install is not honoured")
	require.Contains(t, s.err.String(), "hello took 1.0 s")
}

func TestPythonDies(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.start()
	s.reply()
	close(s.toGx)
	require.False(t, <-s.stops, "the app ends with its Python")
	s.stopped()
	require.Nil(t, s.end().Exit)
}

func TestBuildFails(t *testing.T) {
	s := newStage(t)
	s.buildErr = &api.Error{Message: "pip ended with status 1", Step: &api.StepFailure{Name: "pip_install numpy", Log: "no such package"}}
	s.begin(nil)
	s.start()
	failed := s.reply().Failed
	require.Equal(t, "ImageBuildError", failed.Kind)
	require.Equal(t, exit.Build, failed.Exit)
	require.True(t, failed.Shown)
	s.toGx <- sdk.FromPython{Exit: &sdk.Exit{Code: 3}}
	require.Equal(t, exit.Build, s.end().Code)
	require.Contains(t, s.err.String(), "no such package")
	require.Contains(t, s.err.String(), "error: the image of square could not be built: pip_install numpy")
}

// TestMissing is told what the host lacks before anything is built.
func TestMissing(t *testing.T) {
	s := newStage(t)
	s.missing = &api.Error{Code: "invalid", Message: `function "square": there is no secret "token"`}
	s.building = make(chan struct{})
	s.begin(nil)
	s.start()
	require.Equal(t, exit.Usage, s.reply().Failed.Exit)
	close(s.toGx)
	require.Equal(t, exit.Usage, s.end().Code)
	require.Contains(t, s.err.String(), `there is no secret "token"`)
	require.Equal(t, "square", s.checked.Functions[0].Name)
	require.Equal(t, "data", s.checked.Volumes[0].Volume)
}

func TestNoHost(t *testing.T) {
	s := newStage(t)
	s.begin(func(o *Options) {
		o.Connect = func(context.Context) (Host, error) { return nil, errors.New("the host did not start") }
	})
	s.start()
	require.Equal(t, exit.Host, s.reply().Failed.Exit)
	close(s.toGx)
	require.Equal(t, exit.Host, s.end().Code)
	require.Contains(t, s.err.String(), "the host did not start")
}

func TestHostLost(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.start()
	s.reply()
	s.toGx <- sdk.FromPython{Sync: 9}
	close(s.events)
	require.Equal(t, uint64(9), s.reply().Synced, "Python is not left waiting")
	s.toGx <- sdk.FromPython{Exception: &sdk.Exception{Kind: "user", Type: "ConnectionError", Message: "gone"}}
	s.toGx <- sdk.FromPython{Exit: &sdk.Exit{Code: 1}}
	require.Equal(t, exit.Host, s.end().Code)
	require.Contains(t, s.err.String(), "the host ended while the app was running")
	require.NotContains(t, s.err.String(), "ConnectionError", "what follows from it is not said")
}

// In a terminal Python gets Ctrl-C by itself, and ends the app in its own way.
func TestInterrupt(t *testing.T) {
	s := newStage(t)
	s.begin(func(o *Options) { o.Terminal = true })
	s.start()
	s.reply()
	s.signals <- os.Interrupt
	s.toGx <- sdk.FromPython{Exception: &sdk.Exception{Kind: "user", Type: "KeyboardInterrupt"}}
	s.toGx <- sdk.FromPython{Stop: &struct{}{}}
	require.False(t, <-s.stops)
	s.stopped()
	s.toGx <- sdk.FromPython{Exit: &sdk.Exit{Code: 130}}
	require.Equal(t, exit.Interrupted, s.end().Code)
	require.Empty(t, s.told, "Python is not told twice")
	require.NotContains(t, s.err.String(), "KeyboardInterrupt")
}

// Without a terminal gx is the only one that got the signal.
func TestInterruptFromAProgram(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.start()
	s.reply()
	s.signals <- os.Interrupt
	require.Equal(t, syscall.SIGINT, <-s.told)
	close(s.toGx)
	require.False(t, <-s.stops)
	s.stopped()
	require.Equal(t, exit.Interrupted, s.end().Code)
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.start()
	s.reply()
	s.signals <- syscall.SIGTERM
	require.Equal(t, syscall.SIGINT, <-s.told, "SIGTERM reaches gx alone")
	s.signals <- os.Interrupt
	require.Equal(t, syscall.SIGKILL, <-s.told)
	require.True(t, <-s.stops)
	close(s.toGx)
	s.stopped()
	require.Equal(t, exit.Interrupted, s.end().Code)
}

func TestInterruptWhileBuilding(t *testing.T) {
	s := newStage(t)
	s.building = make(chan struct{})
	s.begin(nil)
	s.start()
	<-s.building
	s.signals <- os.Interrupt
	failed := s.reply().Failed
	require.Equal(t, exit.Interrupted, failed.Exit)
	require.True(t, failed.Shown)
	close(s.toGx)
	require.Equal(t, exit.Interrupted, s.end().Code)
	require.NotContains(t, s.err.String(), "error:")
}

func TestDetach(t *testing.T) {
	s := newStage(t)
	s.begin(func(o *Options) { o.Detach = true })
	s.start()
	s.reply()
	require.True(t, s.request.Detach)
	s.toGx <- sdk.FromPython{Stop: &struct{}{}}
	require.NotNil(t, s.reply().Stopped)
	close(s.toGx)
	require.Zero(t, s.end().Code)
	require.Empty(t, s.stops)
	require.Contains(t, s.err.String(), "gx app stop ap-1")
}

func TestSilentProgram(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.toGx <- sdk.FromPython{Start: &sdk.Start{Manifest: app.Manifest{Images: []app.Image{{}}}}}
	s.reply()
	s.log(1, "unheard")
	s.toGx <- sdk.FromPython{Sync: 99}
	require.Equal(t, uint64(99), s.reply().Synced)
	s.toGx <- sdk.FromPython{Stop: &struct{}{}}
	s.stopped()
	s.reply()
	close(s.toGx)
	s.end()
	require.Empty(t, s.out.String())
	require.Empty(t, s.err.String())
}

func TestConnectionWithoutApp(t *testing.T) {
	s := newStage(t)
	s.begin(nil)
	s.toGx <- sdk.FromPython{Connect: &struct{}{}}
	if m := s.reply(); m.Started == nil || m.Started.App != "" {
		t.Fatalf("%+v", m)
	}
	s.start() // a program that has looked something up can still run an app
	if m := s.reply(); m.Started == nil || m.Started.App != "ap-1" {
		t.Fatalf("%+v", m)
	}
	s.events <- api.SessionMessage{Stopped: &api.Stopped{}}
	close(s.toGx)
	s.end()
	<-s.hungUp
}

func TestFilesThatChangeWhileTheyAreUploaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes.txt")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	start := func(s *stage) {
		s.toGx <- sdk.FromPython{Start: &sdk.Start{Manifest: app.Manifest{
			Name: "hello", Functions: []app.Function{{Name: "square"}}, Images: []app.Image{{}},
			Mounts: []app.Mount{{Files: []app.File{{Remote: "/notes.txt", Local: file}, {Remote: "/empty", Dir: true}}}},
		}}}
	}
	t.Run("once", func(t *testing.T) {
		s := newStage(t)
		write("one")
		s.upload = func([]app.File) error {
			s.upload = nil
			write("and two")
			return fmt.Errorf("uploading notes.txt: %w", client.ErrChanged)
		}
		s.begin(nil)
		start(s)
		require.NotNil(t, s.reply().Started)
		sum := sha256.Sum256([]byte("and two"))
		files := s.request.Manifest.Mounts[0].Files
		require.Equal(t, app.File{Remote: "/notes.txt", SHA256: hex.EncodeToString(sum[:]), Size: 7, Mode: 0o600}, files[0])
		require.Equal(t, app.File{Remote: "/empty", Dir: true}, files[1])
		require.Len(t, s.uploaded, 1, "a directory has no content")
		require.Equal(t, file, s.uploaded[0].Local)
		close(s.toGx)
		require.False(t, <-s.stops)
		s.stopped()
		require.Zero(t, s.end().Code)
	})
	for name, tt := range map[string]struct {
		err   error
		tries int
		says  string
	}{
		"always":     {client.ErrChanged, uploadTries, "uploading notes.txt: the file has changed since it was hashed"},
		"gone":       {os.ErrNotExist, 1, "can't be read"},
		"unreadable": {os.ErrPermission, 1, "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			write("one")
			tries := 0
			s.upload = func([]app.File) error { tries++; return fmt.Errorf("uploading notes.txt: %w", tt.err) }
			s.begin(nil)
			start(s)
			failed := s.reply().Failed
			require.NotNil(t, failed)
			require.Equal(t, "InvalidError", failed.Kind)
			require.Contains(t, failed.Message, tt.says)
			require.Equal(t, tt.tries, tries)
			close(s.toGx)
			s.end()
		})
	}
}
