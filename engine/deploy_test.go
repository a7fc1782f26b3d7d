package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/sdk/pickle"
	"github.com/gx-dev/gx/wire"
)

// tell is a module with a function that tells its version.
func tell(version string) files {
	return files{"app.py": fmt.Sprintf("import time\n\ndef tell(x=None):\n    return %q\n\ndef wait(seconds):\n    time.sleep(seconds)\n    return %q\n", version, version)}
}

// deploy deploys functions of a module.
func (h *host) deploy(texts files, req api.DeployRequest, functions ...app.Function) (api.Deployed, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if len(functions) == 0 {
		functions = []app.Function{{Name: "tell"}, {Name: "wait"}}
	}
	req.Manifest = h.manifest(texts, functions...)
	req.Images = []string{h.image()}
	return h.Deploy(ctx, req)
}

// alone is a client of no app.
func (h *host) alone() *client {
	h.t.Helper()
	return (&running{App: &App{}, h: h, t: h.t}).dial()
}

// found is what a program finds by the names of an app and a function.
func (h *host) found(name string) *Found {
	h.t.Helper()
	f, fail := directory{h.Engine}.find("", "test", name, 0)
	if fail != nil {
		h.t.Fatalf("%s: %s", fail.Kind, fail.Message)
	}
	return f
}

// tells has the deployed app tell its version.
func (h *host) tells(want string) {
	h.t.Helper()
	c := h.alone()
	defer c.close()
	c.expect(c.collect(c.openID(h.found("tell").Function, "call", "", args(0)))[0], want)
}

func TestDeploy(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		first, err := h.deploy(tell("one"), api.DeployRequest{Tag: "v1", Who: "ada"})
		require.NoError(t, err)
		require.Equal(t, 1, first.Version)
		require.Equal(t, "start", first.Kind)
		require.Zero(t, first.Before)
		h.tells("one")
		id, function := first.App, h.found("tell").Function

		second, err := h.deploy(tell("two"), api.DeployRequest{})
		require.NoError(t, err)
		require.Equal(t, 2, second.Version)
		require.Equal(t, 1, second.Before)
		require.Equal(t, []api.FileChange{{Path: "/root/app.py", Change: "changed"}}, second.Changes.Files)
		require.Equal(t, id, second.App)
		require.Equal(t, function, h.found("tell").Function, "functions keep their ids")
		h.tells("two")

		h.restart()
		require.Equal(t, id, h.Apps()[0].ID)
		require.Equal(t, function, h.found("tell").Function)
		h.tells("two")
		_, idle := h.IdleSince()
		require.False(t, idle, "a host with a deployed app is not idle")

		back, err := h.Rollback(t.Context(), "test", api.RollbackRequest{})
		require.NoError(t, err)
		require.Equal(t, 3, back.Version)
		h.tells("one")
		h.restart()
		h.tells("one")

		require.NoError(t, h.StopApp(t.Context(), "test", true))
		require.ErrorIs(t, h.StopApp(t.Context(), "test", true), ErrNotFound, "it is stopped")
		h.restart()
		apps := h.Apps()
		require.Len(t, apps, 1)
		require.Equal(t, "stopped", apps[0].State)
		_, fail := directory{h.Engine}.find("", "test", "tell", 0)
		require.Contains(t, fail.Message, "gx app rollback test 3")
		_, idle = h.IdleSince()
		require.True(t, idle)

		require.NoError(t, err)
		_, err = h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 2})
		require.NoError(t, err)
		h.tells("two")
		require.Equal(t, function, h.found("tell").Function)

		d, err := h.Deployment(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, 4, d.Current)
		require.Equal(t, "v1", d.Versions[3].Tag)
		require.Equal(t, "ada", d.Versions[3].Who)
		require.Equal(t, 2, d.Versions[0].Of)
		require.Equal(t, d.Versions[0].Source, d.Versions[2].Source)
		require.NotEqual(t, d.Versions[0].Source, d.Versions[1].Source)
		var done []string
		for _, a := range d.History {
			done = append(done, fmt.Sprint(a.What, " ", a.Before, " ", a.Version))
		}
		require.Equal(t, []string{"rollback 0 4", "stop 3 0", "rollback 2 3", "deploy 1 2", "deploy 0 1"}, done)

		require.ErrorIs(t, h.DeleteDeployed(t.Context(), "test"), ErrInvalid, "it runs")
		require.NoError(t, h.StopApp(t.Context(), "test", true))
		require.NoError(t, h.DeleteDeployed(t.Context(), "test"))
		require.ErrorIs(t, h.DeleteDeployed(t.Context(), "test"), ErrNotFound)
		require.Empty(t, h.Apps())
		h.restart()
		require.Empty(t, h.Apps())
		again, err := h.deploy(tell("again"), api.DeployRequest{})
		require.NoError(t, err)
		require.Equal(t, 1, again.Version)
		require.NotEqual(t, id, again.App)
	})
}

// TestDeployThatDoesNotStart has versions whose containers do not come up,
// with and without containers that run.
func TestDeployThatDoesNotStart(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		broken := files{"app.py": "raise RuntimeError('no card today')\n"}
		_, err := h.deploy(broken, api.DeployRequest{})
		require.ErrorContains(t, err, "no card today")
		require.ErrorContains(t, err, "nothing was deployed")
		require.Empty(t, h.Apps())
		_, err = h.Deployment(t.Context(), "test")
		require.ErrorIs(t, err, ErrNotFound)

		_, err = h.deploy(tell("one"), api.DeployRequest{})
		require.NoError(t, err)
		for _, strategy := range []string{api.Rolling, api.Recreate} {
			h.tells("one") // a container is there
			_, err = h.deploy(broken, api.DeployRequest{Strategy: strategy})
			var refused *api.Error
			require.True(t, errors.As(err, &refused), "%v", err)
			require.Equal(t, "start_failed", refused.Code)
			require.Equal(t, "RuntimeError", refused.Raised.Type)
			require.Contains(t, refused.Message, "the version before goes on")
			h.tells("one")
		}
		h.restart()
		require.Empty(t, h.Containers(), "it has no container until it is called")
		_, err = h.deploy(broken, api.DeployRequest{})
		require.ErrorContains(t, err, "no card today", "one was started to find out")
		_, err = h.deploy(files{"app.py": tell("two")["app.py"] + "\ndef more():\n    pass\n"}, api.DeployRequest{}, app.Function{Name: "tell"}, app.Function{Name: "missing"})
		require.ErrorContains(t, err, "missing", "a function that is new has to come up too")
		h.tells("one")
		h.restart()
		h.tells("one")
		d, err := h.Deployment(t.Context(), "test")
		require.NoError(t, err)
		require.Equal(t, 1, d.Current)
	})
}

// TestDeployLetsInputsFinish has what runs on the old version finish there.
func TestDeployLetsInputsFinish(t *testing.T) {
	for _, strategy := range []string{api.Rolling, api.Recreate} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "process")
			_, err := h.deploy(tell("one"), api.DeployRequest{})
			require.NoError(t, err)
			c := h.alone()
			defer c.close()
			call := c.openID(h.found("wait").Function, "call", "", args(1.5))
			require.Eventually(t, func() bool {
				for _, c := range h.Containers() {
					if c.Function == "wait" && c.Running == 1 {
						return true
					}
				}
				return false
			}, time.Minute, 5*time.Millisecond)
			var calling sync.WaitGroup
			calling.Go(func() {
				if _, err := h.deploy(tell("two"), api.DeployRequest{Strategy: strategy}); err != nil {
					t.Error(err)
				}
			})
			c.expect(c.collect(call)[0], "one")
			calling.Wait()
			h.tells("two")
		})
	}
}

// TestDeployServed deploys what a session's app is at the moment.
func TestDeployServed(t *testing.T) {
	h := newHost(t, "process")
	served := h.startFiles(tell("one"), app.Function{Name: "tell"})
	_, err := served.change(tell("two"), app.Function{Name: "tell"})
	require.NoError(t, err)
	done, err := h.DeployServed(t.Context(), served.ID(), api.DeployServedRequest{Name: "kept", Tag: "t"})
	require.NoError(t, err)
	require.Equal(t, "kept", done.Name)
	served.stop(true)
	f, fail := directory{h.Engine}.find("", "kept", "tell", 1)
	require.Nil(t, fail)
	c := h.alone()
	defer c.close()
	c.expect(c.collect(c.openID(f.Function, "call", "", args(0)))[0], "two")
	_, err = h.DeployServed(t.Context(), "kept", api.DeployServedRequest{})
	require.ErrorIs(t, err, ErrInvalid)
}

// TestDeployKeeps has versions be kept by their number: what they are made of is
// let go of with them.
func TestDeployKeeps(t *testing.T) {
	h := newHost(t, "process")
	h.cfg.Deployments = deployment.Retention{Versions: 2}
	h.restart()
	for i := range 4 {
		_, err := h.deploy(tell(fmt.Sprint(i+1)), api.DeployRequest{})
		require.NoError(t, err)
	}
	for range 2 {
		d, err := h.Deployment(t.Context(), "test")
		require.NoError(t, err)
		var kept []int
		for _, v := range d.Versions {
			if v.Kept {
				kept = append(kept, v.Number)
			}
		}
		require.Equal(t, []int{4, 3}, kept)
		require.Eventually(t, func() bool { // containers of older ones are ending
			if err := h.sources.Collect(0); err != nil {
				t.Error(err)
			}
			trees, err := filepath.Glob(filepath.Join(h.dir, "state", "trees", "*"))
			return err == nil && len(trees) == 2
		}, time.Minute, 20*time.Millisecond, "the files of two versions")
		h.restart()
	}
	_, err := h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 1})
	require.ErrorContains(t, err, "not kept any more")
	_, err = h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 3})
	require.NoError(t, err)
	h.tells("3")
}

// TestDeployFailsToRestore has an app's image be gone: the host starts all the
// same, says so, and the app can be deployed again or stopped.
func TestDeployFailsToRestore(t *testing.T) {
	h := newHost(t, "process")
	h.expected()
	h.restart()
	require.Equal(t, "failed", h.Apps()[0].State)
	require.Contains(t, h.Apps()[0].Error, "not in the store any more")
	_, fail := directory{h.Engine}.find("", "test", "tell", 0)
	require.Contains(t, fail.Message, "could not be started")
	_, err := h.deploy(tell("again"), api.DeployRequest{})
	require.NoError(t, err)
	h.tells("again")
	require.Equal(t, "deployed", h.Apps()[0].State)
}

// TestStoppedAppPinsNoImages has the images of a stopped app be there to be
// removed, and those of its versions be kept again once it runs.
func TestStoppedAppPinsNoImages(t *testing.T) {
	h := newHost(t, "process")
	for _, v := range []string{"one", "two"} {
		_, err := h.deploy(tell(v), api.DeployRequest{})
		require.NoError(t, err)
	}
	pins := func() int {
		h.Engine.images.release(0) // what was built lately
		h.images.mu.Lock()
		defer h.images.mu.Unlock()
		return h.images.pins
	}
	for range 2 {
		require.NoError(t, h.StopApp(t.Context(), "test", true))
		require.Eventually(t, func() bool { return pins() == 0 }, time.Minute, time.Millisecond, "its containers are ending")
		h.restart()
		require.Zero(t, pins())
		_, err := h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 1})
		require.NoError(t, err)
		h.tells("one")
		require.GreaterOrEqual(t, pins(), 3, "of each version, and of what runs")
	}
	require.NoError(t, h.StopApp(t.Context(), "test", true))
	h.images.gone.Store(true)
	_, err := h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 2})
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, "version 2 of app test cannot run again")
	require.ErrorContains(t, err, "gx deploy")
	h.restart()
	require.Equal(t, "stopped", h.Apps()[0].State)
	_, err = h.deploy(tell("three"), api.DeployRequest{}) // although no earlier version can be gone back to
	require.NoError(t, err)
	h.tells("three")
}

// TestDeployOtherParameters deploys a class whose parameters are others than
// those with which it is in use, and one that somebody asks for by what its code
// refuses: neither keeps the next version off.
func TestDeployOtherParameters(t *testing.T) {
	h := newHost(t, "process")
	kept := `
class C:
    def __init__(self, NAME):
        if WHO == "bad":
            raise ValueError("there is no " + WHO)
        self.told = WHO

    def ask(self, x):
        return "VERSION " + self.told


C.ask._gx_roles = ("method",)
`
	deploy := func(version, name string, parameters ...app.Parameter) error {
		_, err := h.deploy(files{"app.py": strings.NewReplacer("NAME", name, "WHO", regexp.MustCompile(`^\w+`).FindString(name), "VERSION", version).Replace(kept)}, api.DeployRequest{},
			app.Function{Name: "C", Class: true, Methods: []app.Method{{Name: "ask"}}, Parametrized: len(parameters) > 0, Parameters: parameters})
		return err
	}
	c := h.alone()
	defer c.close()
	ask := func(name, value string) wire.Frame {
		c.next++
		open, err := wire.JSON(wire.Open, c.next, 0, wire.OpenBody{Function: h.found("C").Function, Kind: "call", Method: "ask", Params: pickle.Arguments(map[string]any{name: value})})
		require.NoError(t, err)
		c.write(open, wire.Frame{Header: wire.Header{Type: wire.Input, Call: c.next}, Body: args(0)}, wire.Frame{Header: wire.Header{Type: wire.End, Call: c.next, Index: 1}})
		return c.collect(c.next)[0]
	}
	require.NoError(t, deploy("one", "name", app.Parameter{Name: "name", Type: "str"}))
	c.expect(ask("name", "bo"), "one bo")
	require.NoError(t, deploy("two", "who", app.Parameter{Name: "who", Type: "str"}))
	c.expect(ask("who", "cy"), "two cy")
	require.Equal(t, wire.Error, ask("who", "bad").Type)
	require.NoError(t, deploy("three", "who", app.Parameter{Name: "who", Type: "str"}))
	c.expect(ask("who", "cy"), "three cy")
	// The one without parameters is of no use once they are needed.
	require.NoError(t, deploy("four", "who='all'"))
	require.NoError(t, deploy("five", "who", app.Parameter{Name: "who", Type: "str"}))
	c.expect(ask("who", "cy"), "five cy")
	// With those that stay, a version that does not start is none.
	require.ErrorContains(t, deploy("six", "who, more", app.Parameter{Name: "who", Type: "str"}), "C does not start")
	c.expect(ask("who", "cy"), "five cy")
}

func TestDeployIsRefused(t *testing.T) {
	h := newHost(t, "process")
	_, err := h.deploy(tell("one"), api.DeployRequest{Strategy: "blue"})
	require.ErrorIs(t, err, ErrInvalid)
	_, err = h.deploy(tell("one"), api.DeployRequest{Tag: "a\nb"})
	require.ErrorIs(t, err, ErrInvalid)
	m := h.manifest(tell("one"), app.Function{Name: "tell"})
	m.Name = ""
	_, err = h.Deploy(t.Context(), api.DeployRequest{Manifest: m, Images: []string{h.image()}})
	require.ErrorContains(t, err, "needs a name")
	_, err = h.Rollback(t.Context(), "test", api.RollbackRequest{})
	require.ErrorIs(t, err, ErrNotFound)
	require.Empty(t, h.Apps())
}

// TestStopCanBeHurried has somebody tire of waiting for an app to end: it can
// be killed then, or deployed again.
func TestStopCanBeHurried(t *testing.T) {
	h := newHost(t, "process")
	stubborn := files{"app.py": `import time

def tell(x=None):
    return "told"

def stay(x):
    print("staying", flush=True)
    end = time.monotonic() + x
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
`}
	stays := func() (n int) {
		require.NoError(t, h.Logs(t.Context(), "test", api.LogQuery{}, func(m api.LogMessage) error {
			for _, l := range m.Lines {
				if l.Text == "staying" {
					n++
				}
			}
			return nil
		}))
		return n
	}
	for i, kill := range []bool{true, false} {
		_, err := h.deploy(stubborn, api.DeployRequest{}, app.Function{Name: "tell"}, app.Function{Name: "stay"})
		require.NoError(t, err)
		a, err := h.App("test")
		require.NoError(t, err)
		c := h.alone()
		seconds := 5 // which are waited for
		if kill {
			seconds = 600
		}
		c.openID(h.found("stay").Function, "call", "", args(seconds))
		waitFor(t, "its word", func() bool { return stays() == i+1 })
		tired, tire := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- h.StopApp(tired, "test", false) }()
		require.Eventually(t, func() bool { return a.deployed.state().Stopped }, time.Minute, time.Millisecond)
		tire()
		require.ErrorIs(t, <-stopped, context.Canceled)
		if kill {
			require.NoError(t, h.StopApp(t.Context(), "test", true))
			require.ErrorIs(t, h.StopApp(t.Context(), "test", true), ErrNotFound)
		}
		c.close()
		_, err = h.Rollback(t.Context(), "test", api.RollbackRequest{Version: 1}) // which waits for its end
		require.NoError(t, err)
		h.tells("told")
		require.NoError(t, h.StopApp(t.Context(), "test", true))
	}
}

// TestDeployAfterRename gives the environment of a stopped app another name: the
// app, and its schedules, go on in that.
func TestDeployAfterRename(t *testing.T) {
	h := newHost(t, "process")
	require.NoError(t, h.environments.Create(t.Context(), "dev"))
	m := h.manifest(tell("one"), app.Function{Name: "tell", Schedule: &app.Schedule{Cron: "0 0 1 1 *"}})
	m.Environment = "dev"
	_, err := h.Deploy(t.Context(), api.DeployRequest{Manifest: m, Images: []string{h.image()}})
	require.NoError(t, err)
	require.NoError(t, h.StopApp(t.Context(), "dev/test", true))
	require.NoError(t, h.environments.Rename(t.Context(), "dev", "next"))
	for in, n := range map[string]int{"next": 1, "dev": 0} {
		list, err := h.Schedules(t.Context(), in, "")
		require.NoError(t, err)
		require.Len(t, list, n, "schedules of %s", in)
	}
	l, err := h.logs.Find("next/test")
	require.NoError(t, err, "its log has moved along")
	require.Equal(t, "next", l.Info().Environment)
	_, err = h.logs.Find("dev/test")
	require.ErrorIs(t, err, logs.ErrNotFound)
	back, err := h.Rollback(t.Context(), "next/test", api.RollbackRequest{Version: 1})
	require.NoError(t, err)
	require.Equal(t, "next", back.Environment)
	list, err := h.Schedules(t.Context(), "next", "")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "active", list[0].State)
}

// TestStopAtOnce has a version whose containers do not come up soon be deployed:
// `gx app stop --now` does not wait for it.
func TestStopAtOnce(t *testing.T) {
	h := newHost(t, "process")
	slow := files{"app.py": "import time\ntime.sleep(300)\n\ndef tell(x=None):\n    return 'slow'\n"}
	for _, running := range []bool{false, true} {
		if running {
			_, err := h.deploy(tell("one"), api.DeployRequest{})
			require.NoError(t, err)
			h.tells("one")
		}
		deployed := make(chan error, 1)
		go func() {
			_, err := h.deploy(slow, api.DeployRequest{}, app.Function{Name: "tell"})
			deployed <- err
		}()
		require.Eventually(t, func() bool {
			for _, c := range h.Containers() {
				if c.State == "starting" {
					return true
				}
			}
			return false
		}, time.Minute, time.Millisecond, "the new version is coming up")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		require.NoError(t, h.StopApp(ctx, "test", true))
		cancel()
		err := <-deployed
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, "gx app stop --now")
		require.Empty(t, h.Containers())
		if !running {
			require.Empty(t, h.Apps())
		}
	}
	require.Equal(t, "stopped", h.Apps()[0].State)
	require.Equal(t, 1, h.Apps()[0].Version)
	_, err := h.deploy(tell("two"), api.DeployRequest{})
	require.NoError(t, err, "it can be deployed again")
	h.tells("two")
}

// TestHostEndsAsItDeploys ends the host when a version is recorded, and does not
// run yet: it is deployed, and the next host runs it.
func TestHostEndsAsItDeploys(t *testing.T) {
	h := newHost(t, "process")
	_, err := h.deploy(tell("one"), api.DeployRequest{})
	require.NoError(t, err)
	a, err := h.App("test")
	require.NoError(t, err)
	m := h.manifest(tell("two"), app.Function{Name: "tell"}, app.Function{Name: "wait"})
	images, err := h.Engine.images.all([]string{h.image()})
	require.NoError(t, err)
	closed := make(chan error, 1)
	updated, err := a.revise(t.Context(), revision{manifest: &m, images: images, rollout: &rollout{confirm: func(next *edition) error {
		err := a.deployed.confirm(t.Context(), a, next, deployment.Version{Origin: "deploy"})
		go func() { closed <- h.Close(context.WithoutCancel(t.Context())) }()
		for {
			a.mu.Lock()
			stopping := a.stopping
			a.mu.Unlock()
			if stopping {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	}}})
	require.NoError(t, err, "it is deployed")
	require.Equal(t, 2, updated.Version)
	require.NoError(t, <-closed)
	h.Engine, err = New(context.Background(), h.cfg)
	require.NoError(t, err)
	h.tells("two")
}

// TestTrimGoesOn has whoever deployed leave before versions are let go of.
func TestTrimGoesOn(t *testing.T) {
	h := newHost(t, "process")
	for _, v := range []string{"one", "two"} {
		_, err := h.deploy(tell(v), api.DeployRequest{})
		require.NoError(t, err)
	}
	h.Engine.cfg.Deployments = deployment.Retention{Versions: 1}
	a, err := h.App("test")
	require.NoError(t, err)
	left, leave := context.WithCancel(t.Context())
	leave()
	a.deployed.trim(left)
	d, err := h.Deployment(t.Context(), "test")
	require.NoError(t, err)
	require.False(t, d.Versions[1].Kept)
	require.Len(t, a.deployed.pins, 1)
}

// TestPastVersions has programs ask for functions of certain versions: they stay
// at those, whichever is deployed, and with the next host.
func TestPastVersions(t *testing.T) {
	h := newHost(t, "process")
	h.cfg.Deployments = deployment.Retention{Versions: 3}
	h.restart()
	for _, v := range []string{"one", "two"} {
		_, err := h.deploy(tell(v), api.DeployRequest{})
		require.NoError(t, err)
	}
	handle := func(version int) string {
		t.Helper()
		f, fail := directory{h.Engine}.find("", "test", "tell", version)
		if fail != nil {
			t.Fatal(fail.Message)
		}
		return f.Function
	}
	says := func(function, want string) {
		t.Helper()
		c := h.alone()
		defer c.close()
		c.expect(c.collect(c.openID(function, "call", "", args(0)))[0], want)
	}
	first, second := handle(1), handle(2)
	says(first, "one")
	says(second, "two")
	_, err := h.deploy(tell("three"), api.DeployRequest{})
	require.NoError(t, err)
	says(first, "one")
	says(second, "two")
	h.tells("three")
	a, err := h.App("test")
	require.NoError(t, err)
	require.NotNil(t, a.deployed, "by its name the app is the deployed one")
	l, err := h.logs.Find("test")
	require.NoError(t, err)
	require.Equal(t, a.id, l.Info().ID)
	_, err = h.logs.Find("test@1")
	require.NoError(t, err)
	past, err := h.App("test@1")
	require.NoError(t, err)
	require.Equal(t, 1, past.describe().Version)
	shown := map[string]bool{}
	for _, c := range h.Top().Containers {
		shown[c.AppName] = true
	}
	require.Equal(t, map[string]bool{"test": true, "test@1": true, "test@2": true}, shown)
	for name, app := range map[string]*App{"test": a, "test@1": past} {
		w, err := h.Why(name + "/tell")
		require.NoError(t, err)
		require.Equal(t, []string{app.id, name}, []string{w.Functions[0].App, w.Functions[0].AppName})
	}
	h.restart()
	says(second, "two")
	_, fail := directory{h.Engine}.find("", "test", "tell", 9)
	require.Contains(t, fail.Message, "no version 9")
	_, err = h.deploy(tell("four"), api.DeployRequest{})
	require.NoError(t, err)
	_, fail = directory{h.Engine}.find("", "test", "tell", 1)
	require.Contains(t, fail.Message, "not kept any more")
	require.NoError(t, h.StopApp(t.Context(), "test", false))
	require.Empty(t, h.Containers())
	_, err = directory{h.Engine}.Resolve(wire.OpenBody{Kind: "call", Function: second})
	require.ErrorIs(t, err, ErrNotFound)
	require.Len(t, h.Apps(), 1)
}

// TestPastKeepsNoContainers asks for a function of a version that is to have
// containers all the time: it has them while it is deployed.
func TestPastKeepsNoContainers(t *testing.T) {
	h := newHost(t, "process")
	for _, v := range []string{"one", "two"} {
		_, err := h.deploy(tell(v), api.DeployRequest{}, app.Function{Name: "tell", Scaling: app.Scaling{Min: 2}})
		require.NoError(t, err)
	}
	f, fail := directory{h.Engine}.find("", "test", "tell", 1)
	require.Nil(t, fail)
	past, err := h.App("test@1")
	require.NoError(t, err)
	require.Zero(t, past.describe().Containers)
	c := h.alone()
	c.expect(c.collect(c.openID(f.Function, "call", "", args(0)))[0], "one")
	c.close()
	require.Equal(t, 1, past.describe().Containers)
	_, fail = past.definition("tell").webURLs("")
	require.Contains(t, fail.Message, "version 1 is not the app's current one")
}
