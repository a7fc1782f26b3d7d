package dotenv_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/cmd/gx/dotenv"
)

type table struct {
	Environment map[string]string
	Right       []struct {
		Text   string
		Values map[string]string
	}
	Wrong []struct {
		Text string
		Line int
	}
}

// cases are those that the SDK is held to, too.
func cases(t testing.TB) table {
	data, err := os.ReadFile("testdata/cases.json")
	require.NoError(t, err)
	var all table
	require.NoError(t, json.Unmarshal(data, &all))
	return all
}

func TestParse(t *testing.T) {
	all := cases(t)
	lookup := func(name string) string { return all.Environment[name] }
	for _, c := range all.Right {
		got, err := dotenv.Parse(c.Text, lookup)
		require.NoError(t, err, "%q", c.Text)
		require.Equal(t, c.Values, got, "%q", c.Text)
	}
	for _, c := range all.Wrong {
		_, err := dotenv.Parse(c.Text, lookup)
		var wrong *dotenv.Error
		require.ErrorAs(t, err, &wrong, "%q", c.Text)
		require.Equal(t, c.Line, wrong.Line, "%q: %v", c.Text, err)
	}
}

func TestNoText(t *testing.T) {
	for text, line := range map[string]int{"A=1\nB=\xff": 2, "\xc3": 1, "A=1\r\n\r\nB=\xe2\x28": 3, strings.Repeat("#", dotenv.MaxFile+1): 0} {
		_, err := dotenv.Parse(text, os.Getenv)
		var wrong *dotenv.Error
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, line, wrong.Line, "%.20q", text)
	}
}

// What is wrong with a file is told without what is in it.
func TestErrorsShowNoValue(t *testing.T) {
	for _, text := range []string{"A='planted", "A=\"planted\"planted", "planted planted", "A=1\nplanted", "A=planted\x00", "A=planted\xff"} {
		_, err := dotenv.Parse(text, os.Getenv)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "planted")
	}
}

func FuzzParse(f *testing.F) {
	all := cases(f)
	for _, c := range all.Right {
		f.Add(c.Text)
	}
	for _, c := range all.Wrong {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := dotenv.Parse(text, func(string) string { return "" })
		if err != nil {
			var wrong *dotenv.Error
			if !errors.As(err, &wrong) || wrong.Line > 1+strings.Count(text, "\n")+strings.Count(text, "\r") {
				t.Fatal(err)
			}
			return
		}
		// What was read can be written, and is read as the same.
		var again strings.Builder
		for name, value := range values {
			again.WriteString(name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\r", "\n").Replace(value) + "'\n")
		}
		back, err := dotenv.Parse(again.String(), func(string) string { return "" })
		if err != nil {
			if again.Len() > dotenv.MaxFile {
				return
			}
			t.Fatalf("%v: %q", err, again.String())
		}
		for name, value := range values {
			if back[name] != strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", "\n"), "\r", "\n") && !strings.Contains(value, "\r") {
				t.Fatalf("%q became %q", value, back[name])
			}
		}
	})
}
