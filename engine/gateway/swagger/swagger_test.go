package swagger

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, method, name, encoding string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	if !Serve(w, r, name) {
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result()
}

func TestServe(t *testing.T) {
	for name, want := range map[string]struct{ kind, text string }{
		"swagger-ui-bundle.js":             {"text/javascript", "SwaggerUIBundle"},
		"swagger-ui.css":                   {"text/css", ".swagger-ui"},
		"favicon-32x32.png":                {"image/png", "PNG"},
		"LICENSE":                          {"text/plain", "Apache License"},
		"NOTICE":                           {"text/plain", "swagger-ui"},
		"swagger-ui-bundle.js.LICENSE.txt": {"text/plain", "license"},
	} {
		res := get(t, "GET", name, "")
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), want.kind) || !strings.Contains(string(body), want.text) {
			t.Errorf("%s: %d %v %v, %d bytes", name, res.StatusCode, res.Header, err, len(body))
		}
	}
	packed := get(t, "GET", "swagger-ui.css", "br, gzip")
	body, _ := io.ReadAll(packed.Body)
	if text, err := unpack(body); err != nil || packed.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(string(text), ".swagger-ui") {
		t.Errorf("%v %v", packed.Header, err)
	}
	for _, name := range []string{"", "x.js", "../swagger.go", "files/LICENSE", "swagger-ui.css.gz", "x.map"} {
		if res := get(t, "GET", name, ""); res.StatusCode != 404 {
			t.Errorf("%q: %d", name, res.StatusCode)
		}
	}
	if res := get(t, "POST", "LICENSE", ""); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if body, _ := io.ReadAll(get(t, "HEAD", "LICENSE", "").Body); len(body) != 0 {
		t.Errorf("HEAD has a body of %d bytes", len(body))
	}
}
