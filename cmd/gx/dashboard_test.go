//go:build linux

package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const shownApp = `import time

import gx

app = gx.App("shown-app")


@app.function(gpu="T4")
def work(x: int) -> int:
    print("working at", x)
    return x + 1


@app.local_entrypoint()
def main():
    print(sum(work.map(range(5))), flush=True)
    time.sleep(600)
`

const keptApp = `import gx

app = gx.App("kept-app")


@app.function(schedule=gx.Cron("0 3 1 1 *"))
def say() -> str:
    return %q
`

// testDashboard opens the dashboard as a user does, looks at an app that runs,
// and stops it there; then at one that is
// deployed.
func testDashboard(t *testing.T, l *lab) {
	ctx := browse(t)
	file := filepath.Join(t.TempDir(), "shown.py")
	require.NoError(t, os.WriteFile(file, []byte(shownApp), 0o600))
	run := &served{cmd: l.command("run", file)}
	run.cmd.Dir, run.cmd.Stdout, run.cmd.Stderr = filepath.Dir(file), run, run
	require.NoError(t, run.cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- run.cmd.Wait() }()
	t.Cleanup(func() { _ = run.cmd.Process.Kill() }) // where what follows fails
	run.until(t, "15\n", 1)
	address := strings.TrimSpace(l.output(t, l.command("dashboard", "--no-browser")))

	// shows waits until the page has a text.
	shows := func(text string) {
		t.Helper()
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](fmt.Sprintf(`document.querySelector("main")?.innerText.includes(%q) ?? false`, text)))
		if err != nil {
			has, _ := chromedp.Run(context.WithoutCancel(ctx), chromedp.Evaluate[string](`document.body.innerText`))
			t.Fatalf("the page does not show %q: %v\n%s", text, err, has)
		}
	}
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, actions...))
	}
	do(chromedp.Navigate(address))
	shows("shown-app")
	do(chromedp.Click(`//a[text()="shown-app"]`))
	shows("An input takes")
	do(chromedp.Click(`//a[text()="work"]`))
	shows("Calls of work")
	shows("map")
	do(chromedp.Click(`//a[text()="Log"]`))
	shows("working at 4")
	do(chromedp.SendKeys(`.filter input`, "at 3\n"))
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`!document.querySelector(".log").innerText.includes("working at 4")`))
	require.NoError(t, err)
	shows("working at 3")
	screenshot(ctx, t, "dashboard-log.png")
	for tab, text := range map[string]string{"Containers": "T4", "Storage": "Volumes", "Host": "buildkit", "Cost": "By card"} {
		do(chromedp.Click(fmt.Sprintf(`//nav/a[text()=%q]`, tab)))
		shows(text)
	}
	do(chromedp.Click(`//nav/a[text()="Apps"]`), chromedp.Click(`//a[text()="shown-app"]`))
	shows("Functions")

	// Whatever the page asks is meant.
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		if _, asked := event.(*page.EventJavascriptDialogOpening); asked {
			go func() {
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}) // what follows shows it
			}()
		}
	}))
	do(chromedp.Click(`button.danger`)) // Stop
	shows("The app has ended")
	run.until(t, "shown-app stopped: the app was stopped", 1)
	require.NoError(t, run.cmd.Process.Signal(os.Interrupt)) // the program sleeps on
	require.Error(t, <-ended)                                // 130

	// Another app stays: the page goes back to its first version.
	deployed := filepath.Join(t.TempDir(), "kept.py")
	for _, text := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(deployed, fmt.Appendf(nil, keptApp, text), 0o600))
		l.output(t, l.command("deploy", deployed))
	}
	t.Cleanup(func() { l.output(t, l.command("app", "stop", "kept-app")) })
	do(chromedp.Click(`//nav/a[text()="Schedules"]`))
	shows("kept-app")
	do(chromedp.Click(`//button[text()="Run now"]`))
	shows("ok")
	do(chromedp.Click(`//nav/a[text()="Apps"]`), chromedp.Click(`//a[text()="kept-app"]`), chromedp.Click(`//a[text()="Versions"]`), chromedp.Click(`//button[text()="Compare"]`))
	shows("/root/kept.py: changed")
	do(chromedp.Click(`//button[text()="Go back"]`))
	shows("rollback of v1")
	require.Contains(t, l.output(t, l.command("call", "kept-app", "say")), "one")
}
