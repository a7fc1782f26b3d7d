package app_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/gx-dev/gx/app"
)

func TestWithhold(t *testing.T) {
	m := app.Manifest{
		Name: "a",
		Functions: []app.Function{
			{Name: "f", Secrets: []app.Secret{{Name: "kept", Required: []string{"A"}}, {Values: map[string]string{"B": "planted-1"}}}},
			{Name: "g"},
		},
		Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}, {Op: app.OpRun, Secrets: []app.Secret{{Values: map[string]string{"C": "planted-2"}}}}}}},
	}
	before, _ := json.Marshal(m)
	kept, held := m.Withhold()
	text, _ := json.Marshal(kept)
	if strings.Contains(string(text), "planted") || !strings.Contains(string(text), `"kept"`) {
		t.Errorf("kept: %s", text)
	}
	if after, _ := json.Marshal(m); string(after) != string(before) {
		t.Errorf("the manifest was changed: %s", after)
	}
	// As somebody who keeps both has them later.
	var back app.Manifest
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	text, _ = json.Marshal(held)
	var values app.Withheld
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	back, err := back.Restore(values)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(back); string(got) != string(before) {
		t.Errorf("restored: %s", got)
	}
	if _, err := back.Restore(values[1:]); err == nil {
		t.Error("values of another manifest were taken")
	}
}

func TestCheckValues(t *testing.T) {
	many := map[string]string{}
	for i := range app.MaxSecretKeys + 1 {
		many["K"+strings.Repeat("x", i%200)+string(rune('A'+i/200))] = ""
	}
	large := map[string]string{}
	for i := range 9 {
		large["K"+string(rune('A'+i))] = strings.Repeat("x", app.MaxSecretValue)
	}
	for _, c := range []struct {
		values map[string]string
		want   string // "" = nothing is wrong
	}{
		{map[string]string{"A": "", "_b9": "x\ny"}, ""},
		{map[string]string{"A": strings.Repeat("x", app.MaxSecretValue)}, ""},
		{map[string]string{"A": strings.Repeat("planted", app.MaxSecretValue)}, "the value of A has"},
		{map[string]string{"A": "planted\x00"}, "the value of A has a zero byte"},
		{map[string]string{"": "planted"}, `"" cannot be the name`},
		{map[string]string{"9A": "planted"}, `"9A" cannot be the name`},
		{map[string]string{"A-B": "planted"}, `"A-B" cannot be the name`},
		{map[string]string{"Ä": "planted"}, "cannot be the name"},
		{map[string]string{"a\nb": "planted"}, "cannot be the name"},
		{map[string]string{strings.Repeat("x", 300): "planted"}, "has 300 characters"},
		{many, "at most 256 variables"},
		{large, "bytes in all"},
	} {
		err := app.CheckValues(c.values)
		switch {
		case c.want == "" && err == nil:
		case err == nil || c.want == "" || !strings.Contains(err.Error(), c.want):
			t.Errorf("%.100v: %v, want %q", reflect.ValueOf(c.values).MapKeys(), err, c.want)
		case strings.Contains(err.Error(), "planted") || len(err.Error()) > 300:
			t.Errorf("it shows too much: %.400v", err)
		}
	}
}
