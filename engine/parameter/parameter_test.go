package parameter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/parameter"
	"github.com/gx-dev/gx/sdk/pickle"
)

func text(s string) *string { return &s }

var declared = []app.Parameter{
	{Name: "name", Type: "str"},
	{Name: "size", Type: "int", Default: text("3")},
	{Name: "rate", Type: "float", Default: text("1e-05")},
	{Name: "fast", Type: "bool", Default: text("false")},
}

func TestRead(t *testing.T) {
	tests := map[string]struct {
		query string
		want  map[string]any
		err   string
	}{
		"one":               {query: "name=bo", want: map[string]any{"name": "bo"}},
		"all":               {query: "name=a+b%2Fc&size=4&rate=2&fast=True&x=9", want: map[string]any{"name": "a b/c", "size": int64(4), "rate": 2.0, "fast": true}},
		"defaults":          {query: "name=bo&size=3&rate=0.00001&fast=0", want: map[string]any{"name": "bo"}},
		"empty":             {query: "name=", want: map[string]any{"name": ""}},
		"the last counts":   {query: "name=a&name=b", want: map[string]any{"name": "b"}},
		"not UTF-8":         {query: "name=%ff", want: map[string]any{"name": "\ufffd"}},
		"what is no query":  {query: "%zz=1;&name=bo", want: map[string]any{"name": "bo"}},
		"semicolons":        {query: "name=a;b&x=;;&fast=1", want: map[string]any{"name": "a;b", "fast": true}},
		"percent signs":     {query: "name=100%&x=%&rate=2", want: map[string]any{"name": "100%", "rate": 2.0}},
		"some escaped":      {query: "n%61me=5%25+of%2%zz%C3%A9", want: map[string]any{"name": "5% of%2%zz\u00e9"}},
		"a wrong one":       {query: "name=bo&size=5%", err: `parameter size of the query: "5%" is not a whole number`},
		"missing":           {query: "size=4", err: "needs a value for its parameter name: add name=... to the query"},
		"nothing":           {query: "", err: "needs a value for its parameter name"},
		"no number":         {query: "name=bo&size=four", err: `parameter size of the query: "four" is not a whole number`},
		"a large number":    {query: "name=bo&size=9223372036854775808", err: "of at most 64 bits"},
		"no float":          {query: "name=bo&rate=", err: `parameter rate of the query: "" is not a number`},
		"no hexadecimal":    {query: "name=bo&rate=0x1p3", err: "is not a number"},
		"neither":           {query: "name=bo&fast=yes", err: "neither true nor false"},
		"large":             {query: "name=" + strings.Repeat("x", 17<<10), err: "at most 16384 are allowed"},
		"long, in an error": {query: "name=bo&size=" + strings.Repeat("x", 17<<10), err: "is not a whole number"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parameter.Read(declared, test.query)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.ErrorAs(t, err, new(parameter.Error))
				require.Less(t, len(err.Error()), 300)
				return
			}
			require.NoError(t, err)
			require.Equal(t, pickle.Arguments(test.want), got)
		})
	}
	got, err := parameter.Read(declared[1:], "size=3")
	require.NoError(t, err)
	require.Nil(t, got, "the instance without parameters")
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"name=bo&size=4", "name=%ff&rate=nan", "fast=1;name=2", "name=a&name=b&size=-0", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, err := parameter.Read(declared, query)
		if err != nil {
			require.ErrorAs(t, err, new(parameter.Error))
			return
		}
		if got == nil {
			return
		}
		require.LessOrEqual(t, len(got), 16<<10)
		_, err = pickle.Load(got)
		require.NoError(t, err)
	})
}

func TestCheck(t *testing.T) {
	require.NoError(t, parameter.Check(declared))
	require.ErrorContains(t, parameter.Check([]app.Parameter{{Name: "a", Type: "bytes"}}), `type "bytes"`)
	require.ErrorContains(t, parameter.Check([]app.Parameter{{Name: "a", Type: "int"}, {Name: "a", Type: "str"}}), `two parameters are called "a"`)
	require.ErrorContains(t, parameter.Check(make([]app.Parameter, 101)), "at most 100")
}
