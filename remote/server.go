package remote

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
)

// Limits of what a client may send.
const (
	maxJSON  = 64 << 20 // bytes of a request's JSON: a manifest of 100,000 files
	maxBlob  = 64 << 30 // bytes of one uploaded content
	maxSums  = 100_000  // hashes in one question
	maxTail  = 1_000_000
	maxIdent = 256 // bytes of an app's name or id in a path
	maxRef   = 512 // bytes of what is asked about: an app's name and a function's
)

// Server is the handler of the host API.
type Server struct {
	backend  Backend
	log      *slog.Logger
	upgrader websocket.Upgrader
	mux      *http.ServeMux

	life context.Context // ends when the host is to end: nothing new is begun
	rest context.Context // ends when what has outlived that is cut off
	cut  context.CancelFunc

	mu     sync.Mutex // of active's growing
	active sync.WaitGroup
}

// NewServer returns the handler of the host API. ctx is the host's life: when
// it ends, new requests are refused and those under way are cancelled, except
// for sessions, which last until their apps have ended. Close waits for them.
func NewServer(ctx context.Context, backend Backend, log *slog.Logger) *Server {
	s := &Server{
		backend: backend, log: log, mux: http.NewServeMux(), life: ctx,
		upgrader: websocket.Upgrader{ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10},
	}
	s.rest, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	s.mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Host()) })
	s.until(s.rest, "GET /v1/session", s.session)
	s.until(s.rest, "GET /v1/apps/{id}/attach", s.attach)
	s.until(s.rest, "GET /v1/apps/{id}/logs", s.appLogs) // to the last line of what ends with the host
	s.until(s.rest, "GET /v1/attach", s.attach)
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /v1/status":               s.status,
		"POST /v1/stop":                s.stop,
		"GET /v1/hostlog":              s.hostLog,
		"POST /v1/blobs/missing":       s.missing,
		"PUT /v1/blobs/{sum}":          s.putBlob,
		"POST /v1/blobs":               s.putBlobs,
		"GET /v1/build":                s.build,
		"GET /v1/apps":                 func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Apps()) },
		"DELETE /v1/apps/{id}":         s.stopApp,
		"POST /v1/apps/{id}/update":    s.updateApp,
		"GET /v1/apps/{id}/usage":      s.usageOfApp,
		"GET /v1/logs":                 s.logList,
		"GET /v1/containers/{id}/exec": s.exec,
		"GET /v1/apps/{id}/shell":      s.shell,
		"DELETE /v1/containers/{id}":   s.endContainer,
		"GET /v1/top":                  func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Top()) },
		"GET /v1/containers":           func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Containers()) },
		"GET /v1/gpus":                 func(w http.ResponseWriter, r *http.Request) { answer(w)(backend.GPUs(r.Context())) },
		"GET /v1/why/{ref}":            s.why,
		"POST /v1/dashboard":           func(w http.ResponseWriter, r *http.Request) { answer(w)(backend.Dashboard(r.Context())) },
		"GET /v1/images":               s.images,
		"POST /v1/images/prune":        s.prune,
		"GET /v1/images/{id}/logs":     s.imageLogs,
		"POST /v1/ask/{op}":            s.ask,
	} {
		s.until(s.life, pattern, handle)
	}
	for pattern, handle := range s.schedules() {
		s.until(s.life, pattern, handle)
	}
	for pattern, handle := range s.deployments() {
		s.until(s.life, pattern, handle)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &api.Error{Code: "not_found", Message: fmt.Sprintf("this host has no %s %s; is the client newer than the host?", r.Method, r.URL.Path)})
	})
	return s
}

// ServeHTTP answers a request. A panic in one does not end the host.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != any(http.ErrAbortHandler) {
			s.log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			refuse(w, &api.Error{Code: "internal", Message: fmt.Sprintf("the host failed at this request (%v); its log has the details", p)})
		}
	}()
	if r.Header.Get("Origin") != "" {
		refuse(w, &api.Error{Code: "unauthorized", Message: "a page in a browser may not drive a host"})
		return
	}
	s.mux.ServeHTTP(w, r)
}

// until serves a pattern with requests that are cancelled when ctx ends.
func (s *Server) until(ctx context.Context, pattern string, handle http.HandlerFunc) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			refuse(w, &api.Error{Code: "ending", Message: "the host is ending"})
			return
		}
		defer s.active.Done()
		own, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		handle(w, r.WithContext(own))
	})
}

// begin notes a request, unless the host is ending.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.active.Add(1)
	return true
}

// Close waits until every request has been answered, those on connections that
// were taken over too, which http.Server does not know of. It is called after
// the host's life has ended; when ctx ends, it cuts off what is left.
func (s *Server) Close(ctx context.Context) {
	defer s.cut()
	defer context.AfterFunc(ctx, s.cut)()
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // whoever was let in has been counted now
	s.active.Wait()
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	answer(w)(s.backend.Status(r.Context()))
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	var req api.StopRequest
	if !decode(w, r, &req) {
		return
	}
	if err := s.backend.Stop(r.Context(), req.Force); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) missing(w http.ResponseWriter, r *http.Request) {
	var req api.MissingRequest
	if !decode(w, r, &req) {
		return
	}
	if len(req.SHA256) > maxSums {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("%d hashes in one request; %d are allowed", len(req.SHA256), maxSums)})
		return
	}
	missing, err := s.backend.MissingBlobs(r.Context(), req.SHA256)
	answer(w)(api.MissingReply{Missing: missing}, err)
}

func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) {
	body := http.MaxBytesReader(w, r.Body, maxBlob)
	if err := s.backend.PutBlob(r.Context(), r.PathValue("sum"), body); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) putBlobs(w http.ResponseWriter, r *http.Request) {
	body := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, api.MaxContents), 64<<10)
	err := api.ReadContents(body, func(sum string, content io.Reader) error {
		return s.backend.PutBlob(r.Context(), sum, content)
	})
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) logList(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("app")
	if len(ref) > maxIdent {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("an app's id or name has at most %d bytes, this has %d", maxIdent, len(ref))})
		return
	}
	answer(w)(s.backend.LogList(ref))
}

func (s *Server) images(w http.ResponseWriter, r *http.Request) {
	answer(w)(s.backend.Images(r.Context()))
}

func (s *Server) imageLogs(w http.ResponseWriter, r *http.Request) {
	answer(w)(s.backend.ImageLogs(r.PathValue("id")))
}

func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	if len(ref) > maxRef {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("an id or name has at most %d bytes, this has %d", maxRef, len(ref))})
		return
	}
	answer(w)(s.backend.Why(ref))
}

func (s *Server) prune(w http.ResponseWriter, r *http.Request) {
	var req api.PruneRequest
	if decode(w, r, &req) {
		answer(w)(s.backend.Prune(r.Context(), req))
	}
}

func (s *Server) stopApp(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	if err := s.backend.StopApp(r.Context(), id, r.URL.Query().Get("now") == "1"); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) updateApp(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	var req api.UpdateRequest
	if !decode(w, r, &req) {
		return
	}
	app, err := s.backend.App(id)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w)(app.Update(r.Context(), req))
}

func (s *Server) usageOfApp(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	app, err := s.backend.App(id)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, app.Usage())
}

// appID is the path's app, which may be an id or a name.
func appID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.PathValue("id")
	if id == "" || len(id) > maxIdent {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("an app's id or name has 1 to %d bytes, this has %d", maxIdent, len(id))})
		return "", false
	}
	return id, true
}

// tail reads a stream's parameters.
func tail(r *http.Request) (follow bool, lines int, err error) {
	query := r.URL.Query()
	follow = query.Get("follow") == "1"
	if text := query.Get("tail"); text != "" {
		lines, err = strconv.Atoi(text)
		if err != nil || lines < 0 || lines > maxTail {
			return false, 0, &api.Error{Code: "invalid", Message: fmt.Sprintf("tail=%q is not a number from 0 to %d", text, maxTail)}
		}
	}
	return follow, lines, nil
}

// decode reads a request's JSON, and refuses what is not.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON)).Decode(into); err != nil {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("the request's JSON could not be read: %v", err)})
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// answer replies with a result or its error.
func answer(w http.ResponseWriter) func(v any, err error) {
	return func(v any, err error) {
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, v)
	}
}

// status is the HTTP status of an error's code.
func status(code string) int {
	switch code {
	case "not_found":
		return http.StatusNotFound
	case "busy", "exists", "conflict", "full", "empty":
		return http.StatusConflict
	case "ending":
		return http.StatusServiceUnavailable
	case "invalid", "build_failed", "refused":
		return http.StatusUnprocessableEntity
	case "too_large":
		return http.StatusRequestEntityTooLarge
	case "disk_full":
		return http.StatusInsufficientStorage
	case "unauthorized":
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

func refuse(w http.ResponseWriter, err error) {
	e := describe(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status(e.Code))
	_ = json.NewEncoder(w).Encode(e)
}

// describe makes an error one that a client can read.
func describe(err error) *api.Error {
	var known *api.Error
	if errors.As(err, &known) {
		return known
	}
	var step *build.StepError
	if errors.As(err, &step) {
		return &api.Error{Code: "build_failed", Message: step.Error(), Step: &api.StepFailure{
			Index: step.Index, Name: cmp.Or(step.Name, string(step.Step.Op)), File: step.Step.File, Line: step.Step.Line, Code: step.Code, Log: step.Log,
		}}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &api.Error{Code: "invalid", Message: fmt.Sprintf("more than %d bytes were sent", large.Limit)}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &api.Error{Code: "invalid", Message: "the request broke off"}
	}
	return &api.Error{Code: "internal", Message: err.Error()}
}
