package remote

import (
	"fmt"
	"net/http"

	"github.com/gx-dev/gx/api"
)

// maxRuns is how many runs of a schedule are told at once.
const maxRuns = 1000

// schedules are the patterns of schedules; see package api.
func (s *Server) schedules() map[string]http.HandlerFunc {
	b := s.backend
	return map[string]http.HandlerFunc{
		"GET /v1/schedules": func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			in, ref := query.Get("environment"), query.Get("app")
			if len(in) > maxIdent || len(ref) > maxIdent {
				refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("names have at most %d bytes", maxIdent)})
				return
			}
			answer(w)(b.Schedules(r.Context(), in, ref))
		},
		"GET /v1/schedules/{id}/{function}/runs": withSchedule(func(w http.ResponseWriter, r *http.Request, app, function string) {
			_, n, err := tail(r)
			if err != nil {
				refuse(w, err)
				return
			}
			if n == 0 || n > maxRuns {
				n = maxRuns
			}
			answer(w)(b.ScheduleRuns(r.Context(), app, function, n))
		}),
		"POST /v1/schedules/{id}/{function}/run": withSchedule(func(w http.ResponseWriter, r *http.Request, app, function string) {
			call, err := b.RunSchedule(r.Context(), app, function)
			answer(w)(api.ScheduleFired{Call: call}, err)
		}),
		"POST /v1/schedules/{id}/{function}/pause": withSchedule(func(w http.ResponseWriter, r *http.Request, app, function string) {
			answer(w)(b.PauseSchedule(r.Context(), app, function, true))
		}),
		"POST /v1/schedules/{id}/{function}/resume": withSchedule(func(w http.ResponseWriter, r *http.Request, app, function string) {
			answer(w)(b.PauseSchedule(r.Context(), app, function, false))
		}),
	}
}

// withSchedule hands over the path's app and function.
func withSchedule(handle func(w http.ResponseWriter, r *http.Request, app, function string)) http.HandlerFunc {
	return withApp(func(w http.ResponseWriter, r *http.Request, id string) {
		function := r.PathValue("function")
		if len(function) > maxIdent {
			refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("a function's name has at most %d bytes, this has %d", maxIdent, len(function))})
			return
		}
		handle(w, r, id, function)
	})
}
