package app_test

import (
	"testing"

	"github.com/gx-dev/gx/app"
)

func TestMask(t *testing.T) {
	step := app.Step{Secrets: map[string]string{
		"TOKEN": "abcdef", "LONGER": "abcdef-and-more", "SHORT": "abc", "KEY": "-----BEGIN-----\nMIIEow\n}\n-----END-----\n", "EMPTY": "",
	}}
	for _, c := range []struct{ in, want string }{
		{"nothing", "nothing"},
		{"x=abcdef;y=abcdef", "x=[TOKEN];y=[TOKEN]"},
		{"abcdef-and-more, abcdef-and", "[LONGER], [TOKEN]-and"},
		{"abc }", "abc }"},
		{"a line MIIEow of it", "a line [KEY] of it"},
		{"-----BEGIN-----\nMIIEow\n}\n-----END-----\n", "[KEY]\n"},
	} {
		if got := step.Mask(c.in); got != c.want {
			t.Errorf("Mask(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := (app.Step{}).Mask("text"); got != "text" {
		t.Errorf("without secrets: %q", got)
	}
}

func TestIdentity(t *testing.T) {
	step := app.Step{
		Op: app.OpFunction, File: "app.py", Line: 3, Timeout: 60, Secrets: map[string]string{"A": "value"}, Env: map[string]string{"B": "kept"},
		Function: &app.BuildFunction{Name: "f", Key: "k", Module: "m", Payload: []byte("p"), Args: []byte("a")},
		Files:    []app.File{{Remote: "/root/app.py", SHA256: "x"}},
	}
	got := step.Identity()
	if got.File != "" || got.Line != 0 || got.Timeout != 0 || len(got.Files) != 0 || got.Function.Payload != nil || got.Function.Module != "" {
		t.Errorf("more than what decides what it makes: %+v %+v", got, got.Function)
	}
	if got.Secrets["A"] != "" || len(got.Secrets) != 1 || got.Env["B"] != "kept" || got.Function.Key != "k" {
		t.Errorf("not all that decides what it makes: %+v", got)
	}
	if step.Secrets["A"] != "value" || step.Function.Module != "m" {
		t.Error("the step itself was changed")
	}
}
