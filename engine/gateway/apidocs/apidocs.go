// Package apidocs has the files of the pages on which FastAPI shows what an
// application answers, Swagger UI and Redoc, so that they work where no network
// does. It serves them over HTTP and knows nothing of who describes what.
//
// The files are those of the npm packages swagger-ui-dist 5.35.0, under the Apache
// License 2.0, and redoc 2.5.4, under the MIT License, unchanged but for their
// compression; see LICENSE in each folder, and NOTICE.
package apidocs

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

// versions are those of the packages, by the folder that has their files.
var versions = map[string]string{"swagger-ui": "5.35.0", "redoc": "2.5.4"}

// types are the media types of what is served.
var types = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".png": "image/png",
	".txt": "text/plain; charset=utf-8",
	"":     "text/plain; charset=utf-8",
}

// Serve answers a request for a file, such as swagger-ui/swagger-ui-bundle.js or
// redoc/redoc.standalone.js. It returns false if there is no file of that name,
// and has answered nothing then.
func Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	folder, file := path.Split(name)
	version, known := versions[path.Clean(folder)]
	kind, served := types[path.Ext(file)]
	if !known || !served || path.Clean(name) != name {
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
	h.Set("ETag", `"`+version+`"`)
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
