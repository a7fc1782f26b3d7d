package engine

import (
	"strings"
	"testing"

	"github.com/gx-dev/gx/app"
)

func TestCallAndMap(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "square"})
		c := a.dial()
		c.expect(c.call("square", args(7)), 49)
		var inputs [][]byte
		for i := range 1000 {
			inputs = append(inputs, args(i))
		}
		got := c.collect(c.open("map", "square", "", inputs...))
		if len(got) != len(inputs) {
			t.Fatalf("%d answers", len(got))
		}
		for i := range inputs {
			c.expect(got[uint32(i)], i*i)
		}
		c.close()
		bill := a.stop(false)
		if len(bill.Usage) != 1 || bill.Usage[0].Inputs != 1001 || bill.Usage[0].Failed != 0 || bill.Usage[0].Seconds <= 0 || bill.Usage[0].Cost <= 0 {
			t.Errorf("bill %+v", bill)
		}
	})
}

func TestOutput(t *testing.T) {
	onRuntimes(t, func(t *testing.T, h *host) {
		a := h.start("functions", app.Function{Name: "shout"}, app.Function{Name: "raw"})
		c := a.dial()
		f := c.call("shout", args(3))
		c.expect(f, 3)
		if f.Logged != 5 {
			t.Errorf("the result comes after line %d, want 5", f.Logged)
		}
		f = c.call("raw", args(100_000))
		c.expect(f, 100_000)
		c.close()
		a.stop(false)
		want := "stdout: line 0\nstdout: line 1\nstdout: line 2\n"
		text := a.text()
		var stdout strings.Builder // the order between two pipes is the readers'
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "stdout") {
				stdout.WriteString(line)
			}
		}
		if !strings.HasPrefix(stdout.String(), want+"stdout: from a child\n") {
			t.Errorf("stdout is out of order:\n%.200s", stdout.String())
		}
		for _, part := range []string{"stderr: to stderr\n", "stdout: from a child\n", `stdout: caf\xe9 \xff` + "\n", "stdout: unfinished\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing in\n%.2000s", part, text)
			}
		}
		for _, l := range a.lines {
			if l.Call == "" || l.Container == "" || l.Function == "" {
				t.Errorf("%+v belongs to nothing", l)
			}
		}
	})
}
