package pickle_test

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/sdk/pickle"
)

// values are expressions in Python, whose repr is what is shown.
var values = []string{
	`None`, `True`, `False`, `0`, `255`, `256`, `65535`, `65536`, `-1`, `2**31`, `-2**31`, `2**63`, `-2**63`, `-2**64`, `10**40`, `-255`, `-256`,
	`0.0`, `-0.0`, `1.5`, `1e-5`, `0.0001`, `1e16`, `123456789012345.0`, `float("nan")`, `float("inf")`, `-float("inf")`, `1e300`,
	`""`, `"it's"`, `'say "hi"'`, `'''both ' and "'''`, `"a\\b\n\t\r\x00\x7f"`, `"ü€😀"`, `"\xa0\xad\u200b"`, `"x" * 300`,
	`b""`, `b"a\x00\xff'"`, `bytearray(b"abc")`, `b"x" * 300`,
	`()`, `(1,)`, `(1, 2)`, `(1, 2, 3)`, `(1, 2, 3, (4,))`, `[]`, `[1, [2, []]]`, `{}`, `{"a": 1, (1, 2): {"b": []}}`,
	`set()`, `{1}`, `frozenset()`, `frozenset({2})`, `[("a", "a"), "a"]`, `list(range(2000))`, `{i: i for i in range(1500)}`,
}

func TestAgainstPython(t *testing.T) {
	program := `
import base64, pickle, sys
for text in sys.stdin.read().split("\x1e"):
    value = eval(text)
    for protocol in range(2, 6):
        if protocol == 5 or not isinstance(value, (set, frozenset, bytes, bytearray)):
            print(base64.b64encode(pickle.dumps(value, protocol)).decode(), base64.b64encode(repr(value).encode()).decode())
    if value is None or isinstance(value, (str, int, float, list, dict)) and value == value:
        print(base64.b64encode(pickle.dumps(value, 0)).decode(), base64.b64encode(repr(value).encode()).decode()) if not isinstance(value, str) else None
`
	cmd := exec.CommandContext(t.Context(), "python3", "-c", program)
	cmd.Stdin = strings.NewReader(strings.Join(values, "\x1e"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	n := 0
	for line := range strings.Lines(string(out)) {
		pickled, repr, _ := strings.Cut(strings.TrimSpace(line), " ")
		data, err := base64.StdEncoding.DecodeString(pickled)
		require.NoError(t, err)
		want, err := base64.StdEncoding.DecodeString(repr)
		require.NoError(t, err)
		if strings.Contains(string(data), "\ncopy_reg") || strings.HasPrefix(string(want), "['") && data[0] != 0x80 {
			continue
		}
		v, err := pickle.Load(data)
		require.NoError(t, err, "%q", data)
		require.Equal(t, string(want), pickle.Repr(v, 1<<20), "%q", data)
		n++
	}
	require.Greater(t, n, 3*len(values))
}

func TestObjects(t *testing.T) {
	for program, want := range map[string]string{
		`datetime.date(2026, 1, 1)`:           "<datetime.date object>",
		`[pathlib.PurePosixPath("/a"), 1]`:    "[<pathlib.PurePosixPath object>, 1]",
		`{"e": ValueError("x")}`:              "{'e': <builtins.ValueError object>}",
		`[len, dict]`:                         "[<builtins.len>, <builtins.dict>]",
		`collections.OrderedDict(a=1)`:        "<collections.OrderedDict object>",
		`types.SimpleNamespace(x=1)`:          "<types.SimpleNamespace object>",
		`(lambda a: (a.append(a), a)[1])([])`: strings.Repeat("[", 101) + "..." + strings.Repeat("]", 101),
		`(lambda f: f(f, 30))(lambda f, n: [f(f, n - 1)] * 2 if n else 0)`: "",
	} {
		cmd := exec.CommandContext(t.Context(), "python3", "-c", "import collections, datetime, pathlib, pickle, sys, types\nsys.setrecursionlimit(10000)\n"+
			strings.ReplaceAll("if 30: sys.stdout.buffer.write(pickle.dumps(VALUE))", "VALUE", memoized(program)))
		data, err := cmd.Output()
		require.NoError(t, err, program)
		v, err := pickle.Load(data)
		require.NoError(t, err, program)
		shown := pickle.Repr(v, 1000)
		require.LessOrEqual(t, len(shown), 1003)
		if want != "" {
			require.Equal(t, want, strings.Replace(shown, "pathlib._local.", "pathlib.", 1), program)
		}
		_, err = json.Marshal(pickle.JSON(v, 1000))
		require.NoError(t, err, program)
	}
}

// memoized is an expression of lists in lists that is small although what it
// shows is not.
func memoized(program string) string {
	if strings.Contains(program, "f, 30") {
		return `__import__("functools").reduce(lambda a, _: [a, a], range(30), 0)`
	}
	return program
}

func TestJSON(t *testing.T) {
	v := &pickle.Dict{Keys: []any{"a", int64(1), pickle.Tuple{"x"}}, Values: []any{pickle.Tuple{nil, true}, pickle.Bytes{Data: []byte("b")}, pickle.Object{Name: "m.C"}}}
	text, err := json.Marshal(pickle.JSON(v, 1000))
	require.NoError(t, err)
	require.JSONEq(t, `{"a": [null, true], "1": "b'b'", "('x',)": "<m.C object>"}`, string(text))
	require.Equal(t, "[0, 0...", pickle.JSON(&pickle.List{Items: []any{int64(0), int64(0), int64(0), int64(0), int64(0)}}, 5))
}

func TestKey(t *testing.T) {
	for _, key := range []string{"", "a", "ü", strings.Repeat("x", 1000)} {
		v, err := pickle.Load(pickle.Key(key))
		require.NoError(t, err)
		require.Equal(t, key, v)
	}
}

func TestBesideBuffers(t *testing.T) {
	head := make([]byte, 64)
	copy(head, "\x00gxb\x01\x00\x00\x00")
	p := []byte("\x80\x05\x97.")
	head[8], head[16] = byte(len(p)), 10
	v, err := pickle.Load(append(append(head, p...), make([]byte, 70)...))
	require.NoError(t, err)
	require.Equal(t, "<buffer object>", pickle.Repr(v, 100))
	_, err = pickle.Load(head)
	require.ErrorIs(t, err, pickle.ErrPickle)
}

func FuzzLoad(f *testing.F) {
	for _, text := range []string{"\x80\x03X\x01\x00\x00\x00a.", "(lp0\nI1\naF2.5\na.", "\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(K\x01K\x02u.", "cbuiltins\nlen\n(K\x01tR.", "\x00gxb\x01\x00\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := pickle.Load(data)
		if err != nil {
			return
		}
		if shown := pickle.Repr(v, 100); len(shown) > 103 {
			t.Errorf("it is shown with %d bytes", len(shown))
		}
		if _, err := json.Marshal(pickle.JSON(v, 100)); err != nil {
			t.Error(err)
		}
	})
}
