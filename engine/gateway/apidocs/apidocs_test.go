package apidocs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer is a response, whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func get(method, name, encoding string) answer {
	r := httptest.NewRequest(method, "/", nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	if !Serve(w, r, name) {
		w.WriteHeader(http.StatusNotFound)
	}
	return answer{w.Code, w.Header(), w.Body.String()}
}

func TestServe(t *testing.T) {
	for name, want := range map[string]struct{ kind, text string }{
		"swagger-ui/swagger-ui-bundle.js":             {"text/javascript", "SwaggerUIBundle"},
		"swagger-ui/swagger-ui.css":                   {"text/css", ".swagger-ui"},
		"swagger-ui/favicon-32x32.png":                {"image/png", "PNG"},
		"swagger-ui/LICENSE":                          {"text/plain", "Apache License"},
		"swagger-ui/NOTICE":                           {"text/plain", "swagger-ui"},
		"swagger-ui/swagger-ui-bundle.js.LICENSE.txt": {"text/plain", "license"},
		"redoc/redoc.standalone.js":                   {"text/javascript", "Redoc"},
		"redoc/LICENSE":                               {"text/plain", "MIT"},
		"redoc/redoc.standalone.js.LICENSE.txt":       {"text/plain", "License"},
	} {
		res := get("GET", name, "")
		if res.status != http.StatusOK || !strings.HasPrefix(res.header.Get("Content-Type"), want.kind) || !strings.Contains(res.body, want.text) {
			t.Errorf("%s: %d %v, %d bytes", name, res.status, res.header, len(res.body))
		}
	}
	packed := get("GET", "swagger-ui/swagger-ui.css", "br, gzip")
	if text, err := unpack([]byte(packed.body)); err != nil || packed.header.Get("Content-Encoding") != "gzip" || !strings.Contains(string(text), ".swagger-ui") {
		t.Errorf("%v %v", packed.header, err)
	}
	for _, name := range []string{"", "x.js", "LICENSE", "../apidocs.go", "redoc/../redoc/LICENSE", "redoc/../../apidocs.go", "redoc//LICENSE", "redoc/", "redoc", "files/LICENSE", "swagger-ui/swagger-ui.css.gz", "redoc/x.map"} {
		if res := get("GET", name, ""); res.status != http.StatusNotFound {
			t.Errorf("%q: %d", name, res.status)
		}
	}
	if res := get("POST", "redoc/LICENSE", ""); res.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.status)
	}
	if res := get("HEAD", "redoc/LICENSE", ""); res.body != "" {
		t.Errorf("HEAD has a body of %d bytes", len(res.body))
	}
}
