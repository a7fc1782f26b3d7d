package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/clock"
)

// TestStageForgets has uploads of all ends: what is known of them does not grow
// with how many there were.
func TestStageForgets(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s, err := openStage(t.TempDir(), c)
	require.NoError(t, err)
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	for i := range 10 {
		text := fmt.Sprintf("content %d", i)
		size := int64(len(text))
		for range 2 { // again, when it is whole
			n, err := s.upload(t.Context(), hash(text), size, 0, []byte(text))
			require.NoError(t, err)
			require.Equal(t, size, n)
		}
		_, err = s.upload(t.Context(), hash("other "+text), size, 0, []byte(text))
		require.Error(t, err, "it is not what was announced")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		begun := hash("begun " + text)
		require.NoError(t, os.WriteFile(s.partial(begun), []byte("by an earlier host"), 0o600))
		_, err = s.upload(gone, begun, 100, 18, []byte("more"))
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Empty(t, s.parts)

	n, err := s.upload(t.Context(), hash("in pieces"), 9, 0, []byte("in "))
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Len(t, s.parts, 1)
	require.NoError(t, s.collect())
	require.Len(t, s.parts, 1, "more of it is coming")
	c.Advance(knownAge + time.Second)
	require.NoError(t, s.collect())
	require.Empty(t, s.parts)
	n, err = s.upload(t.Context(), hash("in pieces"), 9, 3, []byte("pieces"))
	require.NoError(t, err, "it goes on where it was")
	require.EqualValues(t, 9, n)
	require.FileExists(t, s.whole(hash("in pieces")))
	require.Empty(t, s.parts)
}
