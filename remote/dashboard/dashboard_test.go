package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/remote/dashboard"
)

// lab is a dashboard whose API tells what reached it.
type lab struct {
	*dashboard.Dashboard
	now     time.Time
	reached []*http.Request
}

func start(t *testing.T) *lab {
	t.Helper()
	l := &lab{now: time.Unix(1e9, 0)}
	var err error
	l.Dashboard, err = dashboard.New(dashboard.Config{
		Key: []byte(strings.Repeat("k", 32)), Now: func() time.Time { return l.now },
		API: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { l.reached = append(l.reached, r) }),
	})
	require.NoError(t, err)
	return l
}

func (l *lab) do(method, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "gx.localhost:7272"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

// enter lets a browser in and returns what makes a request one of it.
func (l *lab) enter(t *testing.T) func(*http.Request) {
	t.Helper()
	reply := l.do("GET", l.Invite())
	require.Equal(t, http.StatusSeeOther, reply.Code)
	require.Equal(t, "/", reply.Header().Get("Location"))
	require.Len(t, reply.Header().Values("Set-Cookie"), 1)
	cookie, err := http.ParseSetCookie(reply.Header().Get("Set-Cookie"))
	require.NoError(t, err)
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.Empty(t, cookie.Domain, "other host names must not get it")
	return func(r *http.Request) { r.AddCookie(cookie) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestOnlyWhoWasInvited(t *testing.T) {
	l := start(t)
	require.Equal(t, http.StatusForbidden, l.do("GET", "/").Code)
	require.Equal(t, http.StatusUnauthorized, l.do("GET", "/v1/apps").Code)
	require.Equal(t, http.StatusForbidden, l.do("GET", "/?code=guess").Code)

	invitation := l.Invite()
	require.Equal(t, http.StatusSeeOther, l.do("GET", invitation).Code)
	require.Equal(t, http.StatusForbidden, l.do("GET", invitation).Code, "a code is good once")
	late := l.Invite()
	l.now = l.now.Add(6 * time.Minute)
	require.Equal(t, http.StatusForbidden, l.do("GET", late).Code, "and for five minutes")

	me := l.enter(t)
	require.Equal(t, http.StatusOK, l.do("GET", "/", me).Code)
	require.Equal(t, http.StatusSeeOther, l.do("GET", invitation, me).Code, "a browser that restores its windows")
	require.Equal(t, http.StatusOK, l.do("GET", "/v1/apps", me).Code)
	require.Len(t, l.reached, 1)
	require.Empty(t, l.reached[0].Header.Get("Cookie"))

	forged := func(r *http.Request) {
		me(r)
		c, _ := r.Cookie("gx_dashboard")
		expires, signature, _ := strings.Cut(c.Value, ".")
		r.Header.Set("Cookie", "gx_dashboard=9"+expires+"."+signature)
	}
	require.Equal(t, http.StatusUnauthorized, l.do("GET", "/v1/apps", forged).Code)
	l.now = l.now.Add(31 * 24 * time.Hour)
	require.Equal(t, http.StatusUnauthorized, l.do("GET", "/v1/apps", me).Code)
}

// TestOtherPages has pages of other origins try what the dashboard may do.
func TestOtherPages(t *testing.T) {
	l := start(t)
	me := l.enter(t)
	own := header("Origin", "http://gx.localhost:7272")
	for _, origin := range []string{"http://evil.localhost:7272", "http://gx.localhost:7273", "https://gx.localhost:7272", "null", "http://gx.localhost:7272.evil.example"} {
		require.Equal(t, http.StatusForbidden, l.do("DELETE", "/v1/apps/ap-1", me, header("Origin", origin)).Code, origin)
		require.Equal(t, http.StatusForbidden, l.do("GET", "/v1/apps/ap-1/logs", me, header("Origin", origin), header("Upgrade", "websocket")).Code, origin)
	}
	require.Equal(t, http.StatusForbidden, l.do("DELETE", "/v1/apps/ap-1", me).Code, "browsers name the origin of all that changes something")
	require.Equal(t, http.StatusForbidden, l.do("GET", "/v1/apps/ap-1/logs", me, header("Upgrade", "WebSocket")).Code)
	require.Equal(t, http.StatusForbidden, l.do("GET", "/v1/apps", me, header("Sec-Fetch-Site", "cross-site")).Code)
	require.Empty(t, l.reached)
	require.Equal(t, http.StatusOK, l.do("DELETE", "/v1/apps/ap-1", me, own).Code)
	require.Len(t, l.reached, 1)
	require.Empty(t, l.reached[0].Header.Get("Origin"), "the API itself refuses browsers")
}

// TestPermitted: what starts code, reads secrets or ends the host is not for pages.
func TestPermitted(t *testing.T) {
	l := start(t)
	me, own := l.enter(t), header("Origin", "http://gx.localhost:7272")
	for _, target := range []string{
		"POST /v1/stop", "GET /v1/session", "GET /v1/attach", "GET /v1/apps/ap-1/attach", "GET /v1/build", "PUT /v1/blobs/00", "POST /v1/ask/volume.read",
		"POST /v1/ask/secret.get", "POST /v1/ask/volume.delete", "POST /v1/apps/ap-1/update", "GET /v1/hostlog", "POST /v1/dashboard", "POST /v1/images/prune",
		"GET /v1/../v1/attach", "GET /v1/apps/..%2fattach/logs/../attach",
	} {
		method, path, _ := strings.Cut(target, " ")
		require.Contains(t, []int{http.StatusForbidden, http.StatusMovedPermanently}, l.do(method, path, me, own).Code, target)
	}
	require.Empty(t, l.reached)
	for _, target := range []string{"POST /v1/ask/volume.list", "GET /v1/apps/ap-1/usage", "GET /v1/why/ap-1%2Ff", "POST /v1/deployments/dev%2Fapp/rollback"} {
		method, path, _ := strings.Cut(target, " ")
		require.Equal(t, http.StatusOK, l.do(method, path, me, own).Code, target)
	}
}

// TestAssets has every file that the page names be there, with its type.
func TestAssets(t *testing.T) {
	l := start(t)
	me := l.enter(t)
	for path, kind := range map[string]string{"/": "text/html", "/style.css": "text/css", "/app.mjs": "text/javascript", "/views/app.mjs": "text/javascript", "/vendor/preact.mjs": "text/javascript"} {
		reply := l.do("GET", path, me)
		require.Equal(t, http.StatusOK, reply.Code, path)
		require.Contains(t, reply.Header().Get("Content-Type"), kind, path)
		require.Contains(t, reply.Header().Get("Content-Security-Policy"), "script-src 'self' 'sha256-")
	}
	for _, path := range []string{"/no.mjs", "/../api.go", "/" + url.PathEscape("../dashboard.go"), "/views/"} {
		require.Equal(t, http.StatusNotFound, l.do("GET", path, me).Code, path)
	}
	require.Equal(t, http.StatusMethodNotAllowed, l.do("POST", "/", me).Code)
}

func TestKey(t *testing.T) {
	_, err := dashboard.New(dashboard.Config{Key: []byte("short")})
	require.ErrorContains(t, err, "needs 32")
}
