package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/redact"
)

func TestInPlace(t *testing.T) {
	m := redact.New(map[string]string{"KEY": "abcdef", "LONG_NAME": "geheim", "UMLAUTS": "pässwörterbücher"}).InPlace()
	for in, want := range map[string]string{
		"nothing":                 "nothing",
		"x=abcdef;":               "x=[KEY]*;",
		"x=geheim;":               "x=[LONG_;",
		"pässwörterbücher":        "[UMLAUTS]*******",
		"\x1b[31mabcdef\x1b[0m\r": "\x1b[31m[KEY]*\x1b[0m\r",
	} {
		require.Equal(t, want, m.Text(in))
		require.Equal(t, utf8.RuneCountInString(in), utf8.RuneCountInString(m.Text(in)))
	}
	var none *redact.Mask
	require.Nil(t, none.InPlace())
}

func TestText(t *testing.T) {
	key := "-----BEGIN-----\nMIIEowIB\n}\n-----END-----\n"
	m := redact.New(map[string]string{
		"TOKEN": "abcdefgh", "LONGER": "abcdefgh-and-more", "SHORT": "abcde", "KEY": key, "EMPTY": "",
		"URL": "postgresql://user:pass%2Fword@db:5432/x", "CAPITALS": "AMQPS://User:Se%40cret@mq/x?a=b@c", "QUOTED": `it's "a" \ back`, "UNICODE": "pässwörter", "LONG": strings.Repeat("0123456789", 1000) + "end",
	})
	for _, c := range []struct{ in, want string }{
		{"nothing", "nothing"},
		{"", ""},
		{"x=abcdefgh;y=abcdefgh", "x=[TOKEN];y=[TOKEN]"},
		{"abcdefgh-and-more, abcdefgh-and", "[LONGER], [TOKEN]-and"},
		{"abcde }", "abcde }"},
		{"a line MIIEowIB of it", "a line [KEY] of it"},
		{key, "[KEY]\n[KEY]\n}\n[KEY]\n"},
		{`KEY='-----BEGIN-----\nMIIEowIB\n}\n-----END-----\n'`, "KEY='[KEY]'"},
		{"connecting to postgresql://user:pass%2Fword@db:5432/x", "connecting to [URL]"},
		{"password pass/word of user", "password [URL] of user"},
		{"pass%2Fword", "[URL]"},
		{"password Se@cret", "password [CAPITALS]"},
		{"amqps://User:Se%40cret@mq", "amqps://User:[CAPITALS]@mq"},
		{`'it\'s "a" \\ back'`, `'[QUOTED]'`},
		{`"it's \"a\" \\ back"`, `"[QUOTED]"`},
		{"q=" + url.QueryEscape(`it's "a" \ back`), "q=[QUOTED]"},
		{"pässwörter", "[UNICODE]"},
		{`"p\u00e4ssw\u00f6rter"`, `"[UNICODE]"`},
		{hex.EncodeToString([]byte("abcdefgh")), "[TOKEN]"},
	} {
		require.Equal(t, c.want, m.Text(c.in), c.in)
	}
	require.NotContains(t, m.Text(strings.Repeat("0123456789", 1000)+"end"), "0123456789")
	for _, before := range []string{"", "u", "us", "user:", "user:x"} {
		for _, after := range []string{"", "x", "xy"} {
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				text := encoding.EncodeToString([]byte(before + "abcdefgh" + after))
				require.Contains(t, m.Text(text), "[TOKEN]", "%q of %q", text, before+"abcdefgh"+after)
			}
		}
	}
	require.Nil(t, redact.New(map[string]string{"A": "short", "B": ""}))
	var none *redact.Mask
	require.Equal(t, "text", none.Text("text"))
	require.Equal(t, 4, none.Cut([]byte("text")))
}

// However text is cut while it is shown bit by bit, it is hidden as if it had
// been shown at once.
func TestCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := redact.New(map[string]string{"A": "aabaab", "B": "aabaabaac", "C": "babbabba"})
	for range 20000 {
		text := make([]byte, random.IntN(60))
		for i := range text {
			text[i] = "aabbc"[random.IntN(5)]
		}
		whole := m.Text(string(text))
		var shown strings.Builder
		var held []byte
		for rest := text; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			held = append(held, rest[:n]...)
			rest = rest[n:]
			cut := m.Cut(held)
			shown.Write(m.Bytes(held[:cut]))
			held = append([]byte(nil), held[cut:]...)
		}
		shown.Write(m.Bytes(held))
		require.Equal(t, whole, shown.String(), "%s", text)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("value-of-it", "a value-of-it b")
	f.Add("line one\nline two", "x")
	f.Fuzz(func(t *testing.T, value, around string) {
		const placeholder = "[X]"
		m := redact.New(map[string]string{"X": value})
		text := m.Text(around + value + around)
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= redact.Shortest && len(line) <= 1024 && !strings.Contains(around, line) && !strings.Contains(placeholder, line) {
				// What is left of it would be made of what surrounds what was hidden.
				if strings.Contains(text, line) && !strings.Contains(text, placeholder) {
					t.Fatalf("%q is in %q", line, text)
				}
			}
		}
		if cut := m.Cut([]byte(text)); cut < 0 || cut > len(text) {
			t.Fatal(cut)
		}
	})
}

func BenchmarkText(b *testing.B) {
	values := map[string]string{}
	for i := range 10 {
		values[fmt.Sprint("K", i)] = fmt.Sprintf("sk_live_%d_abcdefghijklmnop", i)
	}
	m := redact.New(values)
	line := strings.Repeat("epoch 3 step 120 loss 0.321 ", 4)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		m.Text(line)
	}
}
