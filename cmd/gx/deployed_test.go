//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
)

// steady is a program whose functions and web endpoint tell a number.
const steady = `import asyncio
import gx

app = gx.App("%s")
NUMBER = %d


@app.function()
def tell():
    return NUMBER


@app.function(min_containers=1)
@gx.concurrent(max_inputs=20)
@gx.asgi_app()
def site():
    async def answer(scope, receive, send):
        size, more = 0, scope["type"] == "http"
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body")
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%%d %%d" %% (NUMBER, size)})

    return answer
`

// deploySteady deploys a number.
func (l *lab) deploySteady(dir, name string, number int, flags ...string) (done api.Deployed, err error) {
	file := filepath.Join(dir, name+".py")
	if err := os.WriteFile(file, fmt.Appendf(nil, steady, name, number), 0o600); err != nil {
		return done, err
	}
	cmd := l.command(append([]string{"deploy", "--json", name + ".py"}, flags...)...)
	cmd.Dir = dir
	var all []api.Deployed
	out, err := outputOf(cmd)
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		return done, err
	}
	return all[0], nil
}

// forget ends a deployed app: the state may be another run's of the tests.
func (l *lab) forget(t *testing.T, name string) {
	t.Helper()
	l.output(t, l.command("app", "stop", "--now", name))
	l.output(t, l.command("app", "delete", "--yes", name))
}

func outputOf(cmd *exec.Cmd) (string, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, out, stderr.String())
	}
	return string(out), nil
}

// testDeployLoad deploys over and over while clients ask a web endpoint without
// a pause: no request fails, and new ones get the version that was deployed.
func testDeployLoad(t *testing.T, l *lab) {
	dir := t.TempDir()
	first, err := l.deploySteady(dir, "loaded", 1)
	require.NoError(t, err)
	t.Cleanup(func() { l.forget(t, "loaded") })
	_, port, _ := strings.Cut(first.Web["site"], "localhost:")
	url := "http://localhost:" + port + "/loaded-site/"

	ask := func(client *http.Client, size int) (number int, err error) {
		var resp *http.Response
		if size == 0 {
			resp, err = client.Get(url)
		} else {
			resp, err = client.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		}
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		var got int
		if err == nil {
			_, err = fmt.Sscan(string(text), &number, &got)
		}
		if err != nil || resp.StatusCode != http.StatusOK || got != size {
			return 0, fmt.Errorf("%s: %q: %w", resp.Status, text, err)
		}
		return number, nil
	}
	var clients sync.WaitGroup
	var asked, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer clients.Wait()
	defer stop()
	for i := range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				size := 0
				if n%2 == 1 {
					size = 1000 << (i % 8) // up to 128 KB
				}
				if _, err := ask(client, size); err != nil {
					failed.Add(1)
					t.Errorf("request %d of client %d: %v", n, i, err)
				}
				asked.Add(1)
			}
		})
	}
	const versions = 6
	for number := 2; number <= versions; number++ {
		before := asked.Load()
		done, err := l.deploySteady(dir, "loaded", number)
		require.NoError(t, err)
		require.Equal(t, first.Version+number-1, done.Version)
		got, err := ask(http.DefaultClient, 0)
		require.NoError(t, err)
		require.Equal(t, number, got, "a request that comes after the deployment gets it")
		require.Eventually(t, func() bool { return asked.Load() > before+100 }, time.Minute, 5*time.Millisecond)
	}
	stop()
	clients.Wait()
	t.Logf("%d requests during %d deployments, %d failed", asked.Load(), versions-1, failed.Load())
}

// testVersionsKilled kills the host at random moments while two apps are
// deployed and called: each comes back as the version that was confirmed last,
// or as the one that was being deployed.
func testVersionsKilled(t *testing.T, l *lab) {
	dir := t.TempDir()
	names := []string{"steady-1", "steady-2"}
	var confirmed, tried [2]int
	t.Cleanup(func() {
		for _, name := range names {
			l.forget(t, name)
		}
	})
	number := 0
	for i, name := range names {
		number++
		_, err := l.deploySteady(dir, name, number)
		require.NoError(t, err)
		confirmed[i], tried[i] = number, number
	}
	cut := 0
	n := kills(t)
	for kill := range n {
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(4*time.Second))))
		pid := l.hostPid()
		require.Positive(t, pid)
		var working sync.WaitGroup
		working.Go(func() { // deploys the one and the other
			for i := kill; ctx.Err() == nil; i++ {
				number++
				i := i % 2
				tried[i] = number
				flags := []string{}
				if number%5 == 0 {
					flags = []string{"--strategy", "recreate"}
				}
				if _, err := l.deploySteady(dir, names[i], number, flags...); err == nil {
					confirmed[i] = number
					continue
				}
				cut++
				return // its end is the host's
			}
		})
		working.Go(func() { // calls them
			for i := 0; ctx.Err() == nil; i++ {
				cmd := l.command("call", names[i%2], "tell")
				_ = cmd.Run() // it may be cut off
			}
		})
		<-ctx.Done()
		stop()
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		working.Wait()
		for i, name := range names {
			out, err := outputOf(l.command("call", name, "tell"))
			require.NoError(t, err, "kill %d", kill+1)
			got, err := strconv.Atoi(strings.TrimSpace(out))
			require.NoError(t, err)
			if got != confirmed[i] && got != tried[i] {
				t.Fatalf("kill %d: app %s came back as %d; %d was confirmed last, %d tried", kill+1, name, got, confirmed[i], tried[i])
			}
			confirmed[i], tried[i] = got, got
			var d api.Deployment
			text, err := outputOf(l.command("app", "history", "--json", name))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal([]byte(text), &d))
			require.Equal(t, "deployed", d.State)
			require.Equal(t, "current", d.Versions[0].State)
		}
	}
	t.Logf("%d kills, %d deployments, of which %d were cut off", n, number, cut)
}
