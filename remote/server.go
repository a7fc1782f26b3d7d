package remote

import (
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
	maxIdent = 128 // bytes of an app's name or id in a path
)

type server struct {
	backend  Backend
	log      *slog.Logger
	upgrader websocket.Upgrader
}

// NewServer returns the handler of the host API. ctx is the host's life: when
// it ends, streams are closed.
func NewServer(ctx context.Context, backend Backend, log *slog.Logger) http.Handler {
	s := &server{backend: backend, log: log, upgrader: websocket.Upgrader{
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
		// A page in a browser must not be able to drive a host.
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/stop", s.stop)
	mux.HandleFunc("GET /v1/hostlog", s.hostLog)
	mux.HandleFunc("POST /v1/blobs/missing", s.missing)
	mux.HandleFunc("PUT /v1/blobs/{sum}", s.putBlob)
	mux.HandleFunc("GET /v1/build", s.build)
	mux.HandleFunc("GET /v1/session", s.session)
	mux.HandleFunc("GET /v1/apps", func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Apps()) })
	mux.HandleFunc("DELETE /v1/apps/{id}", s.stopApp)
	mux.HandleFunc("GET /v1/apps/{id}/attach", s.attach)
	mux.HandleFunc("GET /v1/apps/{id}/logs", s.appLogs)
	mux.HandleFunc("GET /v1/containers", func(w http.ResponseWriter, _ *http.Request) { reply(w, backend.Containers()) })
	mux.HandleFunc("GET /v1/images", s.images)
	mux.HandleFunc("POST /v1/images/prune", s.prune)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &api.Error{Code: "not_found", Message: fmt.Sprintf("this host has no %s %s; is the client newer than the host?", r.Method, r.URL.Path)})
	})
	return s.guarded(ctx, mux)
}

// guarded ends requests with the host, and keeps a panic in one of them from
// ending the host.
func (s *server) guarded(life context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		defer func() {
			if p := recover(); p != nil && p != any(http.ErrAbortHandler) {
				s.log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				refuse(w, &api.Error{Code: "internal", Message: fmt.Sprintf("the host failed at this request (%v); its log has the details", p)})
			}
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	answer(w)(s.backend.Status(r.Context()))
}

func (s *server) stop(w http.ResponseWriter, r *http.Request) {
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

func (s *server) missing(w http.ResponseWriter, r *http.Request) {
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

func (s *server) putBlob(w http.ResponseWriter, r *http.Request) {
	body := http.MaxBytesReader(w, r.Body, maxBlob)
	if err := s.backend.PutBlob(r.Context(), r.PathValue("sum"), body); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *server) images(w http.ResponseWriter, r *http.Request) {
	answer(w)(s.backend.Images(r.Context()))
}

func (s *server) prune(w http.ResponseWriter, r *http.Request) {
	var req api.PruneRequest
	if decode(w, r, &req) {
		answer(w)(s.backend.Prune(r.Context(), req))
	}
}

func (s *server) stopApp(w http.ResponseWriter, r *http.Request) {
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

// statuses are the HTTP statuses of an error's code.
func status(code string) int {
	switch code {
	case "not_found":
		return http.StatusNotFound
	case "busy":
		return http.StatusConflict
	case "invalid", "build_failed":
		return http.StatusUnprocessableEntity
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
