package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

// files are the texts of an app's files, by name in /root.
type files map[string]string

// manifest is an app of functions of the module app, whose files are uploaded.
func (h *host) manifest(texts files, functions ...app.Function) app.Manifest {
	h.t.Helper()
	m := app.Manifest{Version: app.ManifestVersion, Name: "test", Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}}, Force: -1}}, Mounts: []app.Mount{{}}}
	for name, text := range texts {
		sum := sha256.Sum256([]byte(text))
		hash := hex.EncodeToString(sum[:])
		if err := h.PutBlob(context.Background(), hash, strings.NewReader(text)); err != nil {
			h.t.Fatal(err)
		}
		m.Mounts[0].Files = append(m.Mounts[0].Files, app.File{Remote: "/root/" + name, SHA256: hash, Size: int64(len(text)), Mode: 0o644})
	}
	for _, f := range functions {
		f.Module, f.Mounts = "app", []int{0}
		if f.Qualname == "" {
			f.Qualname = f.Name
		}
		m.Functions = append(m.Functions, f)
	}
	return m
}

// startFiles starts an app of such a manifest.
func (h *host) startFiles(texts files, functions ...app.Function) *running {
	h.t.Helper()
	return h.startManifest(h.manifest(texts, functions...))
}

// change updates the app to such a manifest.
func (r *running) change(texts files, functions ...app.Function) (api.Updated, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	m := r.h.manifest(texts, functions...)
	return r.Update(ctx, api.UpdateRequest{Manifest: m, Images: []string{r.h.image()}})
}

// changes is change where it must succeed in one way.
func (r *running) changes(kind string, texts files, functions ...app.Function) api.Updated {
	r.t.Helper()
	updated, err := r.change(texts, functions...)
	if err != nil {
		r.t.Fatalf("the update failed: %v; the app printed:\n%s", err, r.text())
	}
	if updated.Kind != kind {
		r.t.Fatalf("an update of kind %q, want %q", updated.Kind, kind)
	}
	return updated
}

func (r *running) callFunction(c *client, function string, input []byte) wire.Frame {
	r.t.Helper()
	return c.collect(c.openID(r.ids()[function], "call", "", input))[0]
}

// ids are the functions of the edition that runs.
func (r *running) ids() map[string]string {
	r.App.mu.Lock()
	defer r.App.mu.Unlock()
	return r.edition.ids
}

// waits is a module's beginning: wait(1) lasts until the container gets SIGUSR1.
const waits = `import signal, time

def wait(x):
    if x:
        came = []
        signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
        print("waiting", flush=True)
        while not came:
            time.sleep(0.005)

`

// signal lets a container's input that waits go on.
func (h *host) signal(container string) {
	h.t.Helper()
	h.runtime.mu.Lock()
	c := h.runtime.byID[container]
	h.runtime.mu.Unlock()
	if err := c.Signal(syscall.SIGUSR1); err != nil {
		h.t.Fatal(err)
	}
}

// awaitText waits until the app has printed something.
func (r *running) awaitText(text string) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(r.text(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%q was not printed:\n%s", text, r.text())
		}
	}
}

func TestUpdateReplacesContainers(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.startFiles(files{"app.py": "def f(x):\n    return 'one'\n"}, app.Function{Name: "f", Shape: "1"})
		c := a.dial()
		c.expect(c.call("f", args(1)), "one")
		old := h.Containers()
		u := a.changes(api.UpdateContainers, files{"app.py": "def f(x):\n    return 'two'\n"}, app.Function{Name: "f", Shape: "2"})
		if u.Version != 2 || u.Took <= 0 || u.Functions["f"] != a.Started().Functions["f"] {
			t.Errorf("%+v", u)
		}
		c.expect(c.call("f", args(1)), "two")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			list := h.Containers()
			if len(list) == 1 && list[0].ID != old[0].ID {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v are left", list)
			}
		}
		if u := a.changes(api.UpdateNone, files{"app.py": "def f(x):\n    return 'two'\n"}, app.Function{Name: "f", Shape: "2"}); u.Version != 2 {
			t.Errorf("nothing changed, and it is version %d", u.Version)
		}
		c.close()
		a.stop(false)
	})
}

func TestUpdateThatDoesNotStart(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.startFiles(files{"app.py": "def f(x):\n    return 'one'\n"}, app.Function{Name: "f", Shape: "1"})
		c := a.dial()
		c.expect(c.call("f", args(1)), "one")
		_, err := a.change(files{"app.py": "import os\n\nraise ValueError('no')\n\ndef f(x):\n    return 'two'\n"}, app.Function{Name: "f", Shape: "2"})
		var told *api.Error
		if !errors.As(err, &told) || told.Raised == nil {
			t.Fatalf("%v", err)
		}
		if r := told.Raised; r.Type != "ValueError" || r.Message != "no" || r.Line != 3 || !strings.HasSuffix(r.File, "/app.py") || !strings.Contains(r.Traceback, "raise ValueError") {
			t.Errorf("%+v", r)
		}
		for _, want := range []string{"f does not start", "ValueError: no", "app.py, line 3", "goes on"} {
			if !strings.Contains(told.Message, want) {
				t.Errorf("%q is not in %q", want, told.Message)
			}
		}
		c.expect(c.call("f", args(1)), "one")
		if u := a.changes(api.UpdateContainers, files{"app.py": "def f(x):\n    return 'three'\n"}, app.Function{Name: "f", Shape: "3"}); u.Version != 2 {
			t.Errorf("version %d after a failure", u.Version)
		}
		c.expect(c.call("f", args(1)), "three")
		c.close()
		a.stop(false)
	})
}

func TestUpdateLetsInputsFinish(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		before := waits + "def f(x):\n    wait(x)\n    return 'one'\n"
		a := h.startFiles(files{"app.py": before}, app.Function{Name: "f", Shape: "1", Scaling: app.Scaling{Max: 1}})
		c := a.dial()
		slow := c.open("call", "f", "", args(1))
		a.awaitText("waiting")
		old := h.Containers()[0].ID
		a.changes(api.UpdateContainers, files{"app.py": strings.Replace(before, "'one'", "'two'", 1)}, app.Function{Name: "f", Shape: "2", Scaling: app.Scaling{Max: 1}})
		// The old container is at its input still; the next goes to the new one.
		d := a.dial()
		quick := d.open("call", "f", "", args(0))
		d.expect(d.collect(quick)[0], "two")
		d.close()
		h.signal(old)
		c.expect(c.collect(slow)[0], "one")
		c.close()
		a.stop(false)
	})
}

func TestUpdateAddsAndRemovesFunctions(t *testing.T) {
	h := newHost(t, "process")
	text := "def f(x):\n    return 'f'\n\ndef g(x):\n    return 'g'\n"
	a := h.startFiles(files{"app.py": text}, app.Function{Name: "f", Shape: "1"})
	c := a.dial()
	c.expect(c.call("f", args(1)), "f")
	u := a.changes(api.UpdateCode, files{"app.py": text}, app.Function{Name: "g", Shape: "1"})
	if len(u.Functions) != 1 || u.Functions["g"] == "" {
		t.Errorf("%+v", u.Functions)
	}
	c.expect(a.callFunction(c, "g", args(1)), "g")
	kind, message := c.failure(c.collect(c.openID(a.Started().Functions["f"], "call", "", args(1)))[0])
	if kind != wire.FailRefused || !strings.Contains(message, "version 2 of the app does not have it") {
		t.Errorf("%s: %s", kind, message)
	}
	u = a.changes(api.UpdateCode, files{"app.py": text}, app.Function{Name: "f", Shape: "1"}, app.Function{Name: "g", Shape: "1"})
	if u.Functions["f"] != a.Started().Functions["f"] {
		t.Error("a function that comes back has another id")
	}
	c.expect(c.call("f", args(1)), "f")
	c.close()
	bill := a.stop(false)
	inputs := map[string]int64{}
	for _, u := range bill.Usage {
		if _, twice := inputs[u.Function]; twice {
			t.Errorf("%s is on the bill twice: %+v", u.Function, bill.Usage)
		}
		inputs[u.Function] = u.Inputs
	}
	if inputs["f"] != 2 || inputs["g"] != 1 {
		t.Errorf("the bill: %+v", bill.Usage)
	}
}
