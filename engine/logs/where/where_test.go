package where

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	const line = ` {"event": "request", "status": 200, "latency_ms": 100.5, "ok": true, "user": {"name": "Ada L", "id": 9007199254740993},
		"tags": ["a", {"b": 2}], "none": null, "code": "200", "odd name": 1, "at": "2026-01-02T10:00:00Z", "neg": -3} `
	fields, ok := Structured([]byte(line))
	require.True(t, ok)
	for condition, want := range map[string]bool{
		"event=request": true, "event = request": true, `event="request"`: true, "event=other": false, "event=": false,
		"event!=request": false, "event!=other": true, "gone!=x": true, "gone=x": false,
		"status=200": true, "code=200": true, "status=200.0": true, "status=2e2": true, `status="200"`: false, `code="200"`: true, "status!=200": false,
		"latency_ms>100": true, "latency_ms>100.5": false, "latency_ms>=100.5": true, "latency_ms<101": true, "latency_ms<=100": false,
		"neg<0": true, "neg>-4": true, "gone>0": false, "gone<0": false, "event>1": false, "status>a": false, "code>1": false, `code>"1"`: true,
		"ok=true": true, "ok=false": false, `ok="true"`: false, "none=null": true, "none": true, "!none": false, "gone": false, "!gone": true, " ! gone ": true,
		"user.name=Ada L": true, `user.name="Ada L"`: true, "user.name": true, "user.gone": false, "event.name": false,
		"user.id=9007199254740993": true, "user.id=9007199254740992": false, "user.id>9007199254740992": true, "user.id<9007199254740994": true,
		"tags.0=a": true, "tags.1.b=2": true, "tags.2": false, "tags.-1": false, `tags=["a",{"b":2}]`: true,
		`"odd name"=1`: true, `"odd name">0`: true, `user."name"~^Ada`: true,
		"at>2026-01-02T09": true, "at<2026-01-02T09": false,
		"event~^req": true, "event~^x": false, "event!~^x": true, "event!~req": false, "gone!~x": true, "gone~x": false, "status~^2": true, `event~"quest$"`: true,
	} {
		c, err := Parse(condition)
		if err != nil {
			t.Errorf("%s: %v", condition, err)
		} else if got := c.Match(fields); got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestStructured(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, " {\"a\": 1}\t": true, `{"a":1}{"b":2}`: false, `[1]`: false, `"a"`: false, "": false, "{": false, "{a}": false, `x {"a":1}`: false, `{"a":1} x`: false,
	} {
		if _, ok := Structured([]byte(text)); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

func TestMistakes(t *testing.T) {
	for condition, want := range map[string]string{
		"": "name of a field is expected", "=x": "name of a field", "a.": "name of a field", "a..b=1": "name of a field", ".a": "name of a field",
		"a b": "none of = !=", "a&b": "none of", "!a=1": "field!=value", `"a=1`: "not closed", `a="b`: "not closed", `a="b"c`: `there is "c"`,
		"a>": "value is missing", "a~(": "regular expression", "a=\xff": "not UTF-8", `"\x"=1`: "no JSON string",
		"a=" + strings.Repeat("x", MaxText): "allowed", strings.Repeat("a.", 40) + "a": "more than 32 names",
	} {
		_, err := Parse(condition)
		require.ErrorContains(t, err, want, condition)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"event=request", "a.b.0>=1e3", `"x y"!="z"`, "!a", "a~^[b-d]+$", "a!~(", `a="\u00e9"`, "a<\x00"} {
		f.Add(seed, `{"a": {"b": [1000]}, "event": "request", "x y": "z"}`)
	}
	f.Fuzz(func(t *testing.T, condition, line string) {
		fields, ok := Structured([]byte(line))
		c, err := Parse(condition)
		if err != nil || !ok {
			return
		}
		got := c.Match(fields)
		opposite := map[operator]operator{exists: missing, missing: exists, equal: unequal, unequal: equal, matches: unlike, unlike: matches}
		if op, ok := opposite[c.op]; ok {
			other := *c
			other.op = op
			if other.Match(fields) == got {
				t.Errorf("%q and its opposite agree about %q", condition, line)
			}
		}
		again, err := Parse("  " + condition + "  ")
		if err != nil || again.Match(fields) != got {
			t.Errorf("%q with spaces around it differs: %v", condition, err)
		}
	})
}
