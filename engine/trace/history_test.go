package trace

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gx-dev/gx/api"
)

// past is a function that had a call and a container.
func past(id string, calls int) *Function {
	f := NewFunction("ap-x", "app", "fu-"+id, "p", "f"+id)
	started(f).End(End{Wanted: true, Reason: "it was idle"}, at(2000))
	for i := range calls {
		c := f.Open(fmt.Sprint("fc-", id, "-", i), "call", "", at(0))
		c.Came(at(0))
		c.Failed(Attempt{Number: 1, Container: "co-a", Came: at(0), Began: at(500), Ended: at(900), Outcome: Raised}, func() string { return "no" })
	}
	return f
}

func byRef(ref string) func(*api.Why) bool { return func(w *api.Why) bool { return w.Ref == ref } }

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	h, err := OpenHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := h.Find("fc-1-0", byRef("fc-1-0")); found || err != nil {
		t.Error(found, err)
	}
	if err := h.Keep([]*Function{past("1", 1), past("2", 2)}, at(3000)); err != nil {
		t.Fatal(err)
	}
	// A host that was killed left half a line.
	f, err := os.OpenFile(h.current(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"ref":"fc-half","kind`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if h, err = OpenHistory(dir); err != nil {
		t.Fatal(err)
	}
	if _, found, err := h.Find("fc-half", byRef("fc-half")); found || err != nil {
		t.Error(found, err)
	}
	if err := h.Keep([]*Function{past("3", 1)}, at(3000)); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"fc-1-0", "fc-2-1", "fc-3-0", "co-a", "fu-1", "fu-3"} {
		w, found, err := h.Find(ref, byRef(ref))
		if !found || err != nil || len(w.Answer) == 0 {
			t.Errorf("%s: %v %v %+v", ref, found, err, w)
		}
	}
	w, _, _ := h.Find("fc-2-1", byRef("fc-2-1"))
	if got := phases(w.Call.Phases); !strings.Contains(got, "import 100-450") || w.Call.Failed != 1 {
		t.Errorf("%s %+v", got, w.Call)
	}
	// What is kept is bounded, and the newest is there.
	h.most = 1 << 20
	many := past("many", maxTroubled)
	for i := 0; ; i++ {
		if err := h.Keep([]*Function{many}, at(3000)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(h.older()); err == nil {
			break
		}
		if i > 1000 {
			t.Fatal("the file grows without end")
		}
	}
	if err := h.Keep([]*Function{past("new", 1)}, at(3000)); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"fc-new-0", "fu-many", "fc-1-0"} {
		if _, found, err := h.Find(ref, byRef(ref)); !found || err != nil {
			t.Errorf("%s: %v %v", ref, found, err)
		}
	}
	for _, path := range []string{h.current(), h.older()} {
		if info, err := os.Stat(path); err != nil || info.Size() > h.most+h.most/2 {
			t.Errorf("%v %v", info, err)
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"ref":"fc-x","kind":"call","call":{"id":"fc-x","inputs":1}}` + "\n"))
	f.Add([]byte("\n\n{}\nfc-x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := OpenHistory(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.current(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.Keep([]*Function{past("1", 1)}, at(3000)); err != nil {
			t.Fatal(err)
		}
		if _, found, err := h.Find("fc-1-0", byRef("fc-1-0")); !found || err != nil {
			t.Fatal(found, err)
		}
	})
}
