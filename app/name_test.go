package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "my-volume", "my_volume", "v1.2", "9", strings.Repeat("x", 64)} {
		require.NoError(t, app.CheckName("volume", name))
	}
	for _, name := range []string{"", ".", "..", "-a", ".a", "a/b", `a\b`, "a b", "ä", "名前", "a\n", "a\x00", strings.Repeat("x", 65), strings.Repeat("x", 300)} {
		err := app.CheckName("volume", name)
		require.ErrorContains(t, err, "volume", "%q", name)
		require.Less(t, len(err.Error()), 300)
	}
}
