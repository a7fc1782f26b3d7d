package app_test

import (
	"reflect"
	"testing"

	"github.com/gx-dev/gx/app"
)

func TestIdentity(t *testing.T) {
	step := app.Step{
		Op: app.OpFunction, File: "app.py", Line: 3, Timeout: 60, Secrets: []app.Secret{{Values: map[string]string{"A": "value"}}, {Name: "kept", Values: map[string]string{"B": "other"}}}, Env: map[string]string{"B": "kept"},
		Function: &app.BuildFunction{Name: "f", Key: "k", Module: "m", Payload: []byte("p"), Args: []byte("a")},
		Files:    []app.File{{Remote: "/root/app.py", SHA256: "x"}},
	}
	got := step.Identity()
	if got.File != "" || got.Line != 0 || got.Timeout != 0 || len(got.Files) != 0 || got.Function.Payload != nil || got.Function.Module != "" {
		t.Errorf("more than what decides what it makes: %+v %+v", got, got.Function)
	}
	if !reflect.DeepEqual(got.Secrets, []app.Secret{{Values: map[string]string{"A": "", "B": ""}}}) || got.Env["B"] != "kept" || got.Function.Key != "k" {
		t.Errorf("not all that decides what it makes: %+v", got)
	}
	if step.Secrets[0].Values["A"] != "value" || step.Function.Module != "m" {
		t.Error("the step itself was changed")
	}
}
