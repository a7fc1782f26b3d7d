package ask_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
)

func TestParts(t *testing.T) {
	for _, parts := range [][][]byte{{}, {{}}, {[]byte("a"), {}, []byte("bcd")}} {
		data, lengths := ask.Join(parts)
		back, err := ask.Split(data, lengths)
		require.NoError(t, err)
		require.Equal(t, parts, back)
	}
	for _, lengths := range [][]int{{}, {2}, {4}, {-1, 4}, {1, 1}, {1 << 62, 1 << 62, 1 << 62}} {
		_, err := ask.Split([]byte("abc"), lengths)
		require.Equal(t, ask.KindRefused, ask.Kind(err), "%v", lengths)
	}
}
