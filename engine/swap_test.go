package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/wire"
)

// held is a class whose enter hook notes how often it has run, and functions of
// all kinds that have to follow.
const held = `import functools
import os

class gx:
    @staticmethod
    def mark(role):
        def decorate(f):
            f._gx_roles = (role,)
            return f
        return decorate

def twice(f):
    @functools.wraps(f)
    def wrapper(*args):
        return [f(*args), f(*args)]
    return wrapper

def helper(x):
    return "VERSION"

@twice
def wrapped(x):
    return "VERSION"

class Base:
    def word(self):
        return "VERSION"

class Model(Base):
    @gx.mark("enter")
    def load(self):
        self.loaded = os.urandom(4).hex()

    @gx.mark("method")
    def ask(self, x):
        inner = [helper(i) for i in range(1)]
        return f"{self.loaded} {inner[0]} {wrapped(0)[1]} {super().word()} {(lambda: 'VERSION')()}"
`

func TestSwapKeepsWhatIsLoaded(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		spec := app.Function{Name: "Model", Class: true, Shape: "1", Methods: []app.Method{{Name: "ask"}}}
		text := func(version string, lines int) files {
			return files{"app.py": strings.ReplaceAll(held, "VERSION", version) + strings.Repeat("# more\n", lines), "unused.py": "x = '" + version + "'\n"}
		}
		a := h.startFiles(text("one", 0), spec)
		c := a.dial()
		ask := func() string {
			f := c.collect(c.open("call", "Model", "ask", args(1)))[0]
			data, err := f.ReadPayload(wire.MaxPayload)
			if err != nil || f.Type != wire.Result {
				t.Fatalf("%v %v %q", f.Type, err, data)
			}
			return fmt.Sprint(unpickle(data))
		}
		loaded, rest, _ := strings.Cut(ask(), " ")
		if rest != "one one one one" {
			t.Fatalf("%q", rest)
		}
		container := h.Containers()[0].ID
		for i, version := range []string{"two", "three", "two", "four"} {
			if u := a.changes(api.UpdateCode, text(version, i), spec); u.Version != i+2 {
				t.Errorf("%+v", u)
			}
			if got, want := ask(), fmt.Sprintf("%s %s %s %s %s", loaded, version, version, version, version); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if list := h.Containers(); len(list) != 1 || list[0].ID != container {
			t.Errorf("%+v", list)
		}
		c.close()
		a.stop(false)
	})
}

func TestSwapLetsInputsFinish(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		text := waits + "def f(x):\n    wait(x)\n    return 'one'\n"
		spec := app.Function{Name: "f", Shape: "1", Scaling: app.Scaling{Max: 1}}
		a := h.startFiles(files{"app.py": text}, spec)
		c := a.dial()
		slow := c.open("call", "f", "", args(1))
		a.awaitText("waiting")
		container := h.Containers()[0].ID
		a.changes(api.UpdateCode, files{"app.py": strings.Replace(text, "'one'", "'two'", 1)}, spec)
		h.signal(container)
		c.expect(c.collect(slow)[0], "one")
		c.expect(c.call("f", args(0)), "two")
		if list := h.Containers(); len(list) != 1 || list[0].ID != container {
			t.Errorf("%+v", list)
		}
		c.close()
		a.stop(false)
	})
}

// What can't be exchanged is replaced, and the user is told why.
func TestSwapFallsBack(t *testing.T) {
	h := newHost(t, "process")
	before := "def outer():\n    def f(x):\n        return 'one'\n    return f\n\nf = outer()\n"
	for name, one := range map[string]struct{ text, why string }{
		"a function that has gone":    {"def outer():\n    def g(x):\n        return 'two'\n    return g\n\nf = outer()\n", "has no such function"},
		"a variable that was not one": {"def outer():\n    y = 'two'\n    def f(x):\n        return y\n    return f\n\nf = outer()\n", "other variables"},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.startFiles(files{"app.py": before}, app.Function{Name: "f", Shape: "1"})
			c := a.dial()
			c.expect(c.call("f", args(1)), "one")
			u := a.changes(api.UpdateContainers, files{"app.py": one.text}, app.Function{Name: "f", Shape: "1"})
			if !strings.Contains(u.Why, one.why) {
				t.Errorf("why: %q", u.Why)
			}
			c.expect(c.call("f", args(1)), "two")
			c.close()
			a.stop(false)
		})
	}
}
