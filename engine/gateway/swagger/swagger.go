// Package swagger has the files of Swagger UI, the page on which FastAPI shows
// what an application answers, so that it works where no network does. It serves
// them over HTTP and knows nothing of who describes what.
//
// The files are those of the npm package swagger-ui-dist 5.35.0, under the
// Apache License 2.0, unchanged but for their compression; see files/LICENSE and
// files/NOTICE.
package swagger

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"path"
	"strings"
)

//go:embed files
var files embed.FS

// Version is Swagger UI's.
const Version = "5.35.0"

// types are the media types of what is served.
var types = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".png": "image/png",
	".txt": "text/plain; charset=utf-8",
	"":     "text/plain; charset=utf-8",
}

// Serve answers a request for a file: swagger-ui-bundle.js, swagger-ui.css,
// favicon-32x32.png, LICENSE or NOTICE. It returns false if there is no file of
// that name, and has answered nothing then.
func Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	kind, known := types[path.Ext(name)]
	if !known || strings.Contains(name, "/") {
		return false
	}
	data, err := files.ReadFile("files/" + name)
	packed := err != nil
	if packed {
		if data, err = files.ReadFile("files/" + name + ".gz"); err != nil {
			return false
		}
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("ETag", `"swagger-ui-`+Version+`"`)
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return true
	}
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	if packed {
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
		} else if data, err = unpack(data); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(data) // the client may have gone
	}
	return true
}

func unpack(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
