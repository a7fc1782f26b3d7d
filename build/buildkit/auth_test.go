//go:build linux

package buildkit_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build/debian"
)

// registry serves an image by the protocol of registries
// (https://github.com/opencontainers/distribution-spec), to one user alone.
type registry struct {
	layout, digest string
	user, password string
	refused        atomic.Int32
	tells          atomic.Bool // it refuses everybody, and tells what it was told
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); user != r.user || password != r.password {
		r.refused.Add(1)
		w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
		return
	}
	path := req.URL.Path
	if r.tells.Load() && req.Method == http.MethodGet {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": "not " + r.user + " by " + r.password + ", " + req.Header.Get("Authorization")}}})
		return
	}
	name := filepath.Base(path)
	if strings.Contains(path, "/manifests/") && !strings.HasPrefix(name, "sha256:") {
		name = r.digest
	}
	if path == "/v2/" {
		return
	}
	data, err := os.ReadFile(filepath.Join(r.layout, "blobs", "sha256", strings.TrimPrefix(name, "sha256:")))
	if err != nil {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if strings.Contains(path, "/manifests/") {
		var m struct {
			MediaType string `json:"mediaType"`
		}
		_ = json.Unmarshal(data, &m)
		w.Header().Set("Content-Type", m.MediaType)
		w.Header().Set("Docker-Content-Digest", name)
	}
	http.ServeContent(w, req, "", time.Time{}, strings.NewReader(string(data)))
}

// TestPrivateRegistry has an image come from a registry that wants to know who
// asks: the secret is for that build, and kept nowhere.
func TestPrivateRegistry(t *testing.T) {
	e := engine(t)
	base, err := debian.Bootstrap(t.Context(), config(lab.dir).Bases, nil)
	require.NoError(t, err)
	r := &registry{layout: base.LayoutDir, digest: base.Digest, user: "ada", password: planted + "-registry"}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	from := func(tag string, secret map[string]string) app.Image {
		step := app.Step{Op: app.OpRegistry, Tag: host + "/" + tag}
		if secret != nil {
			step.Secrets = []app.Secret{{Values: secret}}
		}
		return recipe(step, run("echo it runs > /said"))
	}
	right := map[string]string{"REGISTRY_USERNAME": r.user, "REGISTRY_PASSWORD": r.password}
	wrong := map[string]string{"REGISTRY_USERNAME": r.user, "REGISTRY_PASSWORD": planted + "-wrong"}
	for name, secret := range map[string]map[string]string{"none": nil, "wrong": wrong} {
		_, _, err := build1(t, e, from("private:"+name, secret), contents{})
		require.ErrorContains(t, err, "could not be had from its registry", name)
		require.NotContains(t, err.Error(), planted)
	}
	_, _, err = build1(t, e, from("private:other", map[string]string{"TOKEN": "something"}), contents{})
	require.ErrorContains(t, err, "REGISTRY_USERNAME")

	r.tells.Store(true)
	_, told, err := build1(t, e, from("private:told", right), contents{})
	require.ErrorContains(t, err, "not ada by")
	require.NotContains(t, err.Error(), planted)
	require.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte("ada:"+r.password)))
	require.NotContains(t, told.log, planted)
	r.tells.Store(false)

	image, h := mustBuild(t, e, from("private:right", right), contents{})
	said, _ := read(t, image, "said")
	require.Equal(t, "it runs\n", said)
	require.NotContains(t, h.log, planted)
	_, _, err = build1(t, e, from("private:later", nil), contents{})
	require.Error(t, err, "it was for that build")
	r.user, r.password = "_json_key", `{"type": "`+planted+`"}`
	_, _ = mustBuild(t, e, from("private:google", map[string]string{"SERVICE_ACCOUNT_JSON": r.password}), contents{})
	require.Empty(t, filesWith(t, lab.dir, planted))
}
