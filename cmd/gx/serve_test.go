//go:build linux

package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// testServe uses gx serve as its users do: while requests come, and with a
// browser.
func testServe(t *testing.T, l *lab) {
	t.Run("reloads under load", func(t *testing.T) { testReloads(t, l) })
	t.Run("keys", func(t *testing.T) { testKeys(t, l) })
	t.Run("browser", func(t *testing.T) { testBrowser(t, l) })
	t.Run("guide", func(t *testing.T) { testGuide(t, l) })
}

// served is a gx serve that runs.
type served struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

// Write takes what it prints.
func (s *served) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *served) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// until waits until it has printed something, so many times.
func (s *served) until(t *testing.T, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); strings.Count(s.text(), text) < times; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not there %d times:\n%s", text, times, s.text())
		}
	}
}

// serve begins to serve a file, until the test ends.
func (l *lab) serve(t *testing.T, file string) *served {
	t.Helper()
	s := &served{cmd: l.command("serve", file)}
	s.cmd.Dir = filepath.Dir(file)
	s.cmd.Stdout, s.cmd.Stderr = s, s
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("gx serve ended with %v:\n%s", err, s.text())
		}
	})
	s.until(t, "✓ serving", 1)
	return s
}

var endpoint = regexp.MustCompile(`http://[a-z0-9-]+\.localhost:\d+`)

// url is that of its endpoint.
func (s *served) url(t *testing.T) string {
	t.Helper()
	return s.urls(t, 1)[0]
}

// urls are those of its first n endpoints, which are printed after it has begun
// to serve.
func (s *served) urls(t *testing.T, n int) []string {
	t.Helper()
	s.until(t, ".localhost:", n)
	var urls []string
	require.Eventually(t, func() bool { // the last line may not be whole
		text := s.text()
		urls = endpoint.FindAllString(text[:strings.LastIndexByte(text, '\n')+1], -1)
		return len(urls) >= n
	}, time.Minute, 5*time.Millisecond, "not %d endpoints", n)
	return urls
}

// loopback is a client for names below localhost, which a resolver may not know.
func loopback(t *testing.T, keep bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: !keep,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func fetch(client *http.Client, url string) (string, error) {
	res, err := client.Get(url) //nolint:noctx // it has a timeout
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return string(body), err
}

// save writes a file as editors do: a new one over the old.
func save(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+"~", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+"~", path))
}

const countingApp = `import gx

app = gx.App("reloads")
MODULE = "%d"


def code():
    return "%d"


@app.function(min_containers=1)
@gx.concurrent(max_inputs=20)
@gx.asgi_app()
def api():
    async def application(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"{MODULE} {code()}".encode()})

    return application
`

// testReloads saves a hundred times while requests come without a pause: none
// fails, whether code is exchanged or containers are replaced.
func testReloads(t *testing.T, l *lab) {
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, countingApp, 0, 0), 0o600))
	s := l.serve(t, file)
	url := s.url(t)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var asked atomic.Int64
	for i := range 4 {
		client := loopback(t, i%2 == 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := fetch(client, url); err != nil {
					t.Errorf("after %d requests: %v", asked.Load(), err)
					return
				}
				asked.Add(1)
			}
		})
	}
	client := loopback(t, true)
	module := 0
	for i := range 100 {
		if i%10 == 9 {
			module++ // containers are replaced
		}
		save(t, file, fmt.Sprintf(countingApp, module, i+1))
		want := fmt.Sprintf("%d %d", module, i+1)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
			got, err := fetch(client, url)
			require.NoError(t, err)
			if got == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after a save it answers %q, want %q:\n%s", got, want, s.text())
			}
		}
	}
	cancel()
	clients.Wait()
	require.Greater(t, asked.Load(), int64(100))
	s.until(t, "version 101 in", 1) // it is told after it serves
	require.Equal(t, 90, strings.Count(s.text(), "· code"), s.text())
	require.Equal(t, 10, strings.Count(s.text(), "· containers replaced"), s.text())
}

const keysApp = `import gx

app = gx.App("keys")


@app.function(min_containers=1)
@gx.asgi_app()
def api():
    async def application(scope, receive, send):
        if scope["type"] == "http":
            print("asked for", scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one"})

    return application


@app.function(schedule=gx.Cron("0 3 * * *"))
def nightly():
    print("it is night")
`

// testKeys presses the keys of gx serve.
func testKeys(t *testing.T, l *lab) {
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, []byte(keysApp), 0o600))
	cmd := l.command("serve", file)
	cmd.Dir = filepath.Dir(file)
	cmd.Env = append(cmd.Env, "TERM=xterm", "DISPLAY=", "WAYLAND_DISPLAY=")
	term := openTerminal(t, cmd)
	term.await(t, "serving keys in")
	term.await(t, "api: container ready")
	for _, part := range []string{"version 1", "1 container", "requests/s", "started in", "? for keys"} {
		term.await(t, part)
	}
	for _, one := range []struct{ key, shows string }{
		{"?", "deploy what is being served"},
		{"c", "MEMORY"},
		{"l", "showing the output of api only"},
		{"l", "showing the output of nightly only"},
		{"l", "showing the output of all functions"},
		{"o", "functions: nightly"},
		{"r", "keys: version 2 in"},
		{"s", "it is night"},
		{"d", "deployed keys version"},
		{"\x1b[A", ""}, // an arrow is none
	} {
		term.press(t, one.key)
		term.await(t, one.shows)
	}
	save(t, file, strings.Replace(keysApp, "one", "two", 1))
	term.await(t, "keys: version 3 in")
	term.await(t, "(code)")
	url := endpoint.FindString(term.text())
	got, err := fetch(loopback(t, false), url)
	require.NoError(t, err)
	require.Equal(t, "two", got)
	term.await(t, "asked for /")
	// What was deployed stays as it was.
	deployed, err := fetch(loopback(t, false), strings.Replace(url, "keys-api-dev", "keys-api", 1))
	require.NoError(t, err)
	require.Equal(t, "one", deployed)
	l.output(t, l.command("app", "stop", "keys"))
	term.press(t, "q")
	require.Equal(t, 0, term.wait(t))
	require.Contains(t, term.text(), "keys took")
}

const documentedApp = `import gx

app = gx.App("documented")
image = gx.Image.debian_slim().pip_install("fastapi")


@app.function(image=image)
@gx.fastapi_endpoint(docs=True)
def double(x: int):
    return {"answer": 2 * x}


@app.function(image=image)
@gx.asgi_app()
def own():
    from fastapi import FastAPI

    web = FastAPI(title="An app of its own")

    @web.get("/price")
    def price(item: str):
        return 3

    return web
`

// testBrowser looks at an endpoint's documentation, calls it there, changes the
// code, and calls it again. The browser reaches nothing but this machine.
func testBrowser(t *testing.T, l *lab) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("there is no Chromium here: scripts/prepare test installs it")
	}
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, []byte(documentedApp), 0o600))
	s := l.serve(t, file)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox,
		chromedp.Flag("no-proxy-server", true), chromedp.WindowSize(1100, 1000),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost, EXCLUDE 127.0.0.1"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var failed []string
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventLoadingFailed:
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, e.ErrorText)
		case *network.EventRequestWillBeSent:
			if !strings.Contains(e.Request.URL, "localhost") && !strings.HasPrefix(e.Request.URL, "data:") {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, "it asks for "+e.Request.URL)
			}
		}
	}))
	// executed waits for what the page shows of a response.
	executed := func(text string) error {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](fmt.Sprintf(`[...document.querySelectorAll(".live-responses-table .response pre")].some(e => e.innerText.replace(/\s/g, "").includes(%q))`, text)))
		return err
	}
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(s.url(t)+"/docs"),
		chromedp.WaitVisible(".opblock-summary-control"),
		chromedp.Click(".opblock-summary-control"),
		chromedp.WaitVisible(".try-out__btn"),
		chromedp.Click(".try-out__btn"),
		chromedp.WaitEnabled(`.parameters input[type="text"]`),
		chromedp.SendKeys(`.parameters input[type="text"]`, "21"),
		chromedp.Click(".execute"),
	), s.text())
	require.NoError(t, executed(`"answer":42`), s.text())
	screenshot(ctx, t, "docs-page.png")

	save(t, file, strings.Replace(documentedApp, "2 * x", "-2 * x", 1))
	s.until(t, "version 2 in", 1)
	require.NoError(t, chromedp.Do(ctx, chromedp.Click(".execute")), s.text())
	require.NoError(t, executed(`"answer":-42`), s.text())
	s.until(t, "· code · app.py", 1)
	mu.Lock()
	require.Empty(t, failed)
	mu.Unlock()

	urls := s.urls(t, 2)
	require.Contains(t, urls[1], "own", s.text())
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(urls[1]+"/redoc"), chromedp.WaitVisible(`//h1[contains(., "An app of its own")]`)), s.text())
	mu.Lock()
	defer mu.Unlock()
	for _, what := range failed {
		require.Regexp(t, `^(it asks for https://cdn.redoc.ly/redoc/logo-mini.svg|net::ERR_NAME_NOT_RESOLVED)$`, what)
	}
}

// screenshot keeps what the browser shows, if GX_TEST_SCREENSHOTS names a folder.
func screenshot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("GX_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), png, 0o644)) //nolint:gosec // it is for everybody
}

const sentenceTransformers = `"""A stand-in for a model: what a text is becomes three numbers."""


class SentenceTransformer:
    def __init__(self, name):
        self.name = name

    def encode(self, texts, normalize_embeddings, batch_size):
        import numpy

        vectors = numpy.array([[len(text), text.count("a"), 1.0] for text in texts])
        return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True) if normalize_embeddings else vectors
`

// testGuide serves endpoints as a guide for users of Modal has them.
func testGuide(t *testing.T, l *lab) {
	if out, err := exec.CommandContext(t.Context(), l.python, "-c", "import fastapi").CombinedOutput(); err != nil {
		t.Skipf("the file imports FastAPI, which the Python that imports it does not have (make test-python makes one that has): %s", out)
	}
	text, err := os.ReadFile("testdata/guide_web.py")
	require.NoError(t, err)
	l.output(t, l.command("secret", "create", "--force", "api-secrets", "API_KEY=a-key"))
	dir := t.TempDir()
	file := filepath.Join(dir, "inference_api.py")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sentence_transformers.py"), []byte(sentenceTransformers), 0o600))
	s := l.serve(t, file)
	urls := s.urls(t, 2)
	require.Len(t, urls, 2, s.text())
	embed, api := urls[0], urls[1]
	require.Contains(t, embed, "embeddingservice-embed")

	curl := func(args ...string) string {
		t.Helper()
		// curl resolves names below localhost by itself from 7.77 on.
		_, port, _ := strings.Cut(strings.TrimPrefix(embed, "http://"), ":")
		args = append([]string{"-s", "--noproxy", "*", "-w", " %{http_code}", "--connect-to", "::127.0.0.1:" + port}, args...)
		out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	got := curl("-X", "POST", embed, "-H", "Content-Type: application/json", "-d", `{"texts": ["aa", "b"], "normalize": false}`)
	require.JSONEq(t, `{"embeddings": [[2, 2, 1], [1, 0, 1]], "model": "BAAI/bge-base-en-v1.5", "dimensions": 3}`, strings.TrimSuffix(got, " 200"))
	require.Contains(t, curl("-X", "POST", embed, "-H", "Content-Type: application/json", "-d", `{}`), " 422")
	require.Contains(t, curl(embed+"/docs"), "/__gx/swagger-ui/swagger-ui-bundle.js")
	redoc := curl(api + "/redoc")
	require.Contains(t, redoc, "/__gx/redoc/redoc.standalone.js")
	require.NotContains(t, redoc, "https://")
	require.Contains(t, curl("-o", os.DevNull, api+"/__gx/redoc/redoc.standalone.js"), " 200")

	completion := []string{"-X", "POST", api + "/v1/completions", "-H", "Content-Type: application/json", "-d", `{"prompt": "Summarize this document:", "max_tokens": 128}`}
	require.Equal(t, `{"text":"..."} 200`, curl(append(completion, "-H", "Authorization: Bearer a-key")...))
	require.Equal(t, `{"detail":"Invalid token"} 401`, curl(append(completion, "-H", "Authorization: Bearer other")...))
	require.Equal(t, `{"status":"ok"} 200`, curl(api+"/health"))
	preflight := curl("-i", "-X", "OPTIONS", api+"/v1/completions", "-H", "Origin: https://yourdomain.com", "-H", "Access-Control-Request-Method: POST", "-H", "Access-Control-Request-Headers: Authorization")
	require.Contains(t, strings.ToLower(preflight), "access-control-allow-origin: https://yourdomain.com")
	require.Contains(t, curl("-X", "OPTIONS", api+"/v1/completions", "-H", "Origin: https://elsewhere.example", "-H", "Access-Control-Request-Method: POST"), " 400")
}
