package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/session"
	"github.com/gx-dev/gx/sdk"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000": 1000, "20GB": 20e9, "20 GB": 20e9, "1.5GiB": 3 << 29, "500M": 5e8, "1kb": 1000, "7B": 7, "2TB": 2e12,
	} {
		got, err := parseBytes(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "lots", "-1GB", "1XB", "GB", "NaN", "1e30TB", "Inf"} {
		_, err := parseBytes(text)
		require.ErrorContains(t, err, "is not a size", text)
	}
}

func FuzzParseBytes(f *testing.F) {
	f.Add("20GB")
	f.Add("1.5GiB")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseBytes(text)
		if err == nil {
			require.GreaterOrEqual(t, n, int64(0))
		}
	})
}

func TestPythonArgs(t *testing.T) {
	require.Equal(t, []string{"-m", "gx._cli", "run", "app.py", "--x", "1"}, pythonArgs(runOptions{ref: []string{"app.py", "--x", "1"}}))
	require.Equal(t, []string{"-m", "gx._cli", "run", "-m", "--write-result", "out", "pkg.app"},
		pythonArgs(runOptions{ref: []string{"pkg.app"}, module: true, writeResult: "out"}))
}

func TestVerdict(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome session.Outcome
		code    int
		err     error
		want    int
		says    string
	}{
		"success":                        {outcome: session.Outcome{Exit: &sdk.Exit{}}, want: 0},
		"what the program said":          {outcome: session.Outcome{Exit: &sdk.Exit{Code: 7}}, code: 7, want: 7},
		"gx knows better":                {outcome: session.Outcome{Code: exit.Build, Exit: &sdk.Exit{Code: 1}}, code: 1, want: exit.Build},
		"an exception, then no word":     {outcome: session.Outcome{Exception: exit.Usage}, code: 1, want: exit.Usage},
		"Python was killed":              {code: 128 + 9, want: exit.UserCode, says: "killed"},
		"Python ended without a word":    {code: 3, want: 3},
		"Python could not be waited for": {err: errors.New("gone"), want: exit.UserCode, says: "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			err := verdict(tc.outcome, tc.code, tc.err)
			require.Equal(t, tc.want, exit.Code(err))
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says)
			}
		})
	}
}

func TestFindImage(t *testing.T) {
	images := []build.ImageUsage{{ID: "im-abc1"}, {ID: "im-abc2"}, {ID: "im-def0"}}
	for id, want := range map[string]string{"im-abc1": "im-abc1", "im-d": "im-def0", "def": "im-def0"} {
		image, err := findImage(images, id)
		require.NoError(t, err)
		require.Equal(t, want, image.ID)
	}
	_, err := findImage(images, "im-abc")
	require.ErrorContains(t, err, "any of 2 images")
	_, err = findImage(images, "nope")
	require.ErrorContains(t, err, "there is no image nope")
}

func TestWithEnv(t *testing.T) {
	require.Equal(t, []string{"A=1", "AB=2", "C=4"}, withEnv([]string{"A=1", "C=3", "AB=2"}, "C", "4"))
}
