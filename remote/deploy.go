package remote

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/gx-dev/gx/api"
)

// deployments are the patterns of deployed apps; see package api.
func (s *Server) deployments() map[string]http.HandlerFunc {
	b := s.backend
	return map[string]http.HandlerFunc{
		"POST /v1/check": func(w http.ResponseWriter, r *http.Request) {
			var req api.CheckRequest
			if !decode(w, r, &req) {
				return
			}
			if err := b.Check(r.Context(), req); err != nil {
				refuse(w, err)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		},
		"POST /v1/deployments": func(w http.ResponseWriter, r *http.Request) {
			var req api.DeployRequest
			if decode(w, r, &req) {
				answer(w)(b.Deploy(r.Context(), req))
			}
		},
		"POST /v1/apps/{id}/deploy": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			var req api.DeployServedRequest
			if decode(w, r, &req) {
				answer(w)(b.DeployServed(r.Context(), id, req))
			}
		}),
		"GET /v1/deployments/{id}": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			answer(w)(b.Deployment(r.Context(), id))
		}),
		"DELETE /v1/deployments/{id}": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			if err := b.DeleteDeployed(r.Context(), id); err != nil {
				refuse(w, err)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}),
		"POST /v1/deployments/{id}/rollback": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			var req api.RollbackRequest
			if decode(w, r, &req) {
				answer(w)(b.Rollback(r.Context(), id, req))
			}
		}),
		"POST /v1/deployments/{id}/rollover": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			var req api.RolloverRequest
			if decode(w, r, &req) {
				answer(w)(b.Rollover(r.Context(), id, req))
			}
		}),
		"GET /v1/deployments/{id}/diff": withApp(func(w http.ResponseWriter, r *http.Request, id string) {
			from, err := version(r, "from")
			if err != nil {
				refuse(w, err)
				return
			}
			to, err := version(r, "to")
			if err != nil {
				refuse(w, err)
				return
			}
			answer(w)(b.Diff(r.Context(), id, from, to))
		}),
	}
}

// withApp hands over the path's app.
func withApp(handle func(w http.ResponseWriter, r *http.Request, id string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id, ok := appID(w, r); ok {
			handle(w, r, id)
		}
	}
}

// version reads a version's number from the query; 0 = it is not there.
func version(r *http.Request, name string) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, &api.Error{Code: "invalid", Message: fmt.Sprintf("%s=%.50q is no version: they count from 1", name, text)}
	}
	return n, nil
}
