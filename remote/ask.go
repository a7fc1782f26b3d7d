package remote

import (
	"fmt"
	"io"
	"net/http"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/wire"
)

// maxQuestion is the most bytes of a question: data of 64 MiB and its head.
const maxQuestion = 65 << 20

// ask answers a question: the bodies both ways are messages of package wire, as
// in its Ask and Answer frames.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		refuse(w, err)
		return
	}
	var head wire.AskBody
	data, err := wire.DecodeMessage(body, &head)
	if err != nil {
		refuse(w, &api.Error{Code: "invalid", Message: err.Error()})
		return
	}
	result, data, err := s.backend.Ask(r.Context(), r.PathValue("op"), head.Params, data)
	if err == nil {
		body, err = wire.EncodeMessage(wire.ReplyBody{Result: result}, data)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body) // the client is gone: nobody to tell
}
