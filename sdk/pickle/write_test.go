package pickle_test

import (
	"encoding/base64"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/sdk/pickle"
)

// Containers are found by the bytes: both sides must write the same.
func TestArgumentsAsTheSDKWritesThem(t *testing.T) {
	tests := []struct {
		python string
		named  map[string]any
	}{
		{`{"a": ""}`, map[string]any{"a": ""}},
		{`{"name": "bo"}`, map[string]any{"name": "bo"}},
		{`{"b": "ü€😀", "a": "same", "c": "same"}`, map[string]any{"a": "same", "b": "ü€😀", "c": "same"}},
		{`{"s": "x" * 255, "t": "x" * 256, "u": "x" * 16000}`, map[string]any{"s": strings.Repeat("x", 255), "t": strings.Repeat("x", 256), "u": strings.Repeat("x", 16000)}},
		{`{"yes": True, "no": False}`, map[string]any{"yes": true, "no": false}},
		{`{"x": 1.5, "y": -0.0, "z": 1e300, "i": float("-inf"), "n": float("nan")}`, map[string]any{"n": math.NaN(), "x": 1.5, "y": math.Copysign(0, -1), "z": 1e300, "i": math.Inf(-1)}},
	}
	program := `
import base64, sys
from gx._parameters import _sorted, pickled
for text in sys.stdin.read().split("\x1e"):
    print(base64.b64encode(pickled((), _sorted(eval(text)))).decode())
`
	for _, n := range []struct {
		python string
		n      int64
	}{
		{"0", 0}, {"1", 1}, {"-1", -1}, {"127", 127}, {"128", 128}, {"255", 255}, {"256", 256}, {"65535", 65535}, {"65536", 65536},
		{"2**31-1", math.MaxInt32}, {"2**31", 1 << 31}, {"-2**31", math.MinInt32}, {"-2**31-1", math.MinInt32 - 1}, {"2**32", 1 << 32},
		{"2**39-1", 1<<39 - 1}, {"2**39", 1 << 39}, {"-2**39", -1 << 39}, {"-2**39-1", -1<<39 - 1}, {"2**63-1", math.MaxInt64}, {"-2**63", math.MinInt64}, {"-2**55", -1 << 55},
	} {
		tests = append(tests, struct {
			python string
			named  map[string]any
		}{`{"n": ` + n.python + `}`, map[string]any{"n": n.n}})
	}
	var texts []string
	for _, test := range tests {
		texts = append(texts, test.python)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", program)
	cmd.Env = append(os.Environ(), "PYTHONPATH=../python")
	cmd.Stdin = strings.NewReader(strings.Join(texts, "\x1e"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	lines := strings.Fields(string(out))
	require.Len(t, lines, len(tests))
	for i, test := range tests {
		want, err := base64.StdEncoding.DecodeString(lines[i])
		require.NoError(t, err)
		require.Equal(t, string(want), string(pickle.Arguments(test.named)), test.python)
	}
}
